//! Progress as lines: for people without a terminal, and for programs.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use serde_json::json;

use super::{Item, Outcome, View};
use crate::warnings;

/// A line for each item that ended.
#[derive(Debug, Default)]
pub(super) struct Plain {
    items: BTreeMap<usize, Item>,
}

impl View for Plain {
    fn begin(&mut self, number: usize, item: &Item) {
        self.items.insert(number, item.clone());
    }

    fn advance(&mut self, _: usize, _: u64) {}

    fn end(&mut self, number: usize, outcome: Outcome) {
        if let Some(item) = self.items.remove(&number) {
            let (what, words) = (item.what, outcome.words());
            let (digest, size) = (&item.digest, item.size);
            warnings::say(&format!("{what} {digest} ({size} bytes): {words}\n"));
        }
    }
}

/// A JSON object for each thing that happens: `begin`, `progress` (twice a second at most for an
/// item) and `end`.
#[derive(Debug, Default)]
pub(super) struct Json {
    items: BTreeMap<usize, (Item, u64, Option<Instant>)>,
}

const BETWEEN: Duration = Duration::from_millis(500);

impl Json {
    fn print(event: &str, item: &Item, position: u64, outcome: Option<Outcome>) {
        let mut line = json!({
            "event": event, "kind": item.what, "digest": item.digest,
            "size": item.size, "done": position,
        });
        if let Some(outcome) = outcome {
            line["outcome"] = json!(match outcome {
                Outcome::Done => "done",
                Outcome::Already => "already",
                Outcome::Mounted => "mounted",
                Outcome::Failed => "failed",
            });
        }
        warnings::say(&format!("{line}\n"));
    }
}

impl View for Json {
    fn begin(&mut self, number: usize, item: &Item) {
        Json::print("begin", item, 0, None);
        self.items.insert(number, (item.clone(), 0, None));
    }

    fn advance(&mut self, number: usize, position: u64) {
        let Some((item, known, last)) = self.items.get_mut(&number) else {
            return;
        };
        *known = position;
        if last.is_none_or(|last| last.elapsed() >= BETWEEN) {
            *last = Some(Instant::now());
            Json::print("progress", item, position, None);
        }
    }

    fn end(&mut self, number: usize, outcome: Outcome) {
        if let Some((item, position, _)) = self.items.remove(&number) {
            let position = match outcome {
                Outcome::Failed => position,
                _ => item.size,
            };
            Json::print("end", &item, position, Some(outcome));
        }
    }
}

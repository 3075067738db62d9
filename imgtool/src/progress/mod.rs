//! What a person or a program sees of a long transfer while it lasts, on standard error.

mod bars;
mod lines;

use std::io::IsTerminal;
use std::sync::{Arc, Mutex, PoisonError};

use clap::ValueEnum;

use crate::layout::digest::Digest;
use bars::Bars;
pub use bars::amount;
use lines::{Json, Plain};

/// How progress is shown.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, ValueEnum)]
pub enum Style {
    /// Bars on a terminal, otherwise plain lines.
    #[default]
    Auto,
    /// A line for each thing done.
    Plain,
    /// A JSON object a line, for programs.
    Json,
    /// Nothing.
    None,
}

/// A blob on its way.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Item {
    /// What it is: `layer`, `config`, or what is done with it: `unpack`.
    pub what: &'static str,
    /// Its digest.
    pub digest: Digest,
    /// Its length in bytes.
    pub size: u64,
}

impl Item {
    /// Enough of the digest for a person.
    fn short(&self) -> &str {
        &self.digest.hex()[..12]
    }
}

/// How an item ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// It came.
    Done,
    /// It was there.
    Already,
    /// The registry had it in another repository.
    Mounted,
    /// It did not come.
    Failed,
}

impl Outcome {
    /// For a person.
    fn words(self) -> &'static str {
        match self {
            Outcome::Done => "done",
            Outcome::Already => "already there",
            Outcome::Mounted => "mounted",
            Outcome::Failed => "failed",
        }
    }
}

/// Shows what is going on; used by many threads.
#[derive(Debug, Clone)]
pub struct Progress(Option<Arc<Mutex<Box<dyn View>>>>);

/// One way to show it.
trait View: std::fmt::Debug + Send {
    /// An item begins.
    fn begin(&mut self, number: usize, item: &Item);
    /// An item has come so far.
    fn advance(&mut self, number: usize, position: u64);
    /// An item has ended.
    fn end(&mut self, number: usize, outcome: Outcome);
}

impl Progress {
    /// Shows progress in a style.
    pub fn new(style: Style) -> Self {
        let view: Box<dyn View> = match style {
            Style::None => return Progress(None),
            Style::Json => Box::new(Json::default()),
            Style::Auto if std::io::stderr().is_terminal() => Box::new(Bars::default()),
            Style::Auto | Style::Plain => Box::new(Plain::default()),
        };
        Progress(Some(Arc::new(Mutex::new(view))))
    }

    fn tell(&self, what: impl FnOnce(&mut dyn View)) {
        if let Some(view) = &self.0 {
            what(&mut **view.lock().unwrap_or_else(PoisonError::into_inner));
        }
    }

    /// Begins an item; `number` tells it from the others.
    pub fn begin(&self, number: usize, item: &Item) {
        self.tell(|view| view.begin(number, item));
    }

    /// The item of a number, for who knows nothing of the others.
    pub fn of(&self, number: usize) -> ItemProgress {
        ItemProgress {
            all: self.clone(),
            number,
        }
    }

    /// An item has come so far, in bytes.
    pub fn advance(&self, number: usize, position: u64) {
        self.tell(|view| view.advance(number, position));
    }

    /// An item has ended.
    pub fn end(&self, number: usize, outcome: Outcome) {
        self.tell(|view| view.end(number, outcome));
    }
}

/// One item's progress.
#[derive(Debug)]
pub struct ItemProgress {
    all: Progress,
    number: usize,
}

impl ItemProgress {
    /// It has come so far, in bytes.
    pub fn advance(&self, position: u64) {
        self.all.advance(self.number, position);
    }
}

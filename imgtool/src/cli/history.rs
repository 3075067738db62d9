//! `history`: how an image of the store came about.

use std::io::Write;

use anyhow::Result;
use clap::Args;
use serde_json::{Value, json};

use super::arguments::{Connection, StoreArguments};
use super::table;
use super::template::Template;
use crate::progress::amount;
use crate::store::describe::Step;

/// Shows how an image of the store came about, the last step first.
#[derive(Debug, Args)]
#[command(after_help = "Example: windlass-img history registry.example.com/debian:12")]
pub struct HistoryOf {
    /// A JSON array, for programs.
    #[arg(long)]
    json: bool,

    /// A line for each, as inspect --format writes it, of the fields that --json has.
    #[arg(long, value_name = "TEMPLATE", value_parser = Template::argument, conflicts_with = "json")]
    format: Option<Template>,

    /// Commands and comments in full length.
    #[arg(long)]
    no_trunc: bool,

    #[command(flatten)]
    store: StoreArguments,
    #[command(flatten)]
    connection: Connection,

    /// The image: its name, or the beginning of its digest.
    image: String,
}

/// Characters of a command.
const SHORT: usize = 60;

impl HistoryOf {
    pub(super) fn run(self) -> Result<()> {
        let configuration = self.connection.configuration()?;
        let store = self.store.open()?;
        let image = store.describe(&store.find(&self.image, &configuration)?)?;
        let mut output = std::io::stdout().lock();
        let steps = image.history();
        if self.json {
            let all: Vec<_> = steps.iter().map(to_json).collect();
            writeln!(output, "{}", serde_json::to_string_pretty(&all)?)?;
            return Ok(());
        }
        if let Some(template) = &self.format {
            for step in &steps {
                output.write_all(template.line(&to_json(step))?.as_bytes())?;
            }
            return Ok(());
        }
        let mut rows = vec![["CREATED", "CREATED BY", "SIZE", "COMMENT"].map(str::to_owned)];
        for step in &steps {
            let created = step.history.created.as_deref().map(table::age);
            let size = step.layer.as_ref().map_or(0, |(_, size)| *size);
            rows.push([
                created.unwrap_or_default(),
                self.text(step.history.created_by.as_deref()),
                amount(size),
                self.text(step.history.comment.as_deref()),
            ]);
        }
        table::write(&mut output, &rows)?;
        Ok(())
    }

    /// An image's word, made fit for a terminal.
    fn text(&self, text: Option<&str>) -> String {
        let escaped: String = text.unwrap_or_default().escape_debug().collect();
        if self.no_trunc || escaped.chars().count() <= SHORT {
            return escaped;
        }
        let mut short: String = escaped.chars().take(SHORT - 1).collect();
        short.push('…');
        short
    }
}

fn to_json(step: &Step) -> Value {
    let (digest, size) = step.layer.clone().unzip();
    json!({
        "Created": step.history.created, "CreatedBy": step.history.created_by,
        "Author": step.history.author, "Comment": step.history.comment,
        "Layer": digest, "Size": size.unwrap_or(0),
    })
}

//! `--history.*`.

use anyhow::Result;
use clap::Args;

use crate::date;
use crate::layout::document::History;

/// What the image's history says of a change.
#[derive(Debug, Args)]
pub struct HistoryArguments {
    /// Make no entry in the image's history.
    #[arg(long, conflicts_with_all = ["history_author", "history_comment", "history_created", "history_created_by"])]
    no_history: bool,

    /// Who made the change.
    #[arg(long = "history.author", value_name = "NAME")]
    history_author: Option<String>,

    /// A note about the change.
    #[arg(long = "history.comment", value_name = "TEXT")]
    history_comment: Option<String>,

    /// When the change was made; now unless given, or what SOURCE_DATE_EPOCH says.
    #[arg(long = "history.created", value_name = "RFC3339", value_parser = date::checked)]
    history_created: Option<String>,

    /// What made the change.
    #[arg(long = "history.created_by", value_name = "COMMAND")]
    history_created_by: Option<String>,
}

impl HistoryArguments {
    /// The entry; nothing with `--no-history`. `author` and `made_by` are what it says unless the
    /// caller says otherwise.
    pub fn entry(self, author: Option<String>, made_by: &str) -> Result<Option<History>> {
        if self.no_history {
            return Ok(None);
        }
        let created = match self.history_created {
            Some(created) => created,
            None => date::now_or_epoch()?,
        };
        Ok(Some(History {
            created: Some(created),
            created_by: Some(
                self.history_created_by
                    .unwrap_or_else(|| made_by.to_owned()),
            ),
            author: self
                .history_author
                .or(author)
                .filter(|author| !author.is_empty()),
            comment: self.history_comment.filter(|comment| !comment.is_empty()),
            empty_layer: false,
        }))
    }
}

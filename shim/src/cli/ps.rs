//! `ps`: the containers that have a record.

use std::io::{self, Write};
use std::path::Path;

use anyhow::{Context, Result};
use clap::{Args, ValueEnum};

use crate::record::{Record, State, Status};

/// List the containers that have a record
///
/// STATUS is creating, running (with --health-cmd: starting, healthy or unhealthy), restarting (N) (it has ended with status N and waits to be started
/// again), exited (N), or orphaned: the supervisor was killed and knows of no end; windlass-shim rm
/// --force cleans up.
#[derive(Debug, Args)]
#[command(visible_alias = "list")]
pub struct Ps {
    /// How to print them; json is one object a line, as in state.json, with "supervised" added
    #[arg(long, value_enum, default_value = "table")]
    format: Format,
}

#[derive(Debug, Clone, Copy, ValueEnum)]
enum Format {
    Table,
    Json,
}

#[derive(serde::Serialize)]
struct Row {
    #[serde(flatten)]
    state: State,
    supervised: bool,
}

impl Ps {
    pub fn carry_out(self, root: &Path) -> Result<u8> {
        let mut rows = Vec::new();
        for record in Record::all(root)? {
            // Asked first: a supervisor that ends in between has written down how it ended.
            let supervised = record.is_supervised().unwrap_or(false);
            match record.read() {
                Ok(Some(state)) => rows.push(Row { state, supervised }),
                // One that is being made, or removed, under our eyes.
                Ok(None) => {}
                Err(error) => eprintln!("windlass-shim: warning: {error:#}"),
            }
        }
        let mut out = io::stdout().lock();
        let outcome = match self.format {
            Format::Table => table(&rows, &mut out),
            Format::Json => rows.iter().try_for_each(|row| {
                serde_json::to_writer(&mut out, row)?;
                writeln!(out)
            }),
        };
        match outcome {
            Err(error) if error.kind() == io::ErrorKind::BrokenPipe => Ok(0),
            outcome => outcome.context("writing to standard output").map(|()| 0),
        }
    }
}

fn table(rows: &[Row], out: &mut impl Write) -> io::Result<()> {
    let width = rows
        .iter()
        .map(|row| row.state.id.len())
        .max()
        .unwrap_or(0)
        .max(2);
    writeln!(
        out,
        "{:width$}  {:>7}  {:19}  {:20}  BUNDLE",
        "ID", "PID", "STATUS", "STARTED"
    )?;
    for Row { state, supervised } in rows {
        let pid = state
            .pid
            .filter(|_| state.status == Status::Running)
            .unwrap_or(0);
        let status = match (state.status, supervised) {
            (Status::Exited, _) => format!("exited ({})", state.exit_status.unwrap_or(0)),
            (_, false) => "orphaned".to_owned(),
            (Status::Creating, true) => "creating".to_owned(),
            (Status::Running, true) => match &state.health {
                Some(health) => format!("running ({})", health.status.name()),
                None => "running".to_owned(),
            },
            (Status::Restarting, true) => {
                format!("restarting ({})", state.last_exit_status.unwrap_or(0))
            }
        };
        let started = state
            .started
            .map_or("-".to_owned(), |started| format!("{started:.0}"));
        let (id, bundle) = (&state.id, state.bundle.display());
        writeln!(
            out,
            "{id:width$}  {pid:>7}  {status:19}  {started:20}  {bundle}"
        )?;
    }
    Ok(())
}

//! The command line: one file a verb.

mod arguments;
mod build;
mod bundle;
mod commit;
mod config;
mod copy;
mod delete;
mod diff;
mod gc;
mod hidden_input;
mod history;
mod images;
mod import;
mod init;
mod insert;
mod inspect;
mod list;
mod list_tags;
mod load;
mod login;
mod mount;
mod network_hook;
mod new;
mod pull;
mod push;
mod raw;
mod referrers;
mod remove;
mod repack;
mod save;
mod stat;
mod sync;
mod table;
mod tag;
mod template;
mod unbundle;
mod unpack;
mod untag;
mod usage;
mod verify;
mod volume;

use anyhow::Result;
use clap::{ArgAction, Parser, Subcommand};

use crate::warnings::{self, Level};

/// Gets, makes, keeps and unpacks OCI images.
#[derive(Debug, Parser)]
#[command(name = "windlass-img", version, disable_version_flag = true)]
#[command(disable_help_subcommand = true)]
#[command(args_override_self = true)]
pub struct CommandLine {
    /// How much to say of what is being done.
    #[arg(long, value_name = "LEVEL", default_value = "warn")]
    log: Level,

    /// Say what is being done, as --log=info.
    #[arg(long, conflicts_with = "log")]
    verbose: bool,

    /// Print version.
    #[arg(long, short = 'v', short_alias = 'V', action = ArgAction::Version)]
    version: (),

    #[command(subcommand)]
    verb: Verb,
}

#[derive(Debug, Subcommand)]
enum Verb {
    Init(init::Init),
    New(new::New),
    Unpack(unpack::Unpack),
    Repack(Box<repack::Repack>),
    Config(Box<config::Config>),
    Insert(Box<insert::Insert>),
    Tag(tag::Tag),
    #[command(alias = "remove")]
    Rm(remove::Remove),
    Gc(gc::Gc),
    Raw(Box<raw::Raw>),
    #[command(alias = "list")]
    Ls(list::List),
    Stat(stat::Stat),
    Build(Box<build::Build>),
    BuildGuard(build::BuildGuard),
    Bundle(Box<bundle::Bundle>),
    Unbundle(unbundle::Unbundle),
    Mount(mount::Mount),
    Diff(diff::Diff),
    Commit(Box<commit::Commit>),
    Load(load::Load),
    Copy(Box<copy::Copy>),
    Inspect(Box<inspect::Inspect>),
    Sync(Box<sync::Sync>),
    ListTags(Box<list_tags::ListTags>),
    Referrers(Box<referrers::Referrers>),
    Delete(Box<delete::Delete>),
    Login(Box<login::Login>),
    Logout(login::Logout),
    Pull(Box<pull::Pull>),
    Push(Box<push::Push>),
    Images(images::Images),
    Untag(untag::Untag),
    History(history::HistoryOf),
    Save(Box<save::Save>),
    Import(import::Import),
    Df(usage::DiskUsage),
    Verify(verify::Verify),
    Volume(volume::Volume),
    #[command(hide = true)]
    NetworkHook(network_hook::NetworkHook),
}

impl CommandLine {
    /// Does what was asked for.
    pub fn run(self) -> Result<()> {
        warnings::set_level(if self.verbose { Level::Info } else { self.log });
        match self.verb {
            Verb::Init(init) => init.run(),
            Verb::New(new) => new.run(),
            Verb::Unpack(unpack) => unpack.run(),
            Verb::Repack(repack) => repack.run(),
            Verb::Config(config) => config.run(),
            Verb::Insert(insert) => insert.run(),
            Verb::Tag(tag) => tag.run(),
            Verb::Rm(remove) => remove.run(),
            Verb::Gc(gc) => gc.run(),
            Verb::Raw(raw) => raw.run(),
            Verb::Ls(list) => list.run(),
            Verb::Stat(stat) => stat.run(),
            Verb::Build(build) => build.run(),
            Verb::BuildGuard(guard) => guard.run(),
            Verb::Bundle(bundle) => bundle.run(),
            Verb::Unbundle(unbundle) => unbundle.run(),
            Verb::Mount(mount) => mount.run(),
            Verb::Diff(diff) => diff.run(),
            Verb::Commit(commit) => commit.run(),
            Verb::Load(load) => load.run(),
            Verb::Copy(copy) => copy.run(),
            Verb::Inspect(inspect) => inspect.run(),
            Verb::Sync(sync) => sync.run(),
            Verb::ListTags(list) => list.run(),
            Verb::Referrers(referrers) => referrers.run(),
            Verb::Delete(delete) => delete.run(),
            Verb::Login(login) => login.run(),
            Verb::Logout(logout) => logout.run(),
            Verb::Pull(pull) => pull.run(),
            Verb::Push(push) => push.run(),
            Verb::Images(images) => images.run(),
            Verb::Untag(untag) => untag.run(),
            Verb::History(history) => history.run(),
            Verb::Save(save) => save.run(),
            Verb::Import(import) => import.run(),
            Verb::Df(usage) => usage.run(),
            Verb::Verify(verify) => verify.run(),
            Verb::Volume(volume) => volume.run(),
            Verb::NetworkHook(hook) => hook.run(),
        }
    }
}

#[cfg(test)]
mod tests {
    use clap::{Command, CommandFactory};

    use super::*;

    #[test]
    fn manual() {
        windlass_manual::keep(CommandLine::command()).unwrap();
    }

    #[test]
    fn every_verb_has_an_example() {
        fn without(command: &Command, found: &mut Vec<String>) {
            let mut verbs = command.get_subcommands().peekable();
            let says = command
                .get_after_help()
                .map(ToString::to_string)
                .unwrap_or_default();
            if verbs.peek().is_none() && !says.contains("Example") {
                found.push(command.get_name().to_owned());
            }
            verbs
                .filter(|verb| !verb.is_hide_set())
                .for_each(|verb| without(verb, found));
        }
        let mut found = Vec::new();
        without(&CommandLine::command(), &mut found);
        assert_eq!(found, [""; 0]);
    }
}

//! `windlass exec`

use super::ExitCode;
use std::os::fd::AsFd;
use std::path::PathBuf;

use super::Global;
use super::foreground::{Foreground, Signals, Terminal};
use super::log::Log;
use super::options::{MOST_DESCRIPTORS, check_preserved, console_socket, send_pidfd};
use crate::container::create::write_pid_file;
use crate::container::exec::{Request, SubCgroup, exec};
use crate::container::state::CONFIG_COPY;
use crate::error::{Error, Result};
use crate::spec::{
    Capabilities, ConfigText, Process, Text, User, check_process, read_config, read_process_file,
};

#[derive(Debug, clap::Args)]
pub(super) struct Arguments {
    /// A unix socket to which the pseudo-terminal's other end is sent
    #[arg(long, value_name = "PATH")]
    console_socket: Option<PathBuf>,
    /// A unix socket to which a pidfd of the process is sent
    #[arg(long, value_name = "PATH")]
    pidfd_socket: Option<PathBuf>,
    /// The working directory
    #[arg(long, value_name = "DIR")]
    cwd: Option<String>,
    /// Add this to the environment; may be repeated
    #[arg(short, long, value_name = "NAME=VALUE")]
    env: Vec<String>,
    /// Give the process a pseudo-terminal
    #[arg(short, long)]
    tty: bool,
    /// The user, and the group
    #[arg(short, long, value_name = "UID[:GID]")]
    user: Option<String>,
    /// Add a supplementary group; may be repeated
    #[arg(short = 'g', long, value_name = "GID")]
    additional_gids: Vec<u32>,
    /// Take the process from this file, as it stands: config.json's `process`
    #[arg(short, long, value_name = "FILE", conflicts_with_all = ["cwd", "env", "user",
        "additional_gids", "process_label", "apparmor", "no_new_privs", "cap", "command"])]
    process: Option<PathBuf>,
    /// Don't wait for the process
    #[arg(short, long)]
    detach: bool,
    /// Write the process id to this file
    #[arg(long, value_name = "FILE")]
    pid_file: Option<PathBuf>,
    /// The SELinux label
    #[arg(long, value_name = "LABEL")]
    process_label: Option<String>,
    /// The AppArmor profile
    #[arg(long, value_name = "PROFILE")]
    apparmor: Option<String>,
    /// Set no_new_privs
    #[arg(long)]
    no_new_privs: bool,
    /// Add a capability to the bounding, effective and permitted sets; may be repeated
    #[arg(short, long, value_name = "CAPABILITY")]
    cap: Vec<String>,
    /// Pass on this many more descriptors, from 3 on
    #[arg(long, value_name = "N", default_value_t = 0,
        value_parser = clap::value_parser!(u32).range(..=MOST_DESCRIPTORS))]
    preserve_fds: u32,
    /// Put the process into a cgroup below the container's; may be repeated
    #[arg(long, value_name = "[CONTROLLERS:]PATH")]
    cgroup: Vec<String>,
    /// Go ahead in a paused container: the process runs when it is resumed
    #[arg(long)]
    ignore_paused: bool,
    /// The container's name
    #[arg(value_name = "CONTAINER-ID")]
    id: String,
    /// The command and its arguments
    #[arg(
        value_name = "COMMAND",
        trailing_var_arg = true,
        allow_hyphen_values = true
    )]
    command: Vec<String>,
}

pub(super) fn run(arguments: &Arguments, global: &Global, log: &Log) -> Result<ExitCode> {
    let container = global.container(&arguments.id)?;
    let config = container
        .created()
        .and_then(|_| read_config(&container.directory.file(CONFIG_COPY)))?;
    let mut spec = config.spec()?;
    let own_file = match &arguments.process {
        Some(path) => Some(read_process_file(path)?),
        None => None,
    };
    let process = process_of(arguments, spec.process.take(), own_file.as_ref())?;
    check_process(&process)?;

    let mut terminal = None;
    let mut socket = console_socket(
        arguments.console_socket.as_deref(),
        process.terminal,
        arguments.detach,
    )?;
    if process.terminal && socket.is_none() {
        let (ours, for_init) = Terminal::pair()?;
        terminal = Some(ours);
        socket = Some(for_init);
    }
    check_preserved(arguments.preserve_fds)?;
    let signals = if arguments.detach {
        None
    } else {
        Some(Signals::take()?)
    };
    let executed = exec(
        &container,
        &spec,
        &process,
        Request {
            preserve_fds: arguments.preserve_fds,
            console_socket: socket,
            sub_cgroups: arguments
                .cgroup
                .iter()
                .map(|text| sub_cgroup(text))
                .collect(),
            ignore_paused: arguments.ignore_paused,
        },
        &mut |warning| log.warn(warning),
    )?;
    if let Some(path) = &arguments.pid_file {
        write_pid_file(path, executed.pid)?;
    }
    send_pidfd(arguments.pidfd_socket.as_deref(), &executed.pidfd)?;
    let Some(signals) = signals else {
        return Ok(ExitCode::SUCCESS);
    };
    Foreground {
        pid: executed.pid,
        pidfd: executed.pidfd.as_fd(),
        signals,
        terminal,
    }
    .wait()
}

/// The process to run: the file's as it stands, or the container's own with what the command line
/// says instead.
fn process_of<'a>(
    arguments: &'a Arguments,
    configured: Option<Process<'a>>,
    own_file: Option<&'a ConfigText>,
) -> Result<Process<'a>> {
    if let Some(file) = own_file {
        let mut process: Process<'a> = file.parse()?;
        process.terminal |= arguments.tty;
        return Ok(process);
    }
    if arguments.command.is_empty() {
        return Err(Error::new("process args cannot be empty").hint("name a command, or -p FILE"));
    }
    let mut process =
        configured.ok_or_else(|| Error::new("the container's config.json has no process"))?;
    process.args = arguments
        .command
        .iter()
        .map(|word| Text::from(word.as_str()))
        .collect();
    process.terminal = arguments.tty;
    process.console_size = None;
    if let Some(cwd) = &arguments.cwd {
        process.cwd = Text::from(cwd.as_str());
    }
    process
        .env
        .extend(arguments.env.iter().map(|entry| Text::from(entry.as_str())));
    if let Some(user) = &arguments.user {
        set_user(&mut process.user, user)?;
    }
    process
        .user
        .additional_gids
        .extend(&arguments.additional_gids);
    process.no_new_privileges |= arguments.no_new_privs;
    if let Some(profile) = &arguments.apparmor {
        process.apparmor_profile = Some(Text::from(profile.as_str()));
    }
    if let Some(label) = &arguments.process_label {
        process.selinux_label = Some(Text::from(label.as_str()));
    }
    add_capabilities(&mut process, &arguments.cap);
    Ok(process)
}

/// A uid, or a uid and a gid: what is printed back is what was given, digit by digit
/// (CVE-2026-30892 took `1` for 0).
fn set_user(user: &mut User, text: &str) -> Result<()> {
    let number = |part: &str, what: &str| -> Result<u32> {
        let digits = !part.is_empty() && part.bytes().all(|byte| byte.is_ascii_digit());
        part.parse()
            .ok()
            .filter(|number| digits && *number != u32::MAX)
            .ok_or_else(|| {
                Error::new(format!("parsing {part:?} as {what} for --user failed"))
                    .hint("a number from 0 to 4294967294")
            })
    };
    match text.split_once(':') {
        Some((uid, gid)) => {
            user.uid = number(uid, "uid")?;
            user.gid = number(gid, "gid")?;
        }
        None => user.uid = number(text, "uid")?,
    }
    Ok(())
}

/// To bounding, effective and permitted; to ambient only what the container's own inheritable set
/// has, and to inheritable never (CVE-2022-29162).
fn add_capabilities<'a>(process: &mut Process<'a>, added: &'a [String]) {
    if added.is_empty() {
        return;
    }
    let sets = process
        .capabilities
        .get_or_insert_with(Capabilities::default);
    for name in added {
        let name = Text::from(name.as_str());
        if sets.inheritable.contains(&name) {
            sets.ambient.push(name.clone());
        }
        sets.bounding.push(name.clone());
        sets.effective.push(name.clone());
        sets.permitted.push(name);
    }
}

fn sub_cgroup(text: &str) -> SubCgroup {
    match text.split_once(':') {
        Some((controllers, path)) => SubCgroup {
            controllers: controllers.split(',').map(str::to_owned).collect(),
            path: path.to_owned(),
        },
        None => SubCgroup {
            controllers: Vec::new(),
            path: text.to_owned(),
        },
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_user_is_what_was_given() {
        for (text, uid, gid) in [
            ("0", 0, 9),
            ("1", 1, 9),
            ("1000:1001", 1000, 1001),
            ("4294967294", 4_294_967_294, 9),
        ] {
            let mut user = User {
                gid: 9,
                ..User::default()
            };
            set_user(&mut user, text).unwrap();
            assert_eq!((user.uid, user.gid), (uid, gid), "{text}");
        }
        for text in [
            "",
            ":",
            "1:",
            ":1",
            "+1",
            "-1",
            "1 ",
            "0x0",
            "root",
            "4294967296",
            "4294967295",
        ] {
            assert!(set_user(&mut User::default(), text).is_err(), "{text:?}");
        }
    }

    #[test]
    fn added_capabilities_are_never_inheritable() {
        let mut process: Process<'_> =
            serde_json::from_str(r#"{"args":["a"],"capabilities":{"inheritable":["CAP_KILL"]}}"#)
                .unwrap();
        let added = ["CAP_KILL".to_owned(), "CAP_CHOWN".to_owned()];
        add_capabilities(&mut process, &added);
        let sets = process.capabilities.unwrap();
        assert_eq!(sets.inheritable, [Text::from("CAP_KILL")]);
        assert_eq!(sets.ambient, [Text::from("CAP_KILL")]);
        assert_eq!(sets.bounding.len(), 2);
    }
}

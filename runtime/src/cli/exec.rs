//! `windlass exec`

use std::os::fd::AsFd;

use super::ExitCode;
use super::container_options as options;
use super::exec_user::ExecUser;
use super::foreground::{Foreground, Signals, Terminal, own_size};
use super::global::Global;
use super::log::Log;
use super::parse::Arguments;
use super::syntax::{Flag, Positionals, Verb};
use crate::container::exec::{Request, SubCgroup, exec};
use crate::container::pid_file::write_pid_file;
use crate::error::{Error, Result};
use crate::spec::{Capabilities, ConfigText, Process, Text, check_process, read_process_file};

pub(super) static VERB: Verb = Verb {
    name: "exec",
    summary: "run one more process in a container",
    description: "\
The process is the container's own with what the options say instead, or, with
--process, what the file says; \"command\" and the other options about the process
are then of no effect.",
    positionals: Positionals {
        shown: "<container-id> <command> [command options]  || -p process.json <container-id>",
        least: 1,
        most: usize::MAX,
        end_options: true,
    },
    flags: &[
        &options::CONSOLE_SOCKET,
        &options::PIDFD_SOCKET,
        &CWD,
        &ENV,
        &TTY,
        &USER,
        &ADDITIONAL_GIDS,
        &PROCESS,
        &DETACH,
        &options::PID_FILE,
        &PROCESS_LABEL,
        &APPARMOR,
        &NO_NEW_PRIVS,
        &CAP,
        &options::PRESERVE_FDS,
        &CGROUP,
        &IGNORE_PAUSED,
    ],
    enters_container: true,
    failure_status: 255,
    run,
};

static CWD: Flag = Flag::text("cwd", "dir", "the working directory");
static ENV: Flag = Flag::texts("env", "name=value", "add this to the environment").or('e');
static TTY: Flag = Flag::switch("tty", "give the process a pseudo-terminal").or('t');
static USER: Flag = Flag::text("user", "uid[:gid]", "the user, and the group").or('u');
static ADDITIONAL_GIDS: Flag =
    Flag::numbers("additional-gids", "gid", "add a supplementary group").or('g');
static PROCESS: Flag = Flag::path(
    "process",
    "file",
    "take the process from this file: config.json's \"process\"; rights, limits and \
     scheduling that it doesn't name are the container's",
)
.or('p');
static DETACH: Flag = Flag::switch("detach", "don't wait for the process").or('d');
static PROCESS_LABEL: Flag = Flag::text("process-label", "label", "the SELinux label");
static APPARMOR: Flag = Flag::text("apparmor", "profile", "the AppArmor profile");
static NO_NEW_PRIVS: Flag = Flag::switch("no-new-privs", "set no_new_privs");
static CAP: Flag = Flag::texts(
    "cap",
    "capability",
    "add a capability to the bounding, effective and permitted sets",
)
.or('c');
static CGROUP: Flag = Flag::texts(
    "cgroup",
    "[controllers:]path",
    "put the process into a cgroup below the container's",
);
static IGNORE_PAUSED: Flag = Flag::switch(
    "ignore-paused",
    "go ahead in a paused container: the process runs when it is resumed",
);

fn run(arguments: &Arguments<'_>, global: &Global<'_>, log: &Log) -> Result<ExitCode> {
    execute(arguments, global, log).map_err(|error| error.context("exec failed"))
}

fn execute(arguments: &Arguments<'_>, global: &Global<'_>, log: &Log) -> Result<ExitCode> {
    let container = global.container(arguments.id()?)?;
    let detach = arguments.switch(&DETACH);
    let config = container.config()?;
    let mut spec = config.spec()?;
    let own_file = match arguments.path(&PROCESS) {
        Some(path) => Some(read_process_file(path)?),
        None => None,
    };
    let mut process = process_of(arguments, spec.process.take(), own_file.as_ref())?;
    check_process(&process)?;

    let mut terminal = None;
    let mut socket = options::console_socket(arguments, process.terminal, detach)?;
    if process.terminal && socket.is_none() {
        let (ours, for_init) = Terminal::pair()?;
        terminal = Some(ours);
        process.console_size = own_size().or(process.console_size);
        socket = Some(for_init);
    }
    let preserve_fds = options::preserve_fds(arguments)?;
    options::check_open(preserve_fds)?;
    let signals = if detach { None } else { Some(Signals::take()?) };
    let executed = exec(
        &container,
        &spec,
        &process,
        Request {
            preserve_fds,
            console_socket: socket,
            sub_cgroups: arguments.texts(&CGROUP).map(sub_cgroup).collect(),
            ignore_paused: arguments.switch(&IGNORE_PAUSED),
        },
        log,
    )?;
    if let Some(path) = arguments.path(&options::PID_FILE) {
        write_pid_file(path, executed.pid)?;
    }
    options::send_pidfd(arguments, &executed.pidfd)?;
    let Some(signals) = signals else {
        return Ok(ExitCode::SUCCESS);
    };
    let (status, rest) = Foreground {
        pid: executed.pid,
        pidfd: executed.pidfd.as_fd(),
        signals,
        terminal,
        notifier: None,
    }
    .wait()?;
    rest.pass_on();
    Ok(status)
}

/// The process to run: the file's as it stands, or the container's own with what the command line
/// says instead.
fn process_of<'a>(
    arguments: &Arguments<'a>,
    configured: Option<Process<'a>>,
    own_file: Option<&'a ConfigText>,
) -> Result<Process<'a>> {
    if let Some(file) = own_file {
        let mut process: Process<'a> = file.parse()?;
        process.terminal |= arguments.switch(&TTY);
        if let Some(configured) = configured {
            take_over(&mut process, configured);
        }
        return Ok(process);
    }
    let command = arguments.positionals().get(1..).unwrap_or_default();
    if command.is_empty() {
        return Err(Error::new("process args cannot be empty").hint("name a command, or -p FILE"));
    }
    let mut process =
        configured.ok_or_else(|| Error::new("the container's config.json has no process"))?;
    process.args = command
        .iter()
        .map(|word| word.to_str().map(Text::from))
        .collect::<Option<_>>()
        .ok_or_else(|| Error::new("the command is not UTF-8"))?;
    process.terminal = arguments.switch(&TTY);
    process.console_size = None;
    if let Some(cwd) = arguments.text(&CWD) {
        process.cwd = Text::from(cwd);
    }
    process.env.extend(arguments.texts(&ENV).map(Text::from));
    if let Some(user) = arguments.text(&USER) {
        let user: ExecUser = user.parse()?;
        process.user.uid = user.uid;
        if let Some(gid) = user.gid {
            process.user.gid = gid;
        }
    }
    for gid in arguments.numbers(&ADDITIONAL_GIDS) {
        let gid = u32::try_from(gid).ok().filter(|gid| *gid != u32::MAX);
        let gid = gid.ok_or_else(|| {
            Error::new("additional-gids must be a positive number").hint("from 0 to 4294967294")
        })?;
        process.user.additional_gids.push(gid);
    }
    if arguments.has(&NO_NEW_PRIVS) {
        process.no_new_privileges = arguments.switch(&NO_NEW_PRIVS);
    }
    if let Some(profile) = arguments.text(&APPARMOR) {
        process.apparmor_profile = Some(Text::from(profile));
    }
    if let Some(label) = arguments.text(&PROCESS_LABEL) {
        process.selinux_label = Some(Text::from(label));
    }
    add_capabilities(&mut process, arguments.texts(&CAP));
    Ok(process)
}

/// What a process of its own file gets from the container's where it says nothing, as with runc:
/// what bounds it, and how it is scheduled.
fn take_over<'a>(process: &mut Process<'a>, configured: Process<'a>) {
    fn unless_set<T>(own: &mut Option<T>, configured: Option<T>) {
        if own.is_none() {
            *own = configured;
        }
    }
    let named = |text: &Option<Text<'_>>| text.as_deref().is_some_and(|text| !text.is_empty());
    unless_set(&mut process.capabilities, configured.capabilities);
    if !named(&process.apparmor_profile) {
        process.apparmor_profile = configured.apparmor_profile;
    }
    if !named(&process.selinux_label) {
        process.selinux_label = configured.selinux_label;
    }
    if process.rlimits.is_empty() {
        process.rlimits = configured.rlimits;
    }
    unless_set(&mut process.scheduler, configured.scheduler);
    unless_set(&mut process.io_priority, configured.io_priority);
    unless_set(&mut process.exec_cpu_affinity, configured.exec_cpu_affinity);
    unless_set(&mut process.oom_score_adj, configured.oom_score_adj);
    unless_set(&mut process.user.umask, configured.user.umask);
}

/// To bounding, effective and permitted; to ambient only what the container's own inheritable set
/// has, and to inheritable never (CVE-2022-29162).
fn add_capabilities<'a>(process: &mut Process<'a>, added: impl Iterator<Item = &'a str>) {
    let mut added = added.peekable();
    if added.peek().is_none() {
        return;
    }
    let sets = process
        .capabilities
        .get_or_insert_with(Capabilities::default);
    for name in added {
        let name = Text::from(name);
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
    fn a_process_of_its_own_file_is_bound_as_the_container_is() {
        let configured: Process<'_> = serde_json::from_str(
            r#"{"args":["c"],"env":["A=1"],"noNewPrivileges":true,
                "user":{"uid":5,"gid":6,"umask":63,"additionalGids":[7]},
                "capabilities":{"bounding":["CAP_KILL"]},"apparmorProfile":"p","selinuxLabel":"l",
                "rlimits":[{"type":"RLIMIT_CORE","soft":1,"hard":1}],"oomScoreAdj":5,
                "scheduler":{"policy":"SCHED_BATCH"},"ioPriority":{"class":"IOPRIO_CLASS_BE"},
                "execCPUAffinity":{"initial":"0"}}"#,
        )
        .unwrap();
        let mut process: Process<'_> = serde_json::from_str(
            r#"{"args":["a"],"apparmorProfile":"","ioPriority":{"class":"IOPRIO_CLASS_IDLE"}}"#,
        )
        .unwrap();
        take_over(&mut process, configured);
        assert_eq!(
            process.capabilities.unwrap().bounding,
            [Text::from("CAP_KILL")]
        );
        assert_eq!(process.apparmor_profile.as_deref(), Some("p"));
        assert_eq!(process.selinux_label.as_deref(), Some("l"));
        assert_eq!((process.rlimits.len(), process.oom_score_adj), (1, Some(5)));
        assert_eq!(process.user.umask, Some(63));
        assert_eq!(&*process.scheduler.unwrap().policy, "SCHED_BATCH");
        assert_eq!(&*process.io_priority.unwrap().class, "IOPRIO_CLASS_IDLE");
        assert_eq!(
            process.exec_cpu_affinity.unwrap().initial.as_deref(),
            Some("0")
        );
        // Who it is and what it is handed is its own alone, and so is no_new_privs.
        assert_eq!((process.user.uid, process.user.gid), (0, 0));
        assert!(process.env.is_empty() && process.user.additional_gids.is_empty());
        assert!(!process.no_new_privileges);
    }

    #[test]
    fn added_capabilities_are_never_inheritable() {
        let mut process: Process<'_> =
            serde_json::from_str(r#"{"args":["a"],"capabilities":{"inheritable":["CAP_KILL"]}}"#)
                .unwrap();
        add_capabilities(&mut process, ["CAP_KILL", "CAP_CHOWN"].into_iter());
        let sets = process.capabilities.unwrap();
        assert_eq!(sets.inheritable, [Text::from("CAP_KILL")]);
        assert_eq!(sets.ambient, [Text::from("CAP_KILL")]);
        assert_eq!(sets.bounding.len(), 2);
    }
}

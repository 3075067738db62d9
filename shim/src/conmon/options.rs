//! conmon's options, those of 2.1 and of 2.2, and what each of them may not be.

use std::ffi::OsString;

use super::glib::{self, Asked, Entry, Given};
use super::report::Level;

/// The conmon whose options these are, as podman wants to read it from `--version`.
pub const CONMON_VERSION: &str = "2.2.1";

/// The command line, read.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Options {
    /// `--api-version`: the newer form of what goes through the pipes to the parent.
    pub api_version_1: bool,
    /// The bundle; by default the working directory. For an exec, where its sockets are to be.
    pub bundle: Option<String>,
    /// The container's id.
    pub cid: String,
    /// Where the supervisor's process id is written.
    pub conmon_pidfile: Option<String>,
    /// Where the runtime writes the id of the process.
    pub container_pidfile: Option<String>,
    /// What the link to the attach socket is called.
    pub cuuid: Option<String>,
    /// Supervise a process in a container that is there.
    pub exec: bool,
    /// It begins only when somebody is attached.
    pub exec_attach: bool,
    /// The file with config.json's `process` for it.
    pub exec_process_spec: Option<String>,
    /// What is run at the end.
    pub exit_command: Option<String>,
    /// Its arguments.
    pub exit_command_args: Vec<String>,
    /// In seconds.
    pub exit_delay: u64,
    /// The directory of the file with the exit status, which has the name of the container.
    pub exit_dir: Option<String>,
    /// The attach socket is reached through the bundle, not through a link.
    pub full_attach: bool,
    /// A client that goes doesn't end the container's input.
    pub leave_stdin_open: bool,
    /// Where log files may be; anywhere, if empty.
    pub log_allowlist_dirs: Vec<String>,
    /// In bytes; none is no limit.
    pub log_global_size_max: Option<u64>,
    /// `NAME=value`, for the journal.
    pub log_labels: Vec<String>,
    /// How much the supervisor itself says.
    pub log_level: Level,
    /// How many rotated files are kept.
    pub log_max_files: u32,
    /// `[DRIVER:]PATH`.
    pub log_paths: Vec<String>,
    /// A full log file is kept under another name.
    pub log_rotate: bool,
    /// In bytes; none is no limit.
    pub log_size_max: Option<u64>,
    /// For the journal.
    pub log_tag: Option<String>,
    /// The container's name, for the journal.
    pub name: Option<String>,
    /// Pieces of long lines are not marked in the journal.
    pub no_container_partial_message: bool,
    /// Passed to the runtime.
    pub no_new_keyring: bool,
    /// Passed to the runtime.
    pub no_pivot: bool,
    /// The log need not be on its disk at the end.
    pub no_sync_log: bool,
    /// Where the files `exit` and `oom` are left.
    pub persist_dir: Option<String>,
    /// The runtime's id replaces whatever `LISTEN_PID` is set to.
    pub replace_listen_pid: bool,
    /// The checkpoint to restore from.
    pub restore: Option<String>,
    /// The runtime, a path.
    pub runtime: String,
    /// What goes before the runtime's verb.
    pub runtime_args: Vec<String>,
    /// What goes behind it.
    pub runtime_opts: Vec<String>,
    /// The host's socket for sd_notify(3).
    pub sdnotify_socket: Option<String>,
    /// Refused.
    pub seccomp_notify_socket: Option<String>,
    /// Where links to attach sockets are made.
    pub socket_dir_path: Option<String>,
    /// The container has an input.
    pub stdin: bool,
    /// Supervise in the process that was called.
    pub sync: bool,
    /// Say in syslog, too, what the supervisor has to say.
    pub syslog: bool,
    /// Passed to the runtime.
    pub systemd_cgroup: bool,
    /// The process has a terminal.
    pub terminal: bool,
    /// In seconds; 0 is none.
    pub timeout: u64,
}

/// What the command line asks for.
#[derive(Debug)]
pub enum Request {
    /// Print this and be done.
    Print(String),
    /// Supervise a container or an exec.
    Supervise(Box<Options>),
}

/// Why a command line is refused.
#[derive(Debug, PartialEq, Eq)]
pub enum Wrong {
    /// It can't be read; the sentence follows "conmon: ".
    Unreadable(String),
    /// What it says can't be done; a message as of any other failure.
    Unfit(String),
}

impl Options {
    /// Reads the arguments (without the program's name).
    pub fn read(arguments: impl IntoIterator<Item = OsString>) -> Result<Request, Wrong> {
        let mut options = Options {
            log_max_files: 1,
            ..Options::default()
        };
        let mut log_level = None;
        let mut version = false;
        let asked = glib::parse(&ENTRIES, arguments, |given| {
            match given.long {
                "log-level" => log_level = Some(given.value),
                "version" => version = true,
                _ => return options.take(given),
            }
            Ok(())
        });
        let asked =
            asked.map_err(|error| Wrong::Unreadable(format!("option parsing failed: {error}")))?;
        if asked == Asked::Help {
            return Ok(Request::Print(glib::help("windlass-conmon", &ENTRIES)));
        }
        if version {
            let own = env!("CARGO_PKG_VERSION");
            return Ok(Request::Print(format!(
                "conmon version {CONMON_VERSION}\ncommit: windlass-shim {own}\n"
            )));
        }
        if options.log_rotate && options.log_max_files == 0 {
            return Err(Wrong::Unreadable(
                "log-max-files must be at least 1 when log-rotate is enabled, got 0".to_owned(),
            ));
        }
        if options.cid.is_empty() {
            return Err(Wrong::Unreadable(
                "Container ID not provided. Use --cid".to_owned(),
            ));
        }
        if let Some(level) = log_level {
            options.log_level = Level::named(&level)
                .ok_or_else(|| Wrong::Unfit(format!("No such log level {level}")))?;
        }
        options.check().map_err(Wrong::Unfit)?;
        Ok(Request::Supervise(Box::new(options)))
    }

    /// What the number in messages to the caller is called.
    pub fn key_of_messages(&self) -> &'static str {
        match (self.api_version_1, self.exec) {
            (true, _) => "data",
            (false, true) => "exit_code",
            (false, false) => "pid",
        }
    }

    fn take(&mut self, given: Given<'_>) -> Result<(), String> {
        match given.long {
            "exit-delay" => {
                let delay = glib::integer(&given, i64::from(i32::MIN), i64::from(i32::MAX))?;
                self.exit_delay = u64::try_from(delay).map_err(|_| {
                    "Delay before invoking exit command must be greater than or equal to 0"
                        .to_owned()
                })?;
            }
            "log-max-files" => {
                let files = glib::integer(&given, i64::from(i32::MIN), i64::from(i32::MAX))?;
                self.log_max_files = u32::try_from(files)
                    .map_err(|_| format!("log-max-files must be non-negative, got {files}"))?;
            }
            "log-size-max" => self.log_size_max = limit(&given)?,
            "log-global-size-max" => self.log_global_size_max = limit(&given)?,
            "timeout" => {
                let seconds = glib::integer(&given, i64::from(i32::MIN), i64::from(i32::MAX))?;
                self.timeout = u64::try_from(seconds).unwrap_or(0);
            }
            _ => self.take_plain(given.long, given.value),
        }
        Ok(())
    }

    fn take_plain(&mut self, long: &str, value: String) {
        match long {
            "api-version" => self.api_version_1 = true,
            "bundle" => self.bundle = Some(value),
            "cid" => self.cid = value,
            "conmon-pidfile" => self.conmon_pidfile = Some(value),
            "container-pidfile" | "pidfile" => self.container_pidfile = Some(value),
            "cuuid" => self.cuuid = Some(value),
            "exec" => self.exec = true,
            "exec-attach" => self.exec_attach = true,
            "exec-process-spec" => self.exec_process_spec = Some(value),
            "exit-command" => self.exit_command = Some(value),
            "exit-command-arg" => self.exit_command_args.push(value),
            "exit-dir" => self.exit_dir = Some(value),
            "full-attach" => self.full_attach = true,
            "leave-stdin-open" => self.leave_stdin_open = true,
            "log-allowlist-dir" => self.log_allowlist_dirs.push(value),
            "log-label" => self.log_labels.push(value),
            "log-path" => self.log_paths.push(value),
            "log-rotate" => self.log_rotate = true,
            "log-tag" => self.log_tag = Some(value),
            "name" => self.name = Some(value),
            "no-container-partial-message" => self.no_container_partial_message = true,
            "no-new-keyring" => self.no_new_keyring = true,
            "no-pivot" => self.no_pivot = true,
            "no-sync-log" => self.no_sync_log = true,
            "persist-dir" => self.persist_dir = Some(value),
            "replace-listen-pid" => self.replace_listen_pid = true,
            "restore" => self.restore = Some(value),
            "restore-arg" | "runtime-opt" => self.runtime_opts.push(value),
            "runtime" => self.runtime = value,
            "runtime-arg" => self.runtime_args.push(value),
            "sdnotify-socket" => self.sdnotify_socket = Some(value),
            "seccomp-notify-socket" => self.seccomp_notify_socket = Some(value),
            "socket-dir-path" => self.socket_dir_path = Some(value),
            "stdin" => self.stdin = true,
            "sync" => self.sync = true,
            "syslog" => self.syslog = true,
            "systemd-cgroup" => self.systemd_cgroup = true,
            "terminal" => self.terminal = true,
            // --seccomp-notify-plugins means nothing without a socket, and that is refused.
            _ => {}
        }
    }

    /// What conmon checks before it looks at logs and pipes.
    fn check(&self) -> Result<(), String> {
        if self.restore.is_some() && self.exec {
            return Err("Cannot use 'exec' and 'restore' at the same time".to_owned());
        }
        if self.exec_attach && !self.exec {
            return Err("Attach can only be specified with exec".to_owned());
        }
        if self.exec_attach && !self.api_version_1 {
            return Err("Attach can only be specified for a non-legacy exec session".to_owned());
        }
        // The older way to exec did without.
        if self.cuuid.is_none() && (!self.exec || self.api_version_1) {
            return Err("Container UUID not provided. Use --cuuid".to_owned());
        }
        if self.seccomp_notify_socket.is_some() {
            return Err(
                "seccomp support not present: --seccomp-notify-socket can't be served; \
                 name an agent in linux.seccomp.listenerPath instead"
                    .to_owned(),
            );
        }
        if self.runtime.is_empty() {
            return Err("Runtime path not provided. Use --runtime".to_owned());
        }
        if let Err(errno) = rustix::fs::access(self.runtime.as_str(), rustix::fs::Access::EXEC_OK) {
            return Err(format!(
                "Runtime path {} is not valid: {errno}",
                self.runtime
            ));
        }
        if self.exec && self.exec_process_spec.is_none() {
            return Err("Exec process spec path not provided. Use --exec-process-spec".to_owned());
        }
        Ok(())
    }
}

/// A size in bytes, of which anything below 1 is none.
fn limit(given: &Given<'_>) -> Result<Option<u64>, String> {
    let bytes = glib::integer(given, i64::MIN, i64::MAX)?;
    Ok(u64::try_from(bytes).ok().filter(|bytes| *bytes > 0))
}

const fn flag(long: &'static str, short: Option<char>, help: &'static str) -> Entry {
    Entry {
        long,
        short,
        takes_value: false,
        help,
    }
}

const fn value(long: &'static str, short: Option<char>, help: &'static str) -> Entry {
    Entry {
        long,
        short,
        takes_value: true,
        help,
    }
}

static ENTRIES: [Entry; 48] = [
    flag(
        "api-version",
        None,
        "Use the newer form of the messages in the pipes to the caller",
    ),
    value(
        "bundle",
        Some('b'),
        "Directory of the OCI bundle (default: the working directory)",
    ),
    value("cid", Some('c'), "ID of the container"),
    value(
        "conmon-pidfile",
        Some('P'),
        "Where to write the id of this supervisor",
    ),
    value(
        "container-pidfile",
        Some('p'),
        "Where the runtime is to write the id of the container's process",
    ),
    value("cuuid", Some('u'), "UUID of the container"),
    flag("exec", Some('e'), "Run a command in a running container"),
    flag(
        "exec-attach",
        None,
        "Wait for somebody to attach to the exec session",
    ),
    value("exec-process-spec", None, "File with the process to exec"),
    value(
        "exit-command",
        None,
        "Program to run when the container has ended",
    ),
    value(
        "exit-command-arg",
        None,
        "One more argument for the exit command (repeatable)",
    ),
    value(
        "exit-delay",
        None,
        "Seconds to wait before the exit command",
    ),
    value(
        "exit-dir",
        None,
        "Directory for the file with the exit status",
    ),
    flag(
        "full-attach",
        None,
        "Put the attach socket into the bundle and ignore --socket-dir-path",
    ),
    flag(
        "leave-stdin-open",
        None,
        "Keep stdin open when an attached client disconnects",
    ),
    value(
        "log-allowlist-dir",
        None,
        "Directory in which logs may be written (repeatable)",
    ),
    value(
        "log-global-size-max",
        None,
        "Bytes after which nothing more is logged",
    ),
    value(
        "log-label",
        None,
        "LABEL=VALUE to add to each entry of the journal (repeatable)",
    ),
    value("log-level", None, "error, warn, info, debug or trace"),
    value(
        "log-max-files",
        None,
        "How many rotated logs to keep (default: 1)",
    ),
    value(
        "log-path",
        Some('l'),
        "[DRIVER:]PATH of a log (repeatable): k8s-file, journald, passthrough or none",
    ),
    flag(
        "log-rotate",
        None,
        "Rotate a log that has reached --log-size-max instead of beginning it anew",
    ),
    value("log-size-max", None, "Bytes that a log file may hold"),
    value("log-tag", None, "Tag of the entries of the journal"),
    value("name", Some('n'), "Name of the container"),
    flag(
        "no-container-partial-message",
        None,
        "Don't mark parts of long lines in the journal",
    ),
    flag(
        "no-new-keyring",
        None,
        "Have the runtime make no session keyring",
    ),
    flag("no-pivot", None, "Have the runtime not use pivot_root"),
    flag(
        "no-sync-log",
        None,
        "Don't call fsync on the log at the end",
    ),
    value(
        "persist-dir",
        Some('0'),
        "Directory for files about the container that are to stay",
    ),
    value("pidfile", None, ""),
    flag(
        "replace-listen-pid",
        None,
        "Set LISTEN_PID to the runtime's id, whoever's it was",
    ),
    value(
        "restore",
        None,
        "Restore the container from this checkpoint",
    ),
    value("restore-arg", None, ""),
    value("runtime", Some('r'), "Path of the OCI runtime"),
    value(
        "runtime-arg",
        None,
        "One more global argument for the runtime (repeatable)",
    ),
    value(
        "runtime-opt",
        None,
        "One more argument behind the runtime's create, restore or exec (repeatable)",
    ),
    value(
        "sdnotify-socket",
        None,
        "Host's sd_notify socket to pass the container's messages to",
    ),
    value(
        "seccomp-notify-plugins",
        None,
        "No effect: there is no support for seccomp notification here",
    ),
    value(
        "seccomp-notify-socket",
        None,
        "Refused: there is no support for seccomp notification here",
    ),
    value(
        "socket-dir-path",
        None,
        "Directory for links to attach sockets (default: /var/run/crio)",
    ),
    flag("stdin", Some('i'), "Open a pipe to the container's stdin"),
    flag("sync", None, "Don't fork: supervise in this process"),
    flag("syslog", None, "Say to syslog, too, what is said on stderr"),
    flag(
        "systemd-cgroup",
        Some('s'),
        "Have the runtime make cgroups through systemd",
    ),
    flag("terminal", Some('t'), "Give the container a terminal"),
    value(
        "timeout",
        Some('T'),
        "Seconds after which the container is killed",
    ),
    flag("version", None, "Print the version and exit"),
];

#[cfg(test)]
mod tests {
    use super::*;

    fn options(line: &str) -> Result<Options, Wrong> {
        match Options::read(line.split_whitespace().map(OsString::from))? {
            Request::Supervise(options) => Ok(*options),
            Request::Print(text) => panic!("printed {text}"),
        }
    }

    /// As podman 4.3 calls conmon.
    #[test]
    fn podman_s_line_is_understood() {
        let line = "--api-version 1 -c ID -u UUID -r /bin/true -b /b -p /p -n name --exit-dir /e \
            --full-attach -s -l k8s-file:/l --log-level warning --runtime-arg --log-format=json \
            --runtime-arg --log --runtime-arg=/oci-log --conmon-pidfile /c -t --exit-command podman \
            --exit-command-arg --root --exit-command-arg / --log-size-max 10";
        let read = options(line).expect("understood");
        assert!(read.api_version_1 && read.full_attach && read.terminal && read.systemd_cgroup);
        assert_eq!(
            read.runtime_args,
            ["--log-format=json", "--log", "/oci-log"]
        );
        assert_eq!(read.exit_command_args, ["--root", "/"]);
        assert_eq!(
            (read.log_size_max, read.log_level),
            (Some(10), Level::Warning)
        );
        assert_eq!(read.log_paths, ["k8s-file:/l"]);
    }

    #[test]
    fn what_can_t_go_together_is_refused_in_conmon_s_words() {
        let unfit = |line: &str| match options(line) {
            Err(Wrong::Unfit(why)) => why,
            other => panic!("{other:?}"),
        };
        let sane = "-c a -u b -r /bin/true";
        assert!(unfit("-c a").starts_with("Container UUID not provided"));
        assert!(unfit("-c a -u b").starts_with("Runtime path not provided"));
        assert!(unfit("-c a -u b -r /no").starts_with("Runtime path /no is not valid"));
        assert!(unfit(&format!("{sane} --exec-attach")).contains("only be specified with exec"));
        assert!(unfit(&format!("{sane} -e --exec-attach")).contains("non-legacy exec session"));
        assert!(unfit("-c a -e -r /bin/true").starts_with("Exec process spec path"));
        assert!(unfit(&format!("{sane} -e --restore x")).contains("at the same time"));
        assert!(unfit(&format!("{sane} --log-level loud")).contains("No such log level loud"));
        let nobody = Wrong::Unreadable("Container ID not provided. Use --cid".to_owned());
        assert_eq!(options("-u b"), Err(nobody));
    }

    #[test]
    fn every_option_is_known_to_the_reader() {
        for entry in &ENTRIES {
            let mut options = Options::default();
            let given = Given {
                long: entry.long,
                spelling: "",
                value: "1".to_owned(),
            };
            options.take(given).expect("taken");
            let silent = ["seccomp-notify-plugins", "log-level", "version"].contains(&entry.long);
            assert_eq!(options == Options::default(), silent, "--{}", entry.long);
        }
    }
}

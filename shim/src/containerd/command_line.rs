//! The command line by which containerd calls a shim: flags as Go's `flag` package reads them
//! (`-name value`, `-name=value`, one dash or two), then what is to be done.

use std::ffi::OsString;
use std::fmt;
use std::path::PathBuf;

/// What `-help` prints.
const HELP: &str = "\
a containerd shim (runtime v2): containerd starts it, people don't. Its runtime is named by the
program's own name: containerd-shim-NAME-v2 runs NAME, unless the options that containerd passes on
name another (BinaryName).

  start                  begin to serve a container, or find who serves its pod; prints the address
  delete                 remove what a killed shim has left of a container
  -v, -version           print the version
  -info                  print what the runtime can do (protobuf; options on standard input)

  -namespace NAME        the containerd namespace of the container
  -id ID                 the container
  -address PATH          containerd's socket
  -bundle DIR            the bundle, if it is not the working directory (delete)
  -publish-binary PATH   accepted; events go to containerd's ttrpc socket ($TTRPC_ADDRESS)
  -socket PATH           serve on this socket instead of the one on standard input
  -debug                 log more
";

/// What the shim was called with.
#[derive(Debug, Default, PartialEq, Eq)]
pub struct CommandLine {
    /// Log more.
    pub debug: bool,
    /// The containerd namespace.
    pub namespace: String,
    /// The container's id.
    pub id: String,
    /// Containerd's socket.
    pub address: String,
    /// The bundle, if not the working directory.
    pub bundle: Option<PathBuf>,
    /// The socket to serve, if not standard input.
    pub socket: Option<PathBuf>,
    /// What is to be done.
    pub action: Action,
}

/// What is to be done.
#[derive(Debug, Default, PartialEq, Eq)]
pub enum Action {
    /// Be the shim.
    #[default]
    Serve,
    /// Have a shim.
    Start,
    /// Clean up after one.
    Delete,
    /// `-v`.
    Version,
    /// `-info`.
    Info,
    /// `-help`.
    Help,
}

/// The arguments make no sense.
#[derive(Debug, PartialEq, Eq)]
pub struct Misuse(String);

impl fmt::Display for Misuse {
    fn fmt(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str(&self.0)
    }
}

impl std::error::Error for Misuse {}

impl CommandLine {
    /// Reads the arguments that follow the program's name.
    pub fn parse(arguments: impl IntoIterator<Item = OsString>) -> Result<Self, Misuse> {
        let mut line = CommandLine::default();
        let mut arguments = arguments.into_iter();
        let action = loop {
            let Some(argument) = arguments.next() else {
                break None;
            };
            let text = text(argument, "an argument")?;
            let Some(flag) = text.strip_prefix('-').filter(|rest| !rest.is_empty()) else {
                break Some(text);
            };
            if flag == "-" {
                break arguments
                    .next()
                    .map(|next| self::text(next, "an argument"))
                    .transpose()?;
            }
            let flag = flag.strip_prefix('-').unwrap_or(flag);
            let (name, value) = match flag.split_once('=') {
                Some((name, value)) => (name, Some(value.to_owned())),
                None => (flag, None),
            };
            line.set(name, value, &mut arguments)?;
        };
        match action.as_deref() {
            _ if line.action != Action::Serve => {}
            None | Some("") => {}
            Some("start") => line.action = Action::Start,
            Some("delete") => line.action = Action::Delete,
            Some(other) => return Err(Misuse(format!("no such command: {other:?}"))),
        }
        Ok(line)
    }

    fn set(
        &mut self,
        name: &str,
        value: Option<String>,
        rest: &mut impl Iterator<Item = OsString>,
    ) -> Result<(), Misuse> {
        let action = match name {
            "v" | "version" => Some(Action::Version),
            "info" => Some(Action::Info),
            "h" | "help" => Some(Action::Help),
            _ => None,
        };
        if name == "debug" || action.is_some() {
            let on = truth(name, value)?;
            match action {
                Some(action) if on => self.action = action,
                Some(_) => {}
                None => self.debug = on,
            }
            return Ok(());
        }
        if ![
            "namespace",
            "id",
            "address",
            "bundle",
            "socket",
            "publish-binary",
            "debug-socket",
        ]
        .contains(&name)
        {
            return Err(Misuse(format!("flag provided but not defined: -{name}")));
        }
        let value = match value {
            Some(value) => value,
            None => match rest.next() {
                Some(value) => text(value, &format!("the value of -{name}"))?,
                None => return Err(Misuse(format!("flag needs an argument: -{name}"))),
            },
        };
        match name {
            "namespace" => self.namespace = value,
            "id" => self.id = value,
            "address" => self.address = value,
            "bundle" => self.bundle = path(value),
            "socket" => self.socket = path(value),
            // -publish-binary: events need no program. -debug-socket: the stock shim's profiler.
            _ => {}
        }
        Ok(())
    }
}

/// What `-help` prints for a program of this name.
pub fn help(program: &str) -> String {
    format!("{program}: {HELP}")
}

fn path(value: String) -> Option<PathBuf> {
    (!value.is_empty()).then(|| PathBuf::from(value))
}

fn text(argument: OsString, what: &str) -> Result<String, Misuse> {
    let refuse =
        |argument: OsString| Misuse(format!("{what} is not UTF-8: {}", argument.display()));
    argument.into_string().map_err(refuse)
}

/// A Boolean flag's value, if it has one, as Go's `strconv.ParseBool` reads it.
fn truth(name: &str, value: Option<String>) -> Result<bool, Misuse> {
    match value.as_deref() {
        None | Some("1" | "t" | "T" | "true" | "TRUE" | "True") => Ok(true),
        Some("0" | "f" | "F" | "false" | "FALSE" | "False") => Ok(false),
        Some(other) => Err(Misuse(format!(
            "invalid boolean value {other:?} for -{name}"
        ))),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parse(line: &str) -> Result<CommandLine, Misuse> {
        CommandLine::parse(
            line.split(' ')
                .filter(|word| !word.is_empty())
                .map(OsString::from),
        )
    }

    #[test]
    fn containerd_is_understood() {
        let line = "-namespace k8s.io -address /run/c.sock -publish-binary /usr/bin/containerd \
                    -id one -debug start";
        let expected = CommandLine {
            debug: true,
            namespace: "k8s.io".to_owned(),
            id: "one".to_owned(),
            address: "/run/c.sock".to_owned(),
            action: Action::Start,
            ..CommandLine::default()
        };
        assert_eq!(parse(line), Ok(expected));
        let line = "--namespace=n -id=one --bundle /b -debug=false delete";
        let expected = CommandLine {
            namespace: "n".to_owned(),
            id: "one".to_owned(),
            bundle: Some("/b".into()),
            action: Action::Delete,
            ..CommandLine::default()
        };
        assert_eq!(parse(line), Ok(expected));
        assert_eq!(parse("-v").map(|line| line.action), Ok(Action::Version));
        assert_eq!(parse("-info").map(|line| line.action), Ok(Action::Info));
        assert_eq!(parse("-id a").map(|line| line.action), Ok(Action::Serve));
    }

    #[test]
    fn what_makes_no_sense_is_named() {
        let message = |line: &str| parse(line).map_err(|misuse| misuse.0);
        let refused = |message: &str| Err(message.to_owned());
        assert_eq!(
            message("-what x"),
            refused("flag provided but not defined: -what")
        );
        assert_eq!(message("-id"), refused("flag needs an argument: -id"));
        assert_eq!(message("stop"), refused("no such command: \"stop\""));
        assert_eq!(
            message("-debug=maybe"),
            refused("invalid boolean value \"maybe\" for -debug")
        );
    }
}

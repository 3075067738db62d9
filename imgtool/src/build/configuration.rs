//! What instructions change of an image's configuration (image-spec config.md; the fields that only
//! Docker has, `Healthcheck`, `OnBuild` and `Shell`, as moby's image specification v1.2 has them).

use anyhow::{Context, Result, bail};
use serde_json::{Map, Value, json};

use super::dockerfile::instruction::{Command, Healthcheck};

/// The `config` object of an image configuration.
pub type Process = Map<String, Value>;

/// What runs commands in shell form unless SHELL says another.
const SHELL: [&str; 2] = ["/bin/sh", "-c"];

/// Docker's default.
pub const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// The texts of a list; none for what isn't one.
pub fn texts(process: &Process, field: &str) -> Vec<String> {
    let values = process.get(field).and_then(Value::as_array);
    let texts = values.into_iter().flatten().filter_map(Value::as_str);
    texts.map(str::to_owned).collect()
}

/// The text of a field; empty if there is none.
pub fn text<'a>(process: &'a Process, field: &str) -> &'a str {
    process
        .get(field)
        .and_then(Value::as_str)
        .unwrap_or_default()
}

/// What runs commands in shell form.
pub fn shell(process: &Process) -> Vec<String> {
    let shell = texts(process, "Shell");
    if shell.is_empty() {
        return SHELL.map(str::to_owned).to_vec();
    }
    shell
}

/// A command as a program and its arguments.
pub fn arguments(process: &Process, command: &Command) -> Vec<String> {
    match command {
        Command::Exec(arguments) => arguments.clone(),
        Command::Shell(text) => {
            let mut arguments = shell(process);
            arguments.push(text.clone());
            arguments
        }
    }
}

/// ENV.
pub fn set_variable(process: &mut Process, name: &str, value: &str) -> Result<()> {
    let prefix = format!("{name}=");
    let variable = Value::from(format!("{prefix}{value}"));
    let environment = list(process, "Env")?;
    let is_it = |known: &&mut Value| {
        known
            .as_str()
            .is_some_and(|known| known.starts_with(&prefix))
    };
    match environment.iter_mut().find(is_it) {
        Some(known) => *known = variable,
        None => environment.push(variable),
    }
    Ok(())
}

/// Where programs are, for an image that begins with nothing, as Docker has it.
pub fn add_path(process: &mut Process) -> Result<()> {
    set_variable(process, "PATH", PATH)
}

/// LABEL.
pub fn set_label(process: &mut Process, name: String, value: String) -> Result<()> {
    object(process, "Labels")?.insert(name, Value::from(value));
    Ok(())
}

/// A name in one of Go's sets, maps to empty objects: EXPOSE, VOLUME.
pub fn add_name(process: &mut Process, field: &str, name: String) -> Result<()> {
    object(process, field)?.insert(name, json!({}));
    Ok(())
}

/// ONBUILD.
pub fn add_trigger(process: &mut Process, trigger: &str) -> Result<()> {
    list(process, "OnBuild")?.push(Value::from(trigger));
    Ok(())
}

/// CMD.
pub fn set_cmd(process: &mut Process, command: &Command) {
    let arguments = arguments(process, command);
    process.insert("Cmd".to_owned(), json!(arguments));
}

/// ENTRYPOINT. It takes back a command that came from the image below: that was meant for another
/// program. One of this stage stays.
pub fn set_entrypoint(process: &mut Process, command: &Command, cmd_is_ours: bool) {
    let arguments = arguments(process, command);
    process.insert("Entrypoint".to_owned(), json!(arguments));
    if !cmd_is_ours {
        process.remove("Cmd");
    }
}

/// HEALTHCHECK.
pub fn set_healthcheck(process: &mut Process, check: &Healthcheck) {
    let test = match &check.command {
        None => json!(["NONE"]),
        Some(Command::Shell(text)) => json!(["CMD-SHELL", text]),
        Some(Command::Exec(arguments)) => {
            let mut test = vec!["CMD".to_owned()];
            test.extend(arguments.iter().cloned());
            json!(test)
        }
    };
    let mut value = json!({ "Test": test });
    let numbers = [
        ("Interval", check.interval),
        ("Timeout", check.timeout),
        ("StartPeriod", check.start_period),
        ("StartInterval", check.start_interval),
        ("Retries", check.retries.map(i64::from)),
    ];
    for (field, number) in numbers {
        if let Some(number) = number {
            value[field] = json!(number);
        }
    }
    process.insert("Healthcheck".to_owned(), value);
}

/// The ports of `80`, `80/udp`, `8000-8010/tcp`.
pub fn ports(text: &str) -> Result<Vec<String>> {
    let lower = text.to_ascii_lowercase();
    let (range, protocol) = lower.split_once('/').unwrap_or((&lower, "tcp"));
    if !matches!(protocol, "tcp" | "udp" | "sctp") {
        bail!(
            "'{}': the protocol is tcp, udp or sctp",
            text.escape_debug()
        );
    }
    let port = |text: &str| {
        let port = text.parse::<u16>().ok().filter(|port| *port > 0);
        port.with_context(|| format!("'{}' is no port from 1 to 65535", text.escape_debug()))
    };
    let (first, last) = match range.split_once('-') {
        Some((first, last)) => (port(first)?, port(last)?),
        None => (port(range)?, port(range)?),
    };
    if last < first {
        bail!("'{}' ends before it begins", text.escape_debug());
    }
    Ok((first..=last)
        .map(|port| format!("{port}/{protocol}"))
        .collect())
}

/// The names of signal(7), and the other names of some.
const SIGNALS: &[&str] = &[
    "ABRT", "ALRM", "BUS", "CHLD", "CLD", "CONT", "FPE", "HUP", "ILL", "INT", "IO", "IOT", "KILL",
    "PIPE", "POLL", "PROF", "PWR", "QUIT", "RTMAX", "RTMIN", "SEGV", "STKFLT", "STOP", "SYS",
    "TERM", "TRAP", "TSTP", "TTIN", "TTOU", "URG", "USR1", "USR2", "VTALRM", "WINCH", "XCPU",
    "XFSZ",
];

/// A signal's name or number, if it is one (signal(7)): engines refuse a container with any other.
pub fn signal(text: String) -> Result<String> {
    let name = text.to_ascii_uppercase();
    let name = name.strip_prefix("SIG").unwrap_or(&name);
    let in_range = |number: &str, range: std::ops::RangeInclusive<u32>| {
        number
            .parse::<u32>()
            .is_ok_and(|number| range.contains(&number))
    };
    let is_real_time = |(base, distance): (&str, &str)| {
        matches!(base, "RTMIN" | "RTMAX") && in_range(distance, 1..=30)
    };
    let is_one = SIGNALS.contains(&name)
        || in_range(&text, 1..=64)
        || name
            .split_once(if name.starts_with("RTMIN") { '+' } else { '-' })
            .is_some_and(is_real_time);
    if !is_one {
        bail!("'{}' is no signal", text.escape_debug());
    }
    Ok(text)
}

fn list<'a>(process: &'a mut Process, field: &str) -> Result<&'a mut Vec<Value>> {
    let value = process.entry(field).or_insert(Value::Null);
    if value.is_null() {
        *value = json!([]);
    }
    let context = || format!("the image's '{field}' is not a list");
    value.as_array_mut().with_context(context)
}

fn object<'a>(process: &'a mut Process, field: &str) -> Result<&'a mut Map<String, Value>> {
    let value = process.entry(field).or_insert(Value::Null);
    if value.is_null() {
        *value = json!({});
    }
    let context = || format!("the image's '{field}' is not an object");
    value.as_object_mut().with_context(context)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn variables_keep_their_place() {
        let mut process = Process::new();
        for (name, value) in [("A", "1"), ("B", "2"), ("A", "3")] {
            set_variable(&mut process, name, value).unwrap();
        }
        assert_eq!(texts(&process, "Env"), ["A=3", "B=2"]);
    }

    #[test]
    fn an_entrypoint_takes_back_an_older_command() {
        let exec = |text: &str| Command::Exec(vec![text.to_owned()]);
        let mut process = Process::new();
        set_cmd(&mut process, &Command::Shell("a b".to_owned()));
        assert_eq!(texts(&process, "Cmd"), ["/bin/sh", "-c", "a b"]);
        set_entrypoint(&mut process, &exec("x"), true);
        assert_eq!(texts(&process, "Cmd").len(), 3);
        set_entrypoint(&mut process, &exec("x"), false);
        assert!(!process.contains_key("Cmd"));
    }

    #[test]
    fn ports_are_numbers_and_protocols() {
        assert_eq!(ports("80").unwrap(), ["80/tcp"]);
        assert_eq!(ports("7-9/UDP").unwrap(), ["7/udp", "8/udp", "9/udp"]);
        for text in ["", "0", "65536", "9-7", "80/x", "1.2.3.4:80", "80:80", "a"] {
            assert!(ports(text).is_err(), "{text}");
        }
    }

    #[test]
    fn signals_are_names_and_numbers() {
        for text in [
            "SIGRTMIN+3",
            "RTMAX-2",
            "9",
            "64",
            "SIGTERM",
            "usr1",
            "SIGCLD",
        ] {
            assert!(signal(text.to_owned()).is_ok(), "{text}");
        }
        for text in [
            "",
            "0",
            "65",
            "a b",
            "FOO",
            "SIG",
            "SIGSIGHUP",
            "RTMIN-1",
            "RTMIN+",
            "HUP+1",
            "-1",
        ] {
            assert!(signal(text.to_owned()).is_err(), "{text}");
        }
    }
}

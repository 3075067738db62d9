//! `process.terminal`: the console socket, the terminal in the foreground, and what the program
//! sees of either.

use std::time::Duration;

use serde_json::json;

use crate::case::{CRUN, Case, Known, Stop, Verdict, check, equal, fail};
use crate::harness::console::{ConsoleSocket, open_terminal, read_terminal};
use crate::harness::{Bundle, Container, Context};
use crate::probe::Observation;

/// This chapter's cases.
pub const CASES: &[Case] = &[
    Case::must(
        "console/socket",
        "create hands the terminal's master over --console-socket",
        "receives it, starts the program, and reads its output from it",
        socket,
    )
    .clause(
        "config.md",
        "Process",
        "if set to true [...] a pseudoterminal pair is allocated",
    ),
    Case::must(
        "console/standard-streams",
        "descriptors 0, 1 and 2 are the one terminal, and the program's session has it",
        "compares the three, /dev/console and the controlling terminal",
        standard_streams,
    )
    .clause(
        "config.md",
        "Process",
        "the pseudoterminal pty is duplicated on the process's standard streams",
    ),
    Case::must(
        "console/dev-console",
        "/dev/console is the terminal",
        "compares its device number with that of descriptor 0",
        dev_console,
    )
    .clause(
        "config-linux.md",
        "Default Devices",
        "by bind mounting the pseudoterminal pty to /dev/console",
    ),
    Case::must(
        "console/size",
        "consoleSize is the terminal's size",
        "asks for 33 rows and 91 columns",
        size,
    )
    .clause(
        "config.md",
        "Process",
        "specifies the console size in characters of the terminal",
    ),
    Case::must(
        "console/size-ignored",
        "consoleSize without a terminal is ignored",
        "sets consoleSize beside terminal false",
        size_ignored,
    )
    .clause(
        "config.md",
        "Process",
        "Runtimes MUST ignore consoleSize if terminal is false or unset",
    ),
    Case::contract(
        "console/run-in-the-foreground",
        "run with a terminal passes bytes between it and the caller's",
        "runs in a pseudo-terminal of the case's own and reads the probe's output from it",
        foreground,
    )
    .clause(
        "runc",
        "run",
        "terminal: true without a console socket needs the caller's terminal",
    ),
    Case::contract(
        "console/socket-required",
        "create with terminal and without a console socket is refused",
        "calls create without --console-socket",
        socket_required,
    )
    .clause(
        "runc",
        "create",
        "cannot allocate tty if runc will detach without setting console socket",
    ),
    Case::contract(
        "console/socket-unwanted",
        "a console socket without terminal is refused",
        "calls create with --console-socket and terminal false",
        socket_unwanted,
    )
    .clause(
        "runc",
        "create",
        "cannot use console socket if runc will not detach or allocate tty",
    )
    .known(&[Known {
        runtimes: CRUN,
        why: "ignores the socket",
    }]),
    Case::contract(
        "console/exec-terminal",
        "exec --tty with a console socket gives its process a terminal",
        "executes the probe in a container without a terminal",
        exec_terminal,
    )
    .clause("runc command line", "exec", "--tty, -t; --console-socket"),
];

/// Creates a container with a terminal whose program reports, and returns what it saw.
fn on_terminal(
    context: &Context,
    questions: &[&str],
    change: impl FnOnce(&mut Bundle),
) -> Result<Observation, Stop> {
    let socket = ConsoleSocket::listen(&context.directory)?;
    let mut bundle = context.bundle()?;
    let mut words = vec!["see"];
    words.extend_from_slice(questions);
    bundle.set_probe(&words);
    bundle.config["process"]["terminal"] = json!(true);
    change(&mut bundle);
    let path = socket.path.to_string_lossy().into_owned();
    let (container, output) = context.attempt("create", &bundle, &["--console-socket", &path])?;
    output.must_work()?;
    let (mut master, _) = socket.receive()?;
    let pid = container.pid()?;
    container.start()?;
    let text = read_terminal(&mut master, Duration::from_secs(5))?;
    container.wait(pid)?;
    parse(&text)
}

/// Finds the probe's report in what a terminal shows; a runtime may write there as well.
fn parse(text: &str) -> Result<Observation, Stop> {
    let report = |line: &str| serde_json::from_str(&line[line.find('{')?..]).ok();
    match text.lines().find_map(report) {
        Some(seen) => Ok(seen),
        None => fail(format_args!(
            "the terminal shows no report of the probe: {text:?}"
        )),
    }
}

fn socket(context: &Context) -> Verdict {
    let seen = on_terminal(context, &[], |_| {})?;
    equal("terminals", seen.terminals.len(), 3)
}

fn standard_streams(context: &Context) -> Verdict {
    let seen = on_terminal(context, &["open:/dev/tty"], |_| {})?;
    let devices: Vec<u64> = seen
        .terminals
        .values()
        .map(|terminal| terminal.device)
        .collect();
    equal("terminals", devices.len(), 3)?;
    check(
        devices.windows(2).all(|pair| pair[0] == pair[1]),
        format_args!("the three are not one terminal: {devices:?}"),
    )?;
    check(
        seen.answer("open:/dev/tty").worked(),
        "the terminal is not the controlling one",
    )?;
    equal("session", seen.session, 1)?;
    let numbers: Vec<i32> = seen.descriptors.keys().copied().collect();
    equal("descriptors", numbers, vec![0, 1, 2])
}

fn dev_console(context: &Context) -> Verdict {
    let seen = on_terminal(context, &["stat:/dev/console"], |_| {})?;
    let status = seen.answer("stat:/dev/console").status.unwrap_or_default();
    let terminal = seen.terminals.get(&0).cloned().unwrap_or_default();
    let wanted = [
        rustix::fs::major(terminal.device),
        rustix::fs::minor(terminal.device),
    ];
    equal(
        "/dev/console",
        (status.kind.as_str(), status.device),
        ("character", wanted),
    )
}

fn size(context: &Context) -> Verdict {
    let seen = on_terminal(context, &[], |bundle| {
        bundle.config["process"]["consoleSize"] = json!({ "height": 33, "width": 91 });
    })?;
    let terminal = seen.terminals.get(&0).cloned().unwrap_or_default();
    equal(
        "rows and columns",
        (terminal.rows, terminal.columns),
        (33, 91),
    )
}

fn size_ignored(context: &Context) -> Verdict {
    let seen = context.see_with(&[], |config| {
        config["process"]["consoleSize"] = json!({ "height": 33, "width": 91 });
    })?;
    equal("terminals", seen.terminals.len(), 0)
}

fn foreground(context: &Context) -> Verdict {
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["see"]);
    bundle.config["process"]["terminal"] = json!(true);
    bundle.write()?;
    let container: Container<'_> = context.container()?;
    let directory = bundle.directory.to_string_lossy().into_owned();
    let (mut master, slave) = open_terminal()?;
    let running = context
        .call(&["run", "--bundle", &directory, &container.id])
        .terminal(slave)
        .spawn()?;
    let text = read_terminal(&mut master, Duration::from_secs(5))?;
    let output = running.wait()?;
    equal("exit status", output.status, 0)?;
    let seen = parse(&text)?;
    equal("terminals", seen.terminals.len(), 3)
}

fn socket_required(context: &Context) -> Verdict {
    context.must_refuse_with(|config| config["process"]["terminal"] = json!(true))?;
    Ok(())
}

fn socket_unwanted(context: &Context) -> Verdict {
    let socket = ConsoleSocket::listen(&context.directory)?;
    let mut bundle = context.bundle()?;
    bundle.set_probe(&["wait"]);
    let path = socket.path.to_string_lossy().into_owned();
    let (_container, output) = context.attempt("create", &bundle, &["--console-socket", &path])?;
    output.must_fail()?;
    Ok(())
}

fn exec_terminal(context: &Context) -> Verdict {
    let container = context.started(context.bundle()?)?;
    let socket = ConsoleSocket::listen(&context.directory)?;
    let path = socket.path.to_string_lossy().into_owned();
    let pid_file = context
        .directory
        .join("exec.pid")
        .to_string_lossy()
        .into_owned();
    container
        .call(
            "exec",
            &[
                "--tty",
                "--detach",
                "--console-socket",
                &path,
                "--pid-file",
                &pid_file,
            ],
            &["/probe", "probe", "see", "open:/dev/tty"],
        )?
        .must_work()?;
    let (mut master, _) = socket.receive()?;
    let text = read_terminal(&mut master, Duration::from_secs(5))?;
    // We are its reaper, and the pid namespace does not end before it is reaped.
    container.wait(std::fs::read_to_string(&pid_file)?.trim().parse()?)?;
    let seen = parse(&text)?;
    equal("terminals", seen.terminals.len(), 3)?;
    check(
        seen.answer("open:/dev/tty").worked(),
        "the terminal is not the controlling one",
    )
}

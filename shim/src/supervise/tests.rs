//! The loop with several processes at once, and a runtime of a few lines of shell.
//!
//! Each test has to be a process of its own (as cargo-nextest has it): a supervisor reaps all
//! children of its process.

use std::collections::BTreeMap;
use std::ffi::OsStr;
use std::fs::{self, File, OpenOptions};
use std::io::{Read, Write};
use std::os::fd::OwnedFd;
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant};

use anyhow::Result;
use tempfile::TempDir;

use super::log::{FileOptions, LogOptions, OutletOptions};
use super::output::{OutputStream, Turn};
use super::*;

/// `exec --process FILE` runs FILE by the shell, in the background; `hang` hangs; `say WORDS` says
/// them; `exec` with an id of `killed` is killed when the process is there.
const RUNTIME: &str = r#"#!/bin/sh
verb=$1; shift
while [ $# -gt 0 ]; do
    case $1 in
        --pid-file) pid_file=$2; shift 2 ;;
        --process) process=$2; shift 2 ;;
        --detach) shift ;;
        *) id=$1; shift ;;
    esac
done
case $verb in
    exec)
        [ "$id" != refused ] || { echo no such thing >&2; exit 1; }
        # In a subshell that ends at once, because a shell waits for its own children.
        exec 3<&0
        (sh -c 'echo $$ >"$0.new"; mv "$0.new" "$0"; exec sh "$1"' "$pid_file" "$process" <&3 3<&- &)
        until [ -e "$pid_file" ]; do :; done
        [ "$id" != killed ] || exec sleep 600
        [ "$id" != late ] || sleep 0.3
        ;;
    hang) exec sleep 600 ;;
    say) echo "$id"; echo "about $id" >&2 ;;
esac
"#;

struct Place {
    directory: TempDir,
    runtime: Runtime,
    next: u32,
}

impl Place {
    fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let program = directory.path().join("runtime");
        fs::write(&program, RUNTIME).unwrap();
        fs::set_permissions(&program, fs::Permissions::from_mode(0o755)).unwrap();
        let runtime = Runtime {
            program,
            root: None,
            arguments: Vec::new(),
        };
        Place {
            directory,
            runtime,
            next: 0,
        }
    }

    fn path(&self, name: &str) -> PathBuf {
        self.directory.path().join(name)
    }

    fn exec(&mut self, id: &str, script: &str, stdin: Input, stdout: Output) -> Birth {
        self.next += 1;
        let process = self.path(&format!("process.{}", self.next));
        fs::write(&process, script).unwrap();
        Birth {
            runtime: self.runtime.clone(),
            descent: Descent::Exec(process),
            id: id.to_owned(),
            options: Vec::new(),
            pid_file: self.path(&format!("pid.{}", self.next)),
            directory: self.directory.path().to_owned(),
            terminal: None,
            stdin,
            stdout,
            stderr: Output::Front,
            log: None,
            owner: None,
            patience: None,
            listen_pid: false,
        }
    }

    fn fifo(&self, name: &str) -> PathBuf {
        let path = self.path(name);
        let mode = rustix::fs::Mode::RUSR | rustix::fs::Mode::WUSR;
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0).unwrap();
        path
    }
}

/// Both ends, as containerd's shims hold their fifos, so that opening never waits.
fn held(path: &Path) -> OwnedFd {
    let file = OpenOptions::new()
        .read(true)
        .write(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(path);
    file.unwrap().into()
}

/// Keeps what it is told, and is done when `wanted` processes have drained and `calls` calls ended.
#[derive(Default)]
struct Notes {
    wanted: usize,
    calls: usize,
    born: BTreeMap<ProcessKey, Result<Born, Refusal>>,
    exits: BTreeMap<ProcessKey, i32>,
    drained: Vec<ProcessKey>,
    output: BTreeMap<ProcessKey, Vec<u8>>,
    called: Vec<Result<Said, Failure>>,
    /// What is to happen to the loop when the first process has drained.
    hung: Option<CallKey>,
    deadline: Option<Instant>,
    /// Processes aren't forgotten when they have drained.
    keeps: bool,
}

impl Notes {
    fn of(wanted: usize, calls: usize) -> Self {
        Notes {
            wanted,
            calls,
            deadline: Some(Instant::now() + Duration::from_secs(20)),
            ..Notes::default()
        }
    }
}

impl Front for Notes {
    fn ready(&mut self, _event: Event, _core: &mut Supervisor) -> Result<()> {
        Ok(())
    }
    fn born(
        &mut self,
        key: ProcessKey,
        outcome: Result<Born, Refusal>,
        _core: &mut Supervisor,
    ) -> Result<()> {
        self.born.insert(key, outcome);
        Ok(())
    }
    fn called(
        &mut self,
        _key: CallKey,
        outcome: Result<Said, Failure>,
        _core: &mut Supervisor,
    ) -> Result<()> {
        self.called.push(outcome);
        Ok(())
    }
    fn output(&mut self, key: ProcessKey, _: Source, bytes: &[u8], _: &Poller) -> Result<()> {
        self.output.entry(key).or_default().extend_from_slice(bytes);
        Ok(())
    }
    fn holds_back(&self, _key: ProcessKey) -> bool {
        false
    }
    fn input_wanted(&mut self, _key: ProcessKey, _core: &mut Supervisor) -> Result<()> {
        Ok(())
    }
    fn exited(&mut self, key: ProcessKey, exit: Exit, core: &mut Supervisor) -> Result<()> {
        self.exits.insert(key, exit.status);
        core.listen_for(key, Duration::from_millis(100));
        Ok(())
    }
    fn drained(&mut self, key: ProcessKey, _: Vec<String>, core: &mut Supervisor) -> Result<()> {
        self.drained.push(key);
        if !self.keeps {
            core.forget(key)?;
        }
        if let Some(call) = self.hung.take() {
            core.interrupt(call, "enough");
        }
        Ok(())
    }
    fn signalled(&mut self, _signal: i32, _core: &mut Supervisor) -> Result<()> {
        Ok(())
    }
    fn next_alarm(&self) -> Option<Instant> {
        self.deadline
    }
    fn alarm(&mut self, _core: &mut Supervisor) -> Result<()> {
        anyhow::bail!(
            "took too long: {:?} {:?} {:?}",
            self.born,
            self.exits,
            self.called
        )
    }
    fn is_done(&self) -> bool {
        let refused = self.born.values().filter(|born| born.is_err()).count();
        self.drained.len() + refused >= self.wanted && self.called.len() >= self.calls
    }
}

#[test]
fn a_runtime_that_hangs_stops_nobody_else() {
    let mut place = Place::new();
    let mut core = Supervisor::new(&[]).unwrap();
    let mut notes = Notes::of(2, 1);
    let birth = place.exec("one", "echo one; exit 1", Input::Null, Output::Front);
    let one = core.give_birth(birth);
    notes.hung = Some(core.call(&place.runtime, "hang", &[OsStr::new("x")], false, None));
    let birth = place.exec("two", "echo two; exit 2", Input::Null, Output::Front);
    let two = core.give_birth(birth);
    core.run(&mut notes).unwrap();
    assert_eq!(notes.exits, BTreeMap::from([(one, 1), (two, 2)]));
    assert_eq!(notes.output[&one], b"one\n");
    assert_eq!(notes.output[&two], b"two\n");
    let failure = notes.called.pop().unwrap().unwrap_err();
    assert_eq!(
        failure.message,
        "runtime hang failed (enough, so it was killed)"
    );
}

#[test]
fn what_a_call_prints_is_kept_apart_from_what_it_says() {
    let place = Place::new();
    let mut core = Supervisor::new(&[]).unwrap();
    let mut notes = Notes::of(0, 1);
    core.call(&place.runtime, "say", &[OsStr::new("words")], true, None);
    core.run(&mut notes).unwrap();
    let said = notes.called.pop().unwrap().unwrap();
    assert_eq!(said.output, b"words\n");
    assert_eq!(said.messages, "about words\n");
}

#[test]
fn a_runtime_that_is_not_there_is_a_refusal() {
    let mut place = Place::new();
    place.runtime.program = place.path("nowhere");
    let mut core = Supervisor::new(&[]).unwrap();
    let mut notes = Notes::of(1, 1);
    core.call(&place.runtime, "say", &[], false, None);
    let birth = place.exec("one", "", Input::Null, Output::Front);
    let key = core.give_birth(birth);
    core.run(&mut notes).unwrap();
    let Some(Err(Refusal { message: why, .. })) = notes.born.remove(&key) else {
        panic!("it was born");
    };
    assert!(why.contains("nowhere: No such file"), "{why}");
    let failure = notes.called.pop().unwrap().unwrap_err();
    assert!(failure.message.contains("nowhere: No such file"));
}

#[test]
fn what_a_runtime_says_that_refuses_is_not_lost_to_the_process() {
    let mut place = Place::new();
    let mut core = Supervisor::new(&[]).unwrap();
    let mut notes = Notes::of(1, 0);
    let birth = place.exec("refused", "", Input::Null, Output::Front);
    let key = core.give_birth(birth);
    core.run(&mut notes).unwrap();
    let Some(Err(Refusal { message: why, .. })) = notes.born.remove(&key) else {
        panic!("it was born");
    };
    assert_eq!(why, "runtime exec failed (exit status: 1): no such thing");
}

#[test]
fn an_end_before_the_runtimes_own_is_not_lost() {
    let mut place = Place::new();
    let mut core = Supervisor::new(&[]).unwrap();
    let mut notes = Notes::of(1, 0);
    let birth = place.exec("late", "exit 7", Input::Null, Output::Front);
    let key = core.give_birth(birth);
    core.run(&mut notes).unwrap();
    assert_eq!(notes.exits[&key], 7);
}

#[test]
fn a_process_whose_runtime_was_killed_is_killed_too() {
    let mut place = Place::new();
    let mut core = Supervisor::new(&[]).unwrap();
    let mut notes = Notes::of(1, 0);
    let script = format!("echo $$ >{}; exec sleep 600", place.path("up").display());
    let mut birth = place.exec("killed", &script, Input::Null, Output::Front);
    birth.patience = Some(Duration::from_secs(1));
    let key = core.give_birth(birth);
    core.run(&mut notes).unwrap();
    let Some(Err(Refusal { message: why, .. })) = notes.born.remove(&key) else {
        panic!("it was born");
    };
    assert!(why.contains("it took more than 1 s"), "{why}");
    let pid = fs::read_to_string(place.path("up")).unwrap();
    let deadline = Instant::now() + Duration::from_secs(10);
    let stat = PathBuf::from(format!("/proc/{}/stat", pid.trim()));
    while fs::read_to_string(&stat).is_ok_and(|stat| !stat.contains(") Z ")) {
        assert!(Instant::now() < deadline, "{pid} is alive");
        std::thread::sleep(Duration::from_millis(5));
    }
}

#[test]
fn a_fifo_gets_every_byte_however_slowly_it_is_read() {
    const LENGTH: usize = 3 * 1024 * 1024;
    let mut place = Place::new();
    let fifo = place.fifo("out");
    let mut core = Supervisor::new(&[]).unwrap();
    let mut notes = Notes::of(2, 0);
    let sink = Output::Into(held(&fifo));
    let script = format!("head -c {LENGTH} /dev/zero; printf end");
    let birth = place.exec("slow", &script, Input::Null, sink);
    let slow = core.give_birth(birth);
    let birth = place.exec("quick", "echo quick", Input::Null, Output::Front);
    let quick = core.give_birth(birth);
    let mut reader = File::open(&fifo).unwrap();
    let reading = std::thread::spawn(move || {
        std::thread::sleep(Duration::from_millis(500));
        let mut bytes = vec![0; LENGTH + 3];
        reader.read_exact(&mut bytes).unwrap();
        bytes
    });
    core.run(&mut notes).unwrap();
    let bytes = reading.join().unwrap();
    assert!(bytes.ends_with(b"\0end"));
    // The quick one did not wait for the slow one.
    assert_eq!(notes.drained, [quick, slow]);
}

#[test]
fn a_file_gets_a_copy() {
    let mut place = Place::new();
    let path = place.path("log");
    fs::write(&path, "before\n").unwrap();
    let file = OpenOptions::new().append(true).open(&path).unwrap();
    let mut core = Supervisor::new(&[]).unwrap();
    let mut notes = Notes::of(1, 0);
    let birth = place.exec("file", "echo after", Input::Null, Output::Into(file.into()));
    core.give_birth(birth);
    core.run(&mut notes).unwrap();
    assert_eq!(fs::read_to_string(path).unwrap(), "before\nafter\n");
}

#[test]
fn input_comes_from_a_fifo_until_its_writers_have_closed_it() {
    const LENGTH: usize = 1024 * 1024;
    let mut place = Place::new();
    let fifo = place.fifo("in");
    let mut core = Supervisor::new(&[]).unwrap();
    let mut notes = Notes::of(1, 0);
    let source: OwnedFd = OpenOptions::new()
        .read(true)
        .custom_flags(libc::O_NONBLOCK)
        .open(&fifo)
        .unwrap()
        .into();
    let script = "sleep 0.2; wc -c";
    let birth = place.exec("reader", script, Input::From(source), Output::Front);
    let key = core.give_birth(birth);
    let mut writer = OpenOptions::new().write(true).open(&fifo).unwrap();
    let writing = std::thread::spawn(move || writer.write_all(&vec![b'x'; LENGTH]).unwrap());
    core.run(&mut notes).unwrap();
    writing.join().unwrap();
    let count = String::from_utf8(notes.output[&key].clone()).unwrap();
    assert_eq!(count.trim(), LENGTH.to_string());
}

#[test]
fn a_stream_that_others_hold_is_given_up_when_it_is_read_empty() {
    let mut place = Place::new();
    let mut core = Supervisor::new(&[]).unwrap();
    let mut notes = Notes::of(1, 0);
    let script = format!(
        "echo first; (sleep 600 & echo $! >{}); echo last",
        place.path("holder").display()
    );
    let birth = place.exec("parent", &script, Input::Null, Output::Front);
    let key = core.give_birth(birth);
    core.run(&mut notes).unwrap();
    assert_eq!(notes.output[&key], b"first\nlast\n");
    let holder = fs::read_to_string(place.path("holder")).unwrap();
    let holder = rustix::process::Pid::from_raw(holder.trim().parse().unwrap()).unwrap();
    rustix::process::kill_process(holder, rustix::process::Signal::KILL).unwrap();
}

#[test]
#[expect(clippy::zombie_processes, reason = "the supervisor reaps it")]
fn a_number_that_an_ended_process_had_is_reaped_like_any_other() {
    let mut place = Place::new();
    let mut core = Supervisor::new(&[]).unwrap();
    let mut notes = Notes::of(1, 0);
    // Kept although it has ended, as a stopped task is until it is deleted.
    notes.keeps = true;
    let birth = place.exec("one", "exit 1", Input::Null, Output::Front);
    let one = core.give_birth(birth);
    core.run(&mut notes).unwrap();
    let number = core.pid(one).unwrap().as_raw_pid();
    // The next process gets its number (namespaces(7) of pids: ns_last_pid).
    fs::write("/proc/sys/kernel/ns_last_pid", (number - 1).to_string()).unwrap();
    let mut orphan = std::process::Command::new("true").spawn().unwrap();
    if i32::try_from(orphan.id()).unwrap() != number {
        println!("skipped: another process was quicker");
        orphan.wait().unwrap();
        return;
    }
    let mut notes = Notes::of(1, 0);
    let birth = place.exec("two", "sleep 0.2", Input::Null, Output::Front);
    core.give_birth(birth);
    core.run(&mut notes).unwrap();
    assert_eq!(notes.drained.len(), 1);
}

#[test]
fn a_line_is_not_cut_where_a_turn_ends() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    // More than one turn reads.
    let lines: Vec<String> = (0..40_000).map(|number| format!("{number:099}")).collect();
    fs::write(&source, lines.join("\n") + "\n$ ").unwrap();
    let path = directory.path().join("log");
    let mut log = Log::open(&LogOptions {
        outlets: vec![OutletOptions::File(FileOptions::new(path.clone()))],
        rate: None,
    })
    .unwrap();
    let (poller, mut notes) = (Poller::new().unwrap(), Notes::default());
    let fd = File::open(&source).unwrap().into();
    let mut output = OutputStream::new(ProcessKey(1), Source::Stdout, fd, None);
    let (mut buffer, mut turns) = (Vec::new(), 0);
    let mut turn = || {
        let done = output.turn(&mut buffer, Some(&mut log), &mut notes, &poller);
        turns += 1;
        done.unwrap().1
    };
    while turn() != Turn::Ended {}
    assert!(turns > 1);
    let text = fs::read_to_string(&path).unwrap();
    let mut records: Vec<&str> = text
        .lines()
        .map(|line| line.split_once(" stdout ").unwrap().1)
        .collect();
    // What nothing follows is there, too: it may be a prompt.
    assert_eq!(records.pop(), Some("P $ "));
    let expected = lines.iter().map(|line| format!("F {line}"));
    assert!(records.into_iter().eq(expected), "a line was cut or lost");
    let read = fs::read(&source).unwrap();
    assert!(notes.output[&ProcessKey(1)] == read);
}

#[test]
fn a_stream_that_the_kernel_won_t_watch_is_read_every_now_and_then() {
    let directory = tempfile::tempdir().unwrap();
    let source = directory.path().join("source");
    fs::write(&source, "all of it").unwrap();
    let (poller, mut notes) = (Poller::new().unwrap(), Notes::default());
    let fd = File::open(&source).unwrap().into();
    let mut output = OutputStream::new(ProcessKey(1), Source::Stdout, fd, None);
    // epoll refuses a file, as it refuses a pipe once fs.epoll.max_user_watches is reached.
    output.set_watched(true, &poller).unwrap();
    let due = output.retry_at().unwrap();
    assert!(due <= Instant::now() + Duration::from_secs(1));
    // What happens elsewhere doesn't put it off.
    output.set_watched(true, &poller).unwrap();
    assert_eq!(output.retry_at(), Some(due));
    let (count, turn) = output
        .turn(&mut Vec::new(), None, &mut notes, &poller)
        .unwrap();
    assert_eq!((count, turn), (9, Turn::Ended));
    assert_eq!(notes.output[&ProcessKey(1)], b"all of it");
    output.set_watched(true, &poller).unwrap();
    output.set_watched(false, &poller).unwrap();
    assert_eq!(output.retry_at(), None);
}

//! The supervised process, from the call of the runtime to the last byte of its output.

use std::os::fd::OwnedFd;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use anyhow::{Context, Result};
use rustix::fs::{Mode, OFlags};
use rustix::process::{Signal, getpgid, kill_process_group, setsid};
use rustix::termios::Winsize;

use super::Outlets;
use super::attach::{self, AttachSocket};
use super::control::{ControlFifo, Fifo, Wish};
use super::create::{self, PrivateDirectory};
use super::notify::NotifyProxy;
use super::oom::{self, Spared};
use super::options::Options;
use super::parent_pipe::{self, Inherited, ParentPipe};
use super::report::{Level, Report};
use super::sockets::AttachDirectory;
use crate::cgroup::Cgroups;
use crate::supervise::{
    Birth, Born, CallKey, ContainerInput, Event, Exit, Failure, Front, Interest, News, OomWatch,
    Poller, ProcessKey, Refusal, Said, Source, Supervisor, Token,
};

/// Signals that are passed on to the container.
const PASSED_ON: [i32; 3] = [libc::SIGINT, libc::SIGQUIT, libc::SIGTERM];

/// How long a process that was killed because it took too long may take to die; one that can't
/// (it is frozen, or stuck in the kernel) is told as timed out all the same.
const DYING: Duration = Duration::from_secs(1);

const START: Token = Token::of_front(1);
const LISTENER: Token = Token::of_front(2);
const CONTROL: Token = Token::of_front(3);
const WINDOW_SIZE: Token = Token::of_front(4);
const NOTIFY: Token = Token::of_front(5);
const OOM: Token = Token::of_front(6);
const CLIENTS: Token = Token::of_front(16);

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Outcome {
    /// There never was a process.
    NeverRan,
    /// With this status.
    Exited(i32),
    /// It was killed because it took too long.
    TimedOut,
}

/// One process and everything that its callers can reach it by.
pub struct Supervision<'a> {
    options: &'a Options,
    report: &'a Report,
    sync: &'a mut ParentPipe,
    bundle: Option<PathBuf>,
    /// What the runtime is to make, while the caller hasn't said that it may begin.
    birth: Option<Birth>,
    start: Option<OwnedFd>,
    /// For the runtime to send the terminal through, while it is at work.
    directory: Option<PrivateDirectory>,
    process: Option<ProcessKey>,
    is_born: bool,
    attach: Option<AttachSocket>,
    control: Vec<(Token, ControlFifo)>,
    notify: Option<NotifyProxy>,
    notify_watched: bool,
    oom: Option<OomWatch>,
    spared: Option<Spared>,
    /// What the terminal was told to be while the runtime was at work.
    late_size: Option<Winsize>,
    kill_at: Option<Instant>,
    /// When it isn't waited for any longer, once it has been killed.
    dead_by: Option<Instant>,
    timed_out: bool,
    exit: Option<Exit>,
    outcome: Option<Outcome>,
}

/// Makes sockets and fifos, leaves the caller's session, and calls the runtime, or waits for the word
/// to do so. What fails here has left nothing but files of ours.
pub fn begin<'a>(
    options: &'a Options,
    report: &'a Report,
    outlets: Outlets,
    start: Option<OwnedFd>,
    sync: &'a mut ParentPipe,
    inherited: &mut Inherited,
) -> Result<(Supervisor, Supervision<'a>)> {
    let bundle = create::bundle(options)?;
    let notify = match (&options.sdnotify_socket, &bundle) {
        (Some(host), Some(bundle)) => Some(NotifyProxy::new(bundle, host)?),
        _ => None,
    };
    let attach_pipe = if options.exec_attach {
        let pipe = parent_pipe::take("_OCI_ATTACHPIPE", inherited)?;
        Some(pipe.context("--attach specified but _OCI_ATTACHPIPE was not")?)
    } else {
        None
    };
    let passthrough = outlets.drivers.passthrough;
    let directory = options.terminal.then(PrivateDirectory::make).transpose()?;
    let place = directory.as_ref().map(PrivateDirectory::path);
    let birth = create::birth(options, bundle.as_deref(), outlets, place)?;
    // While stderr is the caller's.
    let runtime = birth.runtime.program.display();
    report.say(
        Level::Trace,
        &format!("calling {runtime}: {:?}", birth.descent),
    );
    // The caller may wait for the end of what it reads from us.
    disconnect()?;
    let core = Supervisor::new(&PASSED_ON)?;
    let mut supervision = Supervision {
        options,
        report,
        sync,
        bundle,
        birth: Some(birth),
        start,
        directory,
        process: None,
        is_born: false,
        attach: None,
        control: Vec::new(),
        notify,
        notify_watched: false,
        oom: None,
        spared: None,
        late_size: None,
        kill_at: None,
        dead_by: None,
        timed_out: false,
        exit: None,
        outcome: None,
    };
    if !passthrough {
        supervision.make_sockets()?;
    }
    if let Some(pipe) = attach_pipe {
        ParentPipe::new(Some(pipe), options.key_of_messages()).say(0, "");
    }
    Ok((core, supervision))
}

/// A session of our own, without the caller's standard streams.
fn disconnect() -> Result<()> {
    // EPERM: `--sync`, and the caller has made us a leader already.
    let _ = setsid();
    let null = rustix::fs::open("/dev/null", OFlags::RDWR | OFlags::CLOEXEC, Mode::empty())
        .context("Failed to open /dev/null")?;
    rustix::stdio::dup2_stdin(&null).context("Failed to dup over stdin")?;
    rustix::stdio::dup2_stdout(&null).context("Failed to dup over stdout")?;
    rustix::stdio::dup2_stderr(&null).context("Failed to dup over stderr")
}

impl Supervision<'_> {
    /// Supervises until all is over.
    pub fn run(&mut self, core: &mut Supervisor) {
        let done = self
            .call_runtime_or_wait(core)
            .and_then(|()| core.run(self));
        if let Err(error) = done {
            self.fail(&format!("{error:#}"));
        }
    }

    /// What came of it, and who is attached.
    pub fn conclude(self) -> (Outcome, Option<AttachSocket>) {
        (self.outcome.unwrap_or(Outcome::NeverRan), self.attach)
    }

    fn make_sockets(&mut self) -> Result<()> {
        let Some(bundle) = &self.bundle else {
            return Ok(());
        };
        let directory = match (&self.options.cuuid, self.options.full_attach) {
            (Some(uuid), false) => {
                AttachDirectory::link(self.options.socket_dir_path.as_deref(), uuid, bundle)?
            }
            _ => AttachDirectory::bundle(bundle),
        };
        self.attach = Some(AttachSocket::listen(directory, LISTENER, CLIENTS)?);
        for (token, fifo) in [(CONTROL, Fifo::Control), (WINDOW_SIZE, Fifo::WindowSize)] {
            self.control.push((token, ControlFifo::make(fifo, bundle)?));
        }
        Ok(())
    }

    fn call_runtime_or_wait(&mut self, core: &mut Supervisor) -> Result<()> {
        self.watch_notify(core.poller())?;
        for (token, fifo) in &self.control {
            core.poller().add(fifo, *token, Interest::IN)?;
        }
        if let Some(start) = &self.start {
            return core.poller().add(start, START, Interest::IN);
        }
        self.call_runtime(core);
        Ok(())
    }

    fn call_runtime(&mut self, core: &mut Supervisor) {
        if let Some(birth) = self.birth.take() {
            self.process = Some(core.give_birth(birth));
        }
    }

    /// Nothing more can be done for the process.
    fn fail(&mut self, why: &str) {
        self.report.say(Level::Error, why);
        if self.outcome.is_none() && !self.is_born {
            self.sync.say(-1, why);
        }
        self.outcome = self.outcome.or(Some(match self.exit {
            Some(exit) => Outcome::Exited(exit.status),
            None => Outcome::NeverRan,
        }));
    }

    fn begin_to_serve(&mut self, born: &Born, core: &mut Supervisor) {
        let poller = core.poller();
        if let Some(attach) = &mut self.attach {
            attach.register(poller);
            attach.accept(poller);
        }
        if !self.options.exec {
            self.watch_memory(born, poller);
        }
        self.spared = Some(Spared::ask());
        if self.options.timeout > 0 {
            self.kill_at = Some(Instant::now() + Duration::from_secs(self.options.timeout));
        }
    }

    fn watch_memory(&mut self, born: &Born, poller: &Poller) {
        let watch = Cgroups::of(born.pid.as_raw_nonzero().get())
            .and_then(|cgroups| OomWatch::start(&cgroups))
            .and_then(|watch| {
                if let Some(watch) = &watch {
                    poller.add(watch, OOM, watch.interest())?;
                }
                Ok(watch)
            });
        match watch {
            Ok(watch) => self.oom = watch,
            Err(error) => self.report.warn(&format!("{error:#}")),
        }
    }

    fn hear_of_memory(&mut self, poller: &Poller) -> Result<()> {
        let Some(watch) = &mut self.oom else {
            return Ok(());
        };
        match watch.news() {
            News::Nothing => {}
            News::OutOfMemory => {
                self.report.say(Level::Info, "OOM received");
                if let Err(error) = oom::mark(self.options, self.bundle.as_deref()) {
                    self.report.warn(&format!("{error:#}"));
                }
            }
            News::Gone => {
                poller.remove(&*watch)?;
                self.oom = None;
            }
        }
        Ok(())
    }

    /// A full socket of the host's is tried again later; until then the container's is left alone.
    fn watch_notify(&mut self, poller: &Poller) -> Result<()> {
        let Some(notify) = &self.notify else {
            return Ok(());
        };
        let wanted = notify.next_try().is_none();
        match (self.notify_watched, wanted) {
            (false, true) => poller.add(notify, NOTIFY, Interest::IN)?,
            (true, false) => poller.remove(notify)?,
            _ => {}
        }
        self.notify_watched = wanted;
        Ok(())
    }

    fn pass_notifications_on(&mut self, poller: &Poller) -> Result<()> {
        if let Some(notify) = &mut self.notify
            && let Err(why) = notify.pass_on()
        {
            self.report.warn(&why);
        }
        self.watch_notify(poller)
    }

    fn obey(&mut self, token: Token, core: &mut Supervisor) {
        let fifo = self.control.iter_mut().find(|(of, _)| *of == token);
        let Some((_, fifo)) = fifo else {
            return;
        };
        let wishes = fifo.read();
        for wish in wishes {
            if let Ok(wish) = &wish {
                self.report
                    .say(Level::Debug, &format!("Got ctl message: {wish:?}"));
            }
            match wish {
                Ok(Wish::Resize { rows, columns }) => self.resize(rows, columns, core),
                Ok(Wish::ReopenLogs) => self.reopen_logs(core),
                Err(why) => self.report.warn(&why),
            }
        }
    }

    fn resize(&mut self, rows: u16, columns: u16, core: &mut Supervisor) {
        let size = Winsize {
            ws_row: rows,
            ws_col: columns,
            ws_xpixel: 0,
            ws_ypixel: 0,
        };
        // Callers say it before they let an exec session begin, so that its program finds it so.
        if let Some(birth) = &mut self.birth {
            birth.terminal = birth.terminal.map(|_| size);
        }
        match self.process.and_then(|process| core.handle(process)) {
            Some((_, handle)) => handle.resize(size),
            None => self.late_size = Some(size),
        }
    }

    fn reopen_logs(&self, core: &mut Supervisor) {
        let Some(log) = self.process.and_then(|process| core.log(process)) else {
            return;
        };
        let done = if self.options.log_rotate {
            log.rotate()
        } else {
            log.reopen()
        };
        if let Err(error) = done {
            self.report.warn(&format!("{error:#}"));
        }
    }

    /// With its children, as far as they have stayed in its process group.
    fn kill_late_process(&mut self, core: &mut Supervisor) {
        self.report.say(Level::Info, "Timed out, killing it");
        let Some(process) = self.process.filter(|_| self.exit.is_none()) else {
            return;
        };
        self.timed_out = true;
        self.dead_by = Some(Instant::now() + DYING);
        // Not yet waited for, so the number is still its own. Group 1 would be everybody.
        if let Some(pid) = core.pid(process)
            && let Ok(group) = getpgid(Some(pid))
            && group.as_raw_nonzero().get() > 1
        {
            let _ = kill_process_group(group, Signal::KILL);
        }
        if let Some((_, handle)) = core.handle(process) {
            handle.signal(libc::SIGKILL);
        }
    }

    fn tell_of_dropped_clients(&mut self) {
        if let Some(attach) = &mut self.attach {
            for trouble in attach.take_troubles() {
                self.report.warn(&trouble);
            }
        }
    }

    fn sync_log(&self, process: ProcessKey, core: &mut Supervisor) {
        if let Some(log) = core.log(process).filter(|_| !self.options.no_sync_log)
            && let Err(error) = log.sync()
        {
            self.report
                .warn(&format!("Failed to sync log file before exit: {error:#}"));
        }
    }
}

impl Front for Supervision<'_> {
    fn ready(&mut self, event: Event, core: &mut Supervisor) -> Result<()> {
        match event.token {
            START => {
                if let Some(start) = self.start.take() {
                    core.poller().remove(&start)?;
                    // At the end of the pipe, too: then nobody will attach, but it was asked for.
                    let _ = rustix::io::read(&start, &mut [0; 512]);
                }
                // What was said before that word counts before it.
                self.obey(CONTROL, core);
                self.obey(WINDOW_SIZE, core);
                self.call_runtime(core);
                Ok(())
            }
            LISTENER => {
                if let Some(attach) = &mut self.attach {
                    attach.accept(core.poller());
                }
                self.tell_of_dropped_clients();
                Ok(())
            }
            CONTROL | WINDOW_SIZE => {
                self.obey(event.token, core);
                Ok(())
            }
            NOTIFY => self.pass_notifications_on(core.poller()),
            OOM => self.hear_of_memory(core.poller()),
            _ => {
                let handle = self.process.and_then(|process| core.handle(process));
                if let (Some(attach), Some((poller, handle))) = (&mut self.attach, handle) {
                    let mut input = ToContainer::new(self.options, handle.input, poller);
                    attach.ready(event, poller, &mut input);
                }
                self.tell_of_dropped_clients();
                Ok(())
            }
        }
    }

    fn born(
        &mut self,
        key: ProcessKey,
        outcome: Result<Born, Refusal>,
        core: &mut Supervisor,
    ) -> Result<()> {
        self.directory = None;
        match outcome {
            Ok(born) => {
                if !born.warnings.is_empty() {
                    let said = format!("runtime stderr: {}", born.warnings);
                    self.report.warn(&said);
                }
                self.is_born = true;
                self.begin_to_serve(&born, core);
                if let Some(size) = self.late_size.take()
                    && let Some((_, handle)) = core.handle(key)
                {
                    handle.resize(size);
                }
                // Before API version 1, whoever executes hears of nothing but the exit status.
                if self.options.api_version_1 || !self.options.exec {
                    self.sync.say(born.pid.as_raw_nonzero().get(), "");
                }
                Ok(())
            }
            Err(Refusal { message: why, .. }) => {
                self.fail(runtime_s_words(&why));
                Ok(())
            }
        }
    }

    fn called(
        &mut self,
        _key: CallKey,
        _outcome: Result<Said, Failure>,
        _core: &mut Supervisor,
    ) -> Result<()> {
        Ok(())
    }

    fn output(
        &mut self,
        _key: ProcessKey,
        source: Source,
        bytes: &[u8],
        poller: &Poller,
    ) -> Result<()> {
        if let Some(attach) = &mut self.attach {
            attach.send(source, bytes, poller);
        }
        self.tell_of_dropped_clients();
        Ok(())
    }

    /// Once the process has ended, what is left is no more than its pipes hold: it is read at once,
    /// so that its end can be told, however long a client takes.
    fn holds_back(&self, _key: ProcessKey) -> bool {
        self.exit.is_none() && self.attach.as_ref().is_some_and(AttachSocket::is_behind)
    }

    fn input_wanted(&mut self, key: ProcessKey, core: &mut Supervisor) -> Result<()> {
        if let (Some(attach), Some((poller, handle))) = (&mut self.attach, core.handle(key)) {
            let mut input = ToContainer::new(self.options, handle.input, poller);
            attach.pass_input_on(poller, &mut input);
        }
        self.tell_of_dropped_clients();
        Ok(())
    }

    fn exited(&mut self, key: ProcessKey, exit: Exit, core: &mut Supervisor) -> Result<()> {
        if exit.status != 0 {
            let said = format!("container exited with status {}", exit.status);
            self.report.say(Level::Info, &said);
        }
        self.exit = Some(exit);
        self.kill_at = None;
        self.dead_by = None;
        self.hear_of_memory(core.poller())?;
        self.pass_notifications_on(core.poller())?;
        // What others write who still hold its streams comes too late.
        core.listen_for(key, Duration::ZERO);
        Ok(())
    }

    fn drained(
        &mut self,
        key: ProcessKey,
        troubles: Vec<String>,
        core: &mut Supervisor,
    ) -> Result<()> {
        for trouble in troubles {
            self.report.warn(&trouble);
        }
        self.sync_log(key, core);
        self.outcome = Some(match self.exit {
            Some(exit) if !self.timed_out => Outcome::Exited(exit.status),
            _ => Outcome::TimedOut,
        });
        Ok(())
    }

    fn signalled(&mut self, signal: i32, core: &mut Supervisor) -> Result<()> {
        match self.process {
            None => self.fail("conmon was told to end before it was told to start"),
            Some(process) if !self.is_born => core.give_up(process, "conmon was told to end"),
            Some(process) => {
                if let Some((_, handle)) = core.handle(process) {
                    handle.signal(signal);
                }
            }
        }
        Ok(())
    }

    fn next_alarm(&self) -> Option<Instant> {
        let notify = self.notify.as_ref().and_then(NotifyProxy::next_try);
        let attach = self.attach.as_ref().and_then(AttachSocket::next_alarm);
        [self.kill_at, self.dead_by, notify, attach]
            .into_iter()
            .flatten()
            .min()
    }

    fn alarm(&mut self, core: &mut Supervisor) -> Result<()> {
        let now = Instant::now();
        if self.kill_at.is_some_and(|at| at <= now) {
            self.kill_at = None;
            self.kill_late_process(core);
        }
        if self.dead_by.take_if(|at| *at <= now).is_some() {
            self.report.warn("The process doesn't die of SIGKILL");
            if let Some(process) = self.process {
                self.sync_log(process, core);
            }
            self.outcome = Some(Outcome::TimedOut);
        }
        if let Some(attach) = &mut self.attach {
            attach.alarm(core.poller());
        }
        self.pass_notifications_on(core.poller())
    }

    fn is_done(&self) -> bool {
        self.outcome.is_some()
    }
}

/// Callers look at what the runtime says, and show it under its name; that it was it who failed, and
/// with which status, they know.
fn runtime_s_words(why: &str) -> &str {
    match why.split_once(" failed (exit status: ") {
        Some((_, rest)) => rest.split_once("): ").map_or(why, |(_, words)| words),
        None => why,
    }
}

/// The container's standard input, as far as the options give it one.
struct ToContainer<'a> {
    input: &'a mut ContainerInput,
    poller: &'a Poller,
    may_be_closed: bool,
}

impl<'a> ToContainer<'a> {
    fn new(options: &Options, input: &'a mut ContainerInput, poller: &'a Poller) -> Self {
        ToContainer {
            input,
            poller,
            may_be_closed: options.stdin && !options.leave_stdin_open,
        }
    }
}

impl attach::Input for ToContainer<'_> {
    fn write(&mut self, bytes: &[u8]) -> Result<usize> {
        self.input.write(bytes, self.poller)
    }

    fn end(&mut self) -> Result<()> {
        if self.may_be_closed {
            self.input.close(self.poller)?;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_the_runtime_says_is_what_callers_get() {
        let why = "runc create failed (exit status: 1): exec failed: \"x\": no such file";
        assert_eq!(runtime_s_words(why), "exec failed: \"x\": no such file");
        let why = "runc create failed (exit status: 1)";
        assert_eq!(runtime_s_words(why), why);
        let why = "runc create failed (conmon was told to end, so it was killed)";
        assert_eq!(runtime_s_words(why), why);
    }
}

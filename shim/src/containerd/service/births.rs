//! From a request to a process: its streams, its logger's readiness, and the core's work.

use std::ffi::OsString;

use anyhow::Result;
use rustix::termios::Winsize;

use super::container::Container;
use super::runtime_error::LogMark;
use super::{PATIENCE_WITH_BIRTH, Service};
use crate::containerd::stdio;
use crate::containerd::ttrpc::{CallId, Failure};
use crate::supervise::{Birth, Descent, Interest, Refusal, Supervisor, Token};

/// A birth that waits until its logger is ready.
#[derive(Debug)]
pub(super) struct Preparation {
    container: String,
    exec: String,
    birth: Box<Birth>,
}

impl Service {
    /// Has a process made: the container's first, or `exec`. `call` is answered when it is there.
    pub(super) fn begin_birth(
        &mut self,
        call: CallId,
        id: &str,
        exec: &str,
        descent: Descent,
        options: Vec<OsString>,
        core: &mut Supervisor,
    ) -> Result<(), Failure> {
        let namespace = self.setting.namespace.clone();
        let container = self
            .containers
            .get_mut(id)
            .ok_or_else(super::no_such_container)?;
        let birth = Box::new(prepare(container, exec, &namespace, descent, options)?);
        let log = LogMark::now(&container.bundle);
        let process = container.process_mut(exec)?;
        let is_ready = match &process.kept.logger {
            Some(logger) => logger.is_ready()?,
            None => true,
        };
        process.birth = Some((call, log));
        let preparation = Preparation {
            container: id.to_owned(),
            exec: exec.to_owned(),
            birth,
        };
        if is_ready {
            self.give_birth(preparation, core);
            return Ok(());
        }
        let number = self.next_number();
        if let Some(process) = self.process_mut(id, exec)
            && let Some(logger) = &process.kept.logger
        {
            let token = Token::of_front(number);
            core.poller().add(logger.readiness(), token, Interest::IN)?;
        }
        self.preparations.insert(number, preparation);
        Ok(())
    }

    fn give_birth(&mut self, preparation: Preparation, core: &mut Supervisor) {
        let Preparation {
            container,
            exec,
            birth,
        } = preparation;
        let key = core.give_birth(*birth);
        if let Some(process) = self.process_mut(&container, &exec) {
            process.key = Some(key);
        }
        if exec.is_empty() {
            self.look_ahead(&container, core);
        }
        self.owners.insert(key, (container, exec));
    }

    /// A logger is ready, or never will be.
    pub(super) fn hear_of_logger(
        &mut self,
        preparation: Preparation,
        core: &mut Supervisor,
    ) -> Result<()> {
        let Preparation {
            container: id,
            exec,
            ..
        } = &preparation;
        let Some(process) = self.process_mut(id, exec) else {
            return Ok(());
        };
        let Some(logger) = &process.kept.logger else {
            return Ok(());
        };
        match logger.is_ready() {
            Ok(false) => {
                let number = self.next_number();
                let token = Token::of_front(number);
                let process = self.process_mut(&preparation.container, &preparation.exec);
                if let Some(logger) = process.and_then(|process| process.kept.logger.as_ref()) {
                    core.poller()
                        .modify(logger.readiness(), token, Interest::IN)?;
                }
                self.preparations.insert(number, preparation);
                Ok(())
            }
            Ok(true) => {
                core.poller().remove(logger.readiness())?;
                self.give_birth(preparation, core);
                Ok(())
            }
            Err(error) => {
                core.poller().remove(logger.readiness())?;
                self.refuse_birth(&preparation, &format!("{error:#}"), core)
            }
        }
    }

    /// Nobody wants this process any more that is being made, or that waits for its logger.
    pub(super) fn give_birth_up(
        &mut self,
        id: &str,
        exec: &str,
        why: &str,
        core: &mut Supervisor,
    ) -> Result<()> {
        let Some(process) = self.process_mut(id, exec) else {
            return Ok(());
        };
        if let Some(key) = process.key {
            core.give_up(key, why);
            return Ok(());
        }
        if exec.is_empty() {
            self.give_root_up(id);
        }
        let Some(preparation) = self.take_preparation(id, exec) else {
            return Ok(());
        };
        let process = self.process_mut(id, exec);
        if let Some(logger) = process.and_then(|process| process.kept.logger.as_ref()) {
            core.poller().remove(logger.readiness())?;
        }
        self.refuse_birth(&preparation, why, core)
    }

    /// What waits for the process's logger.
    pub(super) fn take_preparation(&mut self, id: &str, exec: &str) -> Option<Preparation> {
        let mut all = self.preparations.iter();
        let found = all.find(|(_, one)| one.container == id && one.exec == exec);
        let number = found.map(|(number, _)| *number)?;
        self.preparations.remove(&number)
    }

    fn refuse_birth(
        &mut self,
        preparation: &Preparation,
        why: &str,
        core: &mut Supervisor,
    ) -> Result<()> {
        let refusal = Refusal::new(why.to_owned());
        let id = &preparation.container;
        match preparation.exec.as_str() {
            "" => self.container_born(id, Err(refusal), core),
            exec => self.exec_born(id, exec, Err(refusal), core),
        }
    }

    /// Loggers that are late: their births fail.
    pub(super) fn look_at_loggers(&mut self, core: &mut Supervisor) -> Result<()> {
        for (_, preparation) in std::mem::take(&mut self.preparations) {
            self.hear_of_logger(preparation, core)?;
        }
        Ok(())
    }
}

/// Opens the process's streams.
fn prepare(
    container: &mut Container,
    exec: &str,
    namespace: &str,
    descent: Descent,
    options: Vec<OsString>,
) -> Result<Birth, Failure> {
    let owner = (container.options.io_uid, container.options.io_gid);
    let (id, pid_file) = (container.id.clone(), container.pid_file(exec));
    let (runtime, directory) = (container.runtime.clone(), container.bundle.clone());
    let process = container.process_mut(exec)?;
    let streams = stdio::open(&stdio::Wanted {
        id: if exec.is_empty() { &id } else { exec },
        namespace,
        stdin: &process.streams.stdin,
        stdout: &process.streams.stdout,
        stderr: &process.streams.stderr,
        terminal: process.streams.terminal,
        owner,
    })?;
    process.kept = streams.kept;
    // Its size comes with ResizePty.
    let size = Winsize {
        ws_row: 0,
        ws_col: 0,
        ws_xpixel: 0,
        ws_ypixel: 0,
    };
    Ok(Birth {
        runtime,
        descent,
        id,
        options,
        pid_file,
        directory,
        terminal: process.streams.terminal.then_some(size),
        stdin: streams.stdin,
        stdout: streams.stdout,
        stderr: streams.stderr,
        log: None,
        owner: (owner != (0, 0)).then_some(owner),
        patience: Some(PATIENCE_WITH_BIRTH),
        listen_pid: false,
    })
}

//! A seccomp agent: it is handed the listeners of filters with `SCMP_ACT_NOTIFY`, and answers for
//! the calls that they report (`seccomp_unotify(2)`).

use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::OwnedFd;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::PathBuf;
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use rustix::net::{RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, recvmsg};
use serde_json::Value;

use crate::sys::notification;
use crate::verdict::{Stop, fail};

/// How it answers.
#[derive(Clone, Copy, Debug)]
pub enum Answers {
    /// One call fails with this errno; the others are carried out.
    Refuse(libc::c_long, i32),
    /// None: it lets go of the listeners at once.
    Nothing,
}

/// An agent that goes on until the program ends.
#[derive(Debug)]
pub struct SeccompAgent {
    /// Its socket.
    pub socket: PathBuf,
    met: Arc<Mutex<Vec<Value>>>,
}

impl SeccompAgent {
    /// Starts one on a new socket.
    ///
    /// # Errors
    /// Those of making the socket.
    pub fn start(socket: PathBuf, answers: Answers) -> Result<SeccompAgent, Stop> {
        let listener = UnixListener::bind(&socket)?;
        let met = Arc::new(Mutex::new(Vec::new()));
        let list = Arc::clone(&met);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                if let Some((state, descriptor)) = introduction(&stream) {
                    if let Ok(mut list) = list.lock() {
                        list.push(state);
                    }
                    if let (Answers::Refuse(..), Some(filter)) = (answers, descriptor) {
                        std::thread::spawn(move || answer(&filter, answers));
                    }
                }
            }
        });
        Ok(SeccompAgent { socket, met })
    }

    /// The container process states that it was sent, in order.
    pub fn met(&self) -> Vec<Value> {
        self.met.lock().map(|list| list.clone()).unwrap_or_default()
    }
}

impl SeccompAgent {
    /// Waits until it was sent two container process states: it hears of them in its own time.
    ///
    /// # Errors
    /// A failure of the runtime when there are not exactly two within 5 s.
    pub fn met_both(&self) -> Result<[Value; 2], Stop> {
        let deadline = Instant::now() + Duration::from_secs(5);
        loop {
            match <[Value; 2]>::try_from(self.met()) {
                Ok(both) => return Ok(both),
                Err(met) if met.len() > 2 || Instant::now() > deadline => {
                    return fail(format_args!("the agent met {met:?}"));
                }
                Err(_) => std::thread::sleep(Duration::from_millis(5)),
            }
        }
    }
}

/// What a runtime says when it connects: a container process state and one descriptor.
fn introduction(stream: &UnixStream) -> Option<(Value, Option<OwnedFd>)> {
    let mut text = Vec::new();
    let mut descriptor = None;
    stream.set_read_timeout(Some(Duration::from_secs(5))).ok()?;
    loop {
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(4))];
        let mut control = RecvAncillaryBuffer::new(&mut space);
        let mut bytes = [0_u8; 4096];
        let received = recvmsg(
            stream,
            &mut [IoSliceMut::new(&mut bytes)],
            &mut control,
            RecvFlags::CMSG_CLOEXEC,
        )
        .ok()?;
        for message in control.drain() {
            if let RecvAncillaryMessage::ScmRights(descriptors) = message {
                descriptor = descriptors.last();
            }
        }
        if received.bytes == 0 {
            return None;
        }
        text.extend_from_slice(&bytes[..received.bytes]);
        // A runtime may keep the connection for as long as it runs.
        if let Ok(state) = serde_json::from_slice(&text) {
            return Some((state, descriptor));
        }
    }
}

fn answer(filter: &OwnedFd, answers: Answers) {
    while let Ok(call) = notification::receive(filter) {
        let errno = match answers {
            Answers::Refuse(number, errno) if number == call.number => Some(errno),
            _ => None,
        };
        // The caller may have been killed in the meantime: then there is nobody to answer.
        let _ = notification::answer(filter, &call, errno);
    }
}

//! One `criu swrk`: a process that serves one request.

use std::fs::File;
use std::io::IoSliceMut;
use std::mem::MaybeUninit;
use std::os::fd::{AsFd, BorrowedFd, OwnedFd};
use std::os::unix::fs::FileExt;
use std::process::{Child, Command, Stdio};

use rustix::fs::{MemfdFlags, memfd_create};
use rustix::io::Errno;
use rustix::net::{
    AddressFamily, RecvAncillaryBuffer, RecvAncillaryMessage, RecvFlags, SendFlags, Shutdown,
    SocketFlags, SocketType, recvmsg, send, shutdown, socketpair,
};

use super::messages::{
    Features, Kind, Notification, Options, Response, feature_request, notified, request,
};
use super::wire::Message;
use crate::error::{CallContext, Error, Result};
use crate::sys::spawn::{begin_afresh, pass_descriptors};

/// The first CRIU that does all that is asked of it here: time namespaces, `status-ready`, external
/// pid namespaces, LSM profiles.
const OLDEST: i32 = 31_600;

/// CRIU's own bound on a message.
const LONGEST_MESSAGE: usize = 10 << 12;

/// Whose standard streams the process has.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Streams {
    /// None; what it writes to its standard error becomes part of an error.
    None,
    /// Ours: what it restores may inherit them.
    Ours,
}

/// A notification, with the descriptor that came along.
#[derive(Debug)]
pub struct Notice {
    /// What has been reached.
    pub point: Notification,
    /// Of `orphan-pts-master`: the terminal's other end.
    pub descriptor: Option<OwnedFd>,
}

/// A running `criu swrk`.
#[derive(Debug)]
pub struct Service {
    process: Child,
    socket: OwnedFd,
    errors: Option<File>,
}

impl Service {
    /// Starts one. It has `descriptors` as its own 4, 5, ….
    ///
    /// # Errors
    /// When there is no `criu` in PATH, or it can't be executed.
    pub fn start(streams: Streams, descriptors: &[BorrowedFd<'_>]) -> Result<Self> {
        let (socket, theirs) = socketpair(
            AddressFamily::UNIX,
            SocketType::SEQPACKET,
            SocketFlags::CLOEXEC,
            None,
        )
        .call(|| "socketpair(AF_UNIX, SOCK_SEQPACKET)")?;
        let mut command = Command::new("criu");
        command.args(["swrk", "3"]);
        let mut errors = None;
        if streams == Streams::None {
            let file = memfd_create("criu-stderr", MemfdFlags::CLOEXEC)
                .map(File::from)
                .call(|| "memfd_create()")?;
            command.stdin(Stdio::null()).stdout(Stdio::null());
            command.stderr(file.try_clone().call(|| "dup(memfd)")?);
            errors = Some(file);
        }
        let mut passed = vec![theirs.as_fd()];
        passed.extend_from_slice(descriptors);
        begin_afresh(&mut command);
        pass_descriptors(&mut command, &passed).call(|| "fcntl(F_DUPFD_CLOEXEC)")?;
        let process = command
            .spawn()
            .call(|| "fork/exec criu")
            .map_err(|error| error.hint("is criu installed, and its directory in PATH?"))?;
        Ok(Service {
            process,
            socket,
            errors,
        })
    }

    /// Its pid.
    pub fn pid(&self) -> i32 {
        i32::try_from(self.process.id()).unwrap_or(0)
    }

    /// Has a request carried out, up to the process' end. `notify` is called at every point that
    /// CRIU tells of; its failure ends the work.
    ///
    /// # Errors
    /// `criu failed: type KIND errno N`, and what `notify` says.
    pub fn carry_out(
        self,
        kind: Kind,
        options: &Options,
        notify: &mut dyn FnMut(Notice) -> Result<()>,
    ) -> Result<()> {
        self.ask(kind, &request(kind, Some(options)), notify)
            .map(drop)
    }

    fn ask(
        mut self,
        kind: Kind,
        request: &Message,
        notify: &mut dyn FnMut(Notice) -> Result<()>,
    ) -> Result<Response> {
        let answer = self.converse(kind, request, notify);
        // Whatever was agreed: at the end of the stream it ends, and so does what it has begun.
        let _ = shutdown(&self.socket, Shutdown::Both);
        let status = self.process.wait().call(|| "wait4(criu)")?;
        let answer = answer.map_err(|error| match self.last_words() {
            words if words.is_empty() => error,
            words => error.hint(format!("criu says: {words}")),
        })?;
        // After a pre-dump it waits for the next one, which doesn't come.
        if !status.success() && kind != Kind::PreDump {
            return Err(Error::new(format!("criu failed: {status}")));
        }
        Ok(answer)
    }

    fn converse(
        &self,
        kind: Kind,
        request: &Message,
        notify: &mut dyn FnMut(Notice) -> Result<()>,
    ) -> Result<Response> {
        self.send(request)?;
        loop {
            let (response, descriptor) = self.receive()?;
            if !response.success {
                return Err(refusal(&response));
            }
            if !response.is(Kind::Notify) {
                return if response.is(kind) {
                    Ok(response)
                } else {
                    Err(Error::new(format!(
                        "criu has answered a {} request by type {}",
                        kind.name(),
                        response.kind
                    )))
                };
            }
            let point = response
                .notification
                .ok_or_else(|| Error::new("criu notifies of nothing"))?;
            notify(Notice { point, descriptor })?;
            self.send(&notified())?;
        }
    }

    fn send(&self, message: &Message) -> Result<()> {
        send(&self.socket, message.as_bytes(), SendFlags::NOSIGNAL)
            .map(drop)
            .call(|| "send(criu)")
    }

    fn receive(&self) -> Result<(Response, Option<OwnedFd>)> {
        let mut bytes = vec![0_u8; LONGEST_MESSAGE];
        let mut space = [MaybeUninit::uninit(); rustix::cmsg_space!(ScmRights(1))];
        let (length, descriptor) = loop {
            let mut ancillary = RecvAncillaryBuffer::new(&mut space);
            let received = recvmsg(
                &self.socket,
                &mut [IoSliceMut::new(&mut bytes)],
                &mut ancillary,
                RecvFlags::CMSG_CLOEXEC,
            );
            match received {
                Err(Errno::INTR) => continue,
                Err(Errno::CONNRESET) => break (0, None),
                _ => {}
            }
            let length = received.call(|| "recvmsg(criu)")?.bytes;
            let descriptor = ancillary.drain().find_map(|message| match message {
                RecvAncillaryMessage::ScmRights(mut descriptors) => descriptors.next(),
                _ => None,
            });
            break (length, descriptor);
        };
        if length == 0 {
            return Err(Error::new("criu ended before it had answered"));
        }
        Ok((Response::read(&bytes[..length])?, descriptor))
    }

    /// What it wrote to its standard error, as far as one line can carry it.
    fn last_words(&self) -> String {
        let mut text = [0_u8; 1024];
        let length = self
            .errors
            .as_ref()
            .map_or(0, |errors| errors.read_at(&mut text, 0).unwrap_or(0));
        String::from_utf8_lossy(&text[..length])
            .trim()
            .replace('\n', "; ")
    }
}

fn refusal(response: &Response) -> Error {
    let kind = [
        Kind::Dump,
        Kind::Restore,
        Kind::PreDump,
        Kind::Notify,
        Kind::FeatureCheck,
        Kind::Version,
    ]
    .into_iter()
    .find(|kind| response.is(*kind))
    .map_or("EMPTY", Kind::name);
    Error::new(format!("criu failed: type {kind} errno {}", response.errno))
}

/// Checks that there is a CRIU, and one that is new enough.
///
/// # Errors
/// When it isn't.
pub fn check_version() -> Result<()> {
    let asked = Service::start(Streams::None, &[]).and_then(|service| {
        service.ask(
            Kind::Version,
            &request(Kind::Version, None),
            &mut |_| Ok(()),
        )
    });
    let version = asked
        .map_err(|error| error.context("CRIU version check failed"))?
        .version;
    if version < OLDEST {
        return Err(Error::new(format!(
            "CRIU version {version} must be {OLDEST} or higher"
        )));
    }
    Ok(())
}

/// Checks that CRIU and the kernel have these features.
///
/// # Errors
/// When one is missing.
pub fn check_features(wanted: Features) -> Result<()> {
    let found = Service::start(Streams::None, &[])?
        .ask(
            Kind::FeatureCheck,
            &feature_request(wanted),
            &mut |_| Ok(()),
        )
        .map_err(|error| error.context("CRIU feature check failed"))?
        .features;
    let missing = [
        ("MemTrack", wanted.memory_tracking && !found.memory_tracking),
        ("LazyPages", wanted.lazy_pages && !found.lazy_pages),
    ];
    match missing.into_iter().find(|(_, missing)| *missing) {
        Some((name, _)) => Err(Error::new(format!("criu is missing features: [{name}]"))
            .hint("this kernel, or this build of it, can't do it")),
        None => Ok(()),
    }
}

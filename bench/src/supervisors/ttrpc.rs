//! As much of ttrpc as it takes to call a shim, and to be told its events: unary calls, one after the
//! other (`PROTOCOL.md` in containerd/ttrpc).

use std::io::{Read, Write};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::Path;
use std::thread;

use anyhow::{Context, Result, bail};
use prost::Message;

const REQUEST: u8 = 1;
const RESPONSE: u8 = 2;

#[derive(Clone, PartialEq, Message)]
struct Request {
    #[prost(string, tag = "1")]
    service: String,
    #[prost(string, tag = "2")]
    method: String,
    #[prost(bytes = "vec", tag = "3")]
    payload: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Response {
    #[prost(message, optional, tag = "1")]
    status: Option<Status>,
    #[prost(bytes = "vec", tag = "2")]
    payload: Vec<u8>,
}

#[derive(Clone, PartialEq, Message)]
struct Status {
    #[prost(int32, tag = "1")]
    code: i32,
    #[prost(string, tag = "2")]
    message: String,
}

/// A connection to a shim.
#[derive(Debug)]
pub struct Client {
    stream: UnixStream,
    service: String,
    next: u32,
}

impl Client {
    /// Connects to a service.
    pub fn connect(socket: &Path, service: &str) -> Result<Self> {
        let stream = UnixStream::connect(socket)
            .with_context(|| format!("connect to the shim at {}", socket.display()))?;
        Ok(Client {
            stream,
            service: service.to_owned(),
            next: 1,
        })
    }

    /// Calls a method, and waits for its answer.
    pub fn call<A: Message + Default>(
        &mut self,
        method: &str,
        request: &impl Message,
    ) -> Result<A> {
        let number = self.next;
        self.next += 2;
        let request = Request {
            service: self.service.clone(),
            method: method.to_owned(),
            payload: request.encode_to_vec(),
        };
        write_frame(&mut self.stream, number, REQUEST, &request.encode_to_vec())
            .with_context(|| format!("call {method}"))?;
        let Some((answered, kind, bytes)) =
            read_frame(&mut self.stream).with_context(|| format!("the answer to {method}"))?
        else {
            bail!("the shim closed the connection instead of answering {method}");
        };
        if answered != number || kind != RESPONSE {
            bail!("the shim answered call {answered} by message type {kind} instead of {number}");
        }
        let response = Response::decode(bytes.as_slice())?;
        match response.status {
            Some(status) if status.code != 0 => {
                bail!("{method}: {} (code {})", status.message, status.code)
            }
            _ => Ok(A::decode(response.payload.as_slice())?),
        }
    }
}

/// Takes a shim's events, and says that they were taken, until this process ends.
pub fn listen_to_events(socket: &Path) -> Result<()> {
    let listener = UnixListener::bind(socket)
        .with_context(|| format!("listen to events at {}", socket.display()))?;
    thread::spawn(move || {
        for stream in listener.incoming().map_while(Result::ok) {
            thread::spawn(move || take_events(stream));
        }
    });
    Ok(())
}

fn take_events(mut stream: UnixStream) {
    while let Ok(Some((number, _, _))) = read_frame(&mut stream) {
        let answer = Response::default().encode_to_vec();
        if write_frame(&mut stream, number, RESPONSE, &answer).is_err() {
            return;
        }
    }
}

fn write_frame(to: &mut impl Write, number: u32, kind: u8, bytes: &[u8]) -> Result<()> {
    let mut frame = Vec::with_capacity(bytes.len() + 10);
    frame.extend(u32::try_from(bytes.len())?.to_be_bytes());
    frame.extend(number.to_be_bytes());
    frame.extend([kind, 0]);
    frame.extend(bytes);
    Ok(to.write_all(&frame)?)
}

/// The next frame's stream, type and data; none at the end.
fn read_frame(from: &mut impl Read) -> Result<Option<(u32, u8, Vec<u8>)>> {
    let mut header = [0; 10];
    if from.read(&mut header[..1])? == 0 {
        return Ok(None);
    }
    from.read_exact(&mut header[1..])?;
    let [l0, l1, l2, l3, n0, n1, n2, n3, kind, _] = header;
    let mut bytes = vec![0; u32::from_be_bytes([l0, l1, l2, l3]) as usize];
    from.read_exact(&mut bytes)?;
    Ok(Some((u32::from_be_bytes([n0, n1, n2, n3]), kind, bytes)))
}

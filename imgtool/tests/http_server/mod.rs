//! A small HTTP server whose answers a test decides, however wrong they are.
#![allow(dead_code)]

use std::fmt::Write as _;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::Duration;

/// A request, as it came.
#[derive(Debug, Clone)]
pub struct Request {
    pub method: String,
    pub target: String,
    /// Names in lower case.
    pub headers: Vec<(String, String)>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> Option<&str> {
        let found = self.headers.iter().find(|(known, _)| known == name);
        found.map(|(_, value)| value.as_str())
    }

    /// The path without the query.
    pub fn path(&self) -> &str {
        self.target.split('?').next().unwrap()
    }

    /// The first byte that a Range header asks for.
    pub fn from(&self) -> Option<usize> {
        let range = self.header("range")?.strip_prefix("bytes=")?;
        range.strip_suffix('-')?.parse().ok()
    }
}

/// An answer.
pub struct Answer {
    pub status: u16,
    pub headers: Vec<(String, String)>,
    pub body: Body,
}

pub enum Body {
    /// These bytes, with their length.
    Whole(Vec<u8>),
    /// The first so many of these bytes, with the length of all; then the connection ends.
    Cut(Vec<u8>, usize),
    /// These bytes over and over, without a length.
    Endless(Vec<u8>),
    /// One byte after the other, with a pause before each.
    Drip(Vec<u8>, Duration),
    /// Nothing, for so long.
    Silence(Duration),
}

pub fn answer(status: u16, body: impl Into<Vec<u8>>) -> Answer {
    Answer {
        status,
        headers: Vec::new(),
        body: Body::Whole(body.into()),
    }
}

impl Answer {
    pub fn with(mut self, name: &str, value: impl std::fmt::Display) -> Self {
        self.headers.push((name.to_owned(), value.to_string()));
        self
    }

    pub fn body(mut self, body: Body) -> Self {
        self.body = body;
        self
    }
}

type Handler = dyn Fn(&Request) -> Answer + Send + Sync;

/// The server; its threads end with the test's process.
pub struct Server {
    /// Host and port.
    pub address: String,
    requests: Arc<Mutex<Vec<Request>>>,
}

impl Server {
    pub fn start(handler: impl Fn(&Request) -> Answer + Send + Sync + 'static) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let requests = Arc::new(Mutex::new(Vec::new()));
        let handler: Arc<Handler> = Arc::new(handler);
        let log = Arc::clone(&requests);
        std::thread::spawn(move || {
            for stream in listener.incoming() {
                let (handler, log) = (Arc::clone(&handler), Arc::clone(&log));
                // A client that has had enough closes its end: nothing to report.
                std::thread::spawn(move || serve(stream.unwrap(), &handler, &log));
            }
        });
        Server { address, requests }
    }

    /// What was asked until now.
    pub fn requests(&self) -> Vec<Request> {
        self.requests.lock().unwrap().clone()
    }

    /// How often a method and the end of a path were asked for.
    pub fn count(&self, method: &str, end: &str) -> usize {
        let requests = self.requests();
        let same = |request: &&Request| request.method == method && request.path().ends_with(end);
        requests.iter().filter(same).count()
    }
}

fn serve(stream: TcpStream, handler: &Arc<Handler>, log: &Mutex<Vec<Request>>) -> Option<()> {
    let mut reader = BufReader::new(stream.try_clone().ok()?);
    let mut writer = stream;
    loop {
        let request = read_request(&mut reader)?;
        // A ClientHello, if somebody tries https first.
        log.lock().unwrap().push(request.clone());
        let keep = write_answer(&mut writer, handler(&request), request.method == "HEAD")?;
        if !keep {
            drop(writer.shutdown(std::net::Shutdown::Both));
            return None;
        }
    }
}

fn read_request(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok()?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?.to_owned());
    let mut headers = Vec::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok()?;
        let Some((name, value)) = line.trim_end().split_once(':') else {
            break;
        };
        headers.push((name.to_ascii_lowercase(), value.trim().to_owned()));
    }
    let mut request = Request {
        method,
        target,
        headers,
        body: Vec::new(),
    };
    let length = request
        .header("content-length")
        .map_or(0, |length| length.parse().unwrap());
    reader.take(length).read_to_end(&mut request.body).ok()?;
    Some(request)
}

/// Whether the connection can be used again.
fn write_answer(writer: &mut TcpStream, answer: Answer, is_head: bool) -> Option<bool> {
    let mut head = format!("HTTP/1.1 {} X\r\n", answer.status);
    for (name, value) in &answer.headers {
        write!(head, "{name}: {value}\r\n").unwrap();
    }
    let has_length = answer
        .headers
        .iter()
        .any(|(name, _)| name == "content-length");
    let length = match &answer.body {
        Body::Whole(bytes) | Body::Cut(bytes, _) | Body::Drip(bytes, _) => Some(bytes.len()),
        Body::Endless(_) | Body::Silence(_) => None,
    };
    if let Some(length) = length.filter(|_| !has_length) {
        write!(head, "content-length: {length}\r\n").unwrap();
    }
    if let Body::Silence(time) = answer.body {
        std::thread::sleep(time);
        return Some(false);
    }
    head += "\r\n";
    writer.write_all(head.as_bytes()).ok()?;
    if is_head {
        return Some(true);
    }
    match answer.body {
        Body::Whole(bytes) => {
            writer.write_all(&bytes).ok()?;
            Some(true)
        }
        Body::Cut(bytes, length) => {
            writer.write_all(&bytes[..length]).ok()?;
            Some(false)
        }
        Body::Endless(bytes) => loop {
            writer.write_all(&bytes).ok()?;
        },
        Body::Drip(bytes, pause) => {
            for byte in bytes {
                std::thread::sleep(pause);
                writer.write_all(&[byte]).ok()?;
            }
            Some(true)
        }
        Body::Silence(_) => Some(false),
    }
}

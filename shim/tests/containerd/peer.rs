//! Containerd's side of a shim: it starts one, calls its task service, and hears its events.

use std::io::{ErrorKind, Read, Write};
use std::os::unix::fs::symlink;
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use prost::Message;
use serde_json::Value;

use super::frame::{self, HEADER_LENGTH, Header, Kind};
use super::harness::{Said, Shim, eventually, finish, is_alive};
use super::messages::bootstrap::{BootstrapParams, BootstrapResult, Extension};
use super::messages::events::{Envelope, ForwardRequest};
use super::messages::pack;
use super::messages::runc_options::Options;
use super::messages::task::{ConnectRequest, ConnectResponse, CreateTaskRequest, DeleteResponse};
use super::messages::ttrpc::{Request, Response, Status};

const PROGRAM: &str = env!("CARGO_BIN_EXE_windlass-shim");
const NAMESPACE: &str = "shim-test";

/// A containerd without containers: a place, a name for the shim, an ear for events.
pub struct Containerd {
    pub shim: Shim,
    events: Arc<Mutex<Vec<Envelope>>>,
    /// Which shims were started: their processes and bundles.
    started: Mutex<Vec<(u32, PathBuf, String)>>,
}

impl Containerd {
    pub fn new() -> Self {
        let shim = Shim::new();
        symlink(
            PROGRAM,
            shim.place.path().join("containerd-shim-windlass-v2"),
        )
        .expect("a link");
        let listener = UnixListener::bind(shim.place.path().join("c.ttrpc")).expect("a socket");
        let events = Arc::new(Mutex::new(Vec::new()));
        let heard = Arc::clone(&events);
        std::thread::spawn(move || {
            for client in listener.incoming().map_while(Result::ok) {
                let heard = Arc::clone(&heard);
                std::thread::spawn(move || hear_events(client, &heard));
            }
        });
        Containerd {
            shim,
            events,
            started: Mutex::new(Vec::new()),
        }
    }

    fn path(&self, name: &str) -> String {
        let path = self.shim.place.path().join(name);
        path.to_str().expect("UTF-8").to_owned()
    }

    /// What every container is created with: the runtime under test, its state in our place.
    pub fn options(&self) -> Options {
        Options {
            binary_name: self.shim.runtime.clone(),
            root: self.path("root"),
            ..Options::default()
        }
    }

    /// The shim's program, called in `bundle` with containerd's flags.
    pub fn command(&self, bundle: &Path, id: &str, arguments: &[&str]) -> Command {
        let mut command = Command::new(self.path("containerd-shim-windlass-v2"));
        command
            .args(["-namespace", NAMESPACE, "-address", &self.path("c")])
            .args(["-publish-binary", "/bin/true", "-id", id])
            .args(arguments)
            .env("TTRPC_ADDRESS", self.path("c.ttrpc"))
            // Where tests put helpers.
            .env(
                "PATH",
                self.path("") + ":" + &std::env::var("PATH").expect("PATH"),
            )
            .env_remove("MAX_SHIM_VERSION")
            .current_dir(bundle);
        command
    }

    /// `start` by the bootstrap protocol. Returns where the shim listens.
    pub fn start(&self, bundle: &Path, id: &str) -> String {
        self.start_with(bundle, id, &self.options())
    }

    /// The same with these options of runc's shim.
    pub fn start_with(&self, bundle: &Path, id: &str, options: &Options) -> String {
        let params = BootstrapParams {
            instance_id: id.to_owned(),
            namespace: NAMESPACE.to_owned(),
            containerd_ttrpc_address: self.path("c.ttrpc"),
            containerd_grpc_address: self.path("c"),
            extensions: vec![Extension {
                value: Some(pack(options)),
            }],
            socket_dir: Some(self.path("s")),
            ..BootstrapParams::default()
        };
        let output = feed(
            &mut self.command(bundle, id, &["start"]),
            &params.encode_to_vec(),
        );
        let error = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{error}");
        let result = BootstrapResult::decode(output.stdout.as_slice()).expect("a result");
        assert_eq!((result.version, result.protocol.as_str()), (3, "ttrpc"));
        self.note(&result.address, bundle, id);
        result.address
    }

    /// Remembers a shim that was started, so that nothing of it outlives the test.
    pub fn note(&self, address: &str, bundle: &Path, id: &str) {
        let answer: ConnectResponse = Client::new(address)
            .call("Connect", &ConnectRequest { id: id.to_owned() })
            .expect("Connect");
        let mut started = self.started.lock().expect("a list");
        started.push((answer.shim_pid, bundle.to_owned(), id.to_owned()));
    }

    /// `delete`, as after the shim's end.
    pub fn delete(&self, bundle: &Path, id: &str) -> (DeleteResponse, String) {
        let bundle_flag = ["-bundle", bundle.to_str().expect("UTF-8"), "delete"];
        let output = feed(&mut self.command(bundle, id, &bundle_flag), &[]);
        let error = String::from_utf8_lossy(&output.stderr).into_owned();
        assert!(output.status.success(), "{error}");
        let response = DeleteResponse::decode(output.stdout.as_slice()).expect("a response");
        (response, error)
    }

    /// A request to create the container of `bundle`, without streams.
    pub fn create_request(&self, bundle: &Path, id: &str) -> CreateTaskRequest {
        CreateTaskRequest {
            id: id.to_owned(),
            bundle: bundle.to_str().expect("UTF-8").to_owned(),
            options: Some(pack(&self.options())),
            ..CreateTaskRequest::default()
        }
    }

    /// A copy of the bundle, whose configuration is changed, for another container.
    pub fn another_bundle(&self, name: &str, change: impl FnOnce(&mut Value)) -> PathBuf {
        let bundle = self.shim.place.path().join(name);
        std::fs::create_dir(&bundle).expect("a bundle");
        let config = std::fs::read(self.shim.bundle().join("config.json")).expect("config.json");
        let mut config: Value = serde_json::from_slice(&config).expect("JSON");
        config["root"]["path"] = self.shim.rootfs().to_str().expect("UTF-8").into();
        change(&mut config);
        std::fs::write(bundle.join("config.json"), config.to_string()).expect("config.json");
        bundle
    }

    /// The events that came, by their topics' last words.
    pub fn topics(&self) -> Vec<String> {
        let events = self.events.lock().expect("events");
        let topics = events.iter().map(|event| &event.topic);
        topics.map(|topic| topic.replace("/tasks/", "")).collect()
    }

    /// The events of one type that came.
    pub fn events<M: prost::Name + Default>(&self) -> Vec<M> {
        let events = self.events.lock().expect("events");
        let events = events.iter().filter_map(|event| event.event.as_ref());
        events
            .filter_map(|event| super::messages::unpack(event).expect("an event"))
            .collect()
    }

    /// Waits until the events that came are these.
    pub fn expect_topics(&self, wanted: &[&str]) {
        for _ in 0..500 {
            if self.topics() == wanted {
                return;
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        assert_eq!(self.topics(), wanted);
    }

    /// Whether the runtime knows the container.
    pub fn runtime_knows(&self, id: &str) -> bool {
        let mut command = Command::new(&self.shim.runtime);
        let root = format!("{}/{NAMESPACE}", self.path("root"));
        let command = command.args(["--root", &root, "state", id]);
        finish(command.stdin(Stdio::null())).status == 0
    }

    pub fn fifo(&self, name: &str) -> String {
        let path = self.path(name);
        let mode = rustix::fs::Mode::from_raw_mode(0o700);
        rustix::fs::mknodat(rustix::fs::CWD, &path, rustix::fs::FileType::Fifo, mode, 0)
            .expect("mkfifo");
        path
    }
}

impl Drop for Containerd {
    fn drop(&mut self) {
        for (pid, bundle, id) in self.started.lock().expect("a list").clone() {
            if is_alive(pid.into()) {
                super::harness::signal(pid, rustix::process::Signal::KILL);
                eventually("the shim has ended", || !is_alive(pid.into()));
            }
            if bundle.exists() {
                self.delete(&bundle, &id);
            }
        }
    }
}

/// A connection to a shim.
pub struct Client {
    stream: UnixStream,
    service: &'static str,
    last: u32,
}

impl Client {
    pub fn new(address: &str) -> Self {
        let path = address
            .strip_prefix("unix://")
            .expect("a unix socket's address");
        let stream = UnixStream::connect(path).expect("the shim listens");
        let patience = Some(Duration::from_secs(60));
        stream.set_read_timeout(patience).expect("a timeout");
        Client {
            stream,
            service: "containerd.task.v3.Task",
            last: 0,
        }
    }

    /// The same by another of the service's names.
    pub fn of_service(address: &str, service: &'static str) -> Self {
        Client {
            service,
            ..Client::new(address)
        }
    }

    /// Asks, to be answered later.
    pub fn ask(&mut self, method: &str, message: &impl Message) {
        self.ask_within(Duration::ZERO, method, message);
    }

    /// Asks, and says for how long the answer is waited for.
    pub fn ask_within(&mut self, patience: Duration, method: &str, message: &impl Message) {
        self.last = if self.last == 0 { 1 } else { self.last + 2 };
        let request = Request {
            service: self.service.to_owned(),
            method: method.to_owned(),
            payload: message.encode_to_vec(),
            timeout_nano: patience.as_nanos().try_into().expect("a patience"),
            ..Request::default()
        };
        let mut bytes = Vec::new();
        frame::append(
            &mut bytes,
            self.last,
            Kind::Request,
            &request.encode_to_vec(),
        );
        self.stream.write_all(&bytes).expect("the shim reads");
    }

    /// The answer to the last question.
    pub fn hear<M: Message + Default>(&mut self) -> Result<M, Status> {
        let (header, message) = read_frame(&mut self.stream).expect("an answer");
        assert_eq!((header.stream, header.kind), (self.last, Kind::Response));
        let response = Response::decode(message.as_slice()).expect("a response");
        match response.status.filter(|status| status.code != 0) {
            Some(status) => Err(status),
            None => Ok(M::decode(response.payload.as_slice()).expect("the method's answer")),
        }
    }

    pub fn call<M: Message + Default>(
        &mut self,
        method: &str,
        message: &impl Message,
    ) -> Result<M, Status> {
        self.ask(method, message);
        self.hear()
    }

    /// Calls what has to fail, and returns the code and the message.
    pub fn refused(&mut self, method: &str, message: &impl Message) -> (i32, String) {
        let status = self
            .call::<super::messages::well_known::Empty>(method, message)
            .expect_err("it can't be done");
        (status.code, status.message)
    }
}

fn read_frame(stream: &mut UnixStream) -> std::io::Result<(Header, Vec<u8>)> {
    let mut header = [0; HEADER_LENGTH];
    stream.read_exact(&mut header)?;
    let header = Header::parse(&header).expect("a header");
    let mut message = vec![0; header.length];
    stream.read_exact(&mut message)?;
    Ok((header, message))
}

fn hear_events(mut client: UnixStream, heard: &Mutex<Vec<Envelope>>) {
    loop {
        let (header, message) = match read_frame(&mut client) {
            Ok(frame) => frame,
            Err(error) if error.kind() == ErrorKind::UnexpectedEof => return,
            Err(error) => panic!("{error}"),
        };
        let request = Request::decode(message.as_slice()).expect("a request");
        assert_eq!(
            request.service,
            "containerd.services.events.ttrpc.v1.Events"
        );
        assert_eq!(request.method, "Forward");
        let forward = ForwardRequest::decode(request.payload.as_slice()).expect("an event");
        let envelope = forward.envelope.expect("an envelope");
        assert_eq!(envelope.namespace, NAMESPACE);
        heard.lock().expect("events").push(envelope);
        let mut bytes = Vec::new();
        let response = Response::default().encode_to_vec();
        frame::append(&mut bytes, header.stream, Kind::Response, &response);
        client.write_all(&bytes).expect("the shim reads");
    }
}

/// Runs a command with this on its standard input.
pub fn feed(command: &mut Command, input: &[u8]) -> Output {
    let mut child = command
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the shim");
    let mut stdin = child.stdin.take().expect("a pipe");
    // It may not want to read it.
    let _ = stdin.write_all(input);
    drop(stdin);
    child.wait_with_output().expect("its output")
}

/// The same with text for output.
pub fn said(command: &mut Command, input: &[u8]) -> Said {
    feed(command, input).into()
}

//! Debian's docker-registry on loopback, for as long as a test lasts.
#![allow(dead_code)]

use std::fmt::Write as _;
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use tempfile::TempDir;

/// Who may use a registry with [`Options::login`]: the password is "open sesame:1".
pub const USER: &str = "keeper";
pub const PASSWORD: &str = "open sesame:1";
const HTPASSWD: &str = "keeper:$2y$04$g5JmRqWBnrnOmIlr1g.aZu.Tq2yB8cRRojXFJ1X1p9sSUl8Q8a41e\n";

#[derive(Default)]
pub struct Options {
    pub login: bool,
    pub tls: bool,
}

pub struct Registry {
    process: Child,
    directory: TempDir,
    /// Host and port.
    pub address: String,
}

impl Registry {
    pub fn start(options: &Options) -> Self {
        let directory = tempfile::Builder::new()
            .prefix("img-registry-")
            .tempdir()
            .unwrap();
        let path = |name: &str| directory.path().join(name).display().to_string();
        // Free when we look; somebody else could take it in between, but nobody here does.
        let address = TcpListener::bind("127.0.0.1:0")
            .unwrap()
            .local_addr()
            .unwrap()
            .to_string();
        let mut config = format!(
            "version: 0.1\nlog: {{level: error}}\nstorage:\n  filesystem: {{rootdirectory: {}}}\n  \
             delete: {{enabled: true}}\nhttp:\n  addr: {address}\n",
            path("data")
        );
        if options.tls {
            make_certificates(directory.path());
            let (certificate, key) = (path("server.cert"), path("server.key"));
            writeln!(config, "  tls: {{certificate: {certificate}, key: {key}}}").unwrap();
        }
        if options.login {
            std::fs::write(path("htpasswd"), HTPASSWD).unwrap();
            let file = path("htpasswd");
            writeln!(config, "auth: {{htpasswd: {{realm: test, path: {file}}}}}").unwrap();
        }
        std::fs::write(path("config.yml"), config).unwrap();
        let process = Command::new("docker-registry")
            .arg("serve")
            .arg(path("config.yml"))
            .stdin(Stdio::null())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("docker-registry (Debian's package) has to be installed");
        let mut registry = Registry {
            process,
            directory,
            address,
        };
        registry.wait();
        registry
    }

    fn wait(&mut self) {
        let until = Instant::now() + Duration::from_secs(20);
        while TcpStream::connect(&self.address).is_err() {
            assert!(
                self.process.try_wait().unwrap().is_none(),
                "docker-registry ended"
            );
            assert!(Instant::now() < until, "docker-registry does not listen");
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// The name of an image here.
    pub fn image(&self, name: &str) -> String {
        format!("docker://{}/{name}", self.address)
    }

    /// The certificate of the authority that vouches for it, in a directory of its own.
    pub fn certificates(&self) -> PathBuf {
        self.directory.path().join("trusted")
    }

    /// Where it keeps a blob.
    pub fn blob(&self, digest: &str) -> PathBuf {
        let hex = digest.strip_prefix("sha256:").unwrap();
        let blobs = self
            .directory
            .path()
            .join("data/docker/registry/v2/blobs/sha256");
        blobs.join(&hex[..2]).join(hex).join("data")
    }
}

impl Drop for Registry {
    fn drop(&mut self) {
        self.process.kill().unwrap();
        self.process.wait().unwrap();
    }
}

/// An authority, and a server's certificate for 127.0.0.1.
fn make_certificates(directory: &Path) {
    let trusted = directory.join("trusted");
    std::fs::create_dir(&trusted).unwrap();
    let openssl = |arguments: &[&str]| {
        let output = Command::new("openssl")
            .current_dir(directory)
            .args(arguments)
            .output()
            .unwrap();
        assert!(
            output.status.success(),
            "{}",
            String::from_utf8_lossy(&output.stderr)
        );
    };
    let curve = "ec_paramgen_curve:prime256v1";
    openssl(&[
        "req",
        "-x509",
        "-newkey",
        "ec",
        "-pkeyopt",
        curve,
        "-nodes",
        "-days",
        "2",
        "-subj",
        "/CN=test authority",
        "-keyout",
        "ca.key",
        "-out",
        "trusted/ca.crt",
    ]);
    openssl(&[
        "req",
        "-newkey",
        "ec",
        "-pkeyopt",
        curve,
        "-nodes",
        "-subj",
        "/CN=registry",
        "-keyout",
        "server.key",
        "-out",
        "server.csr",
    ]);
    std::fs::write(
        directory.join("extensions"),
        "subjectAltName=IP:127.0.0.1\n",
    )
    .unwrap();
    openssl(&[
        "x509",
        "-req",
        "-in",
        "server.csr",
        "-CA",
        "trusted/ca.crt",
        "-CAkey",
        "ca.key",
        "-CAcreateserial",
        "-days",
        "2",
        "-extfile",
        "extensions",
        "-out",
        "server.cert",
    ]);
}

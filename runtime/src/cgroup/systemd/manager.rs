//! systemd's manager, by its D-Bus interface (org.freedesktop.systemd1(5)).

use std::ffi::OsStr;
use std::path::Path;
use std::time::{Duration, Instant};

use rustix::process::Pid;

use super::Unit;
use super::properties::{Property, put};
use crate::dbus::{Connection, Refusal, Value, session_bus, system_bus};
use crate::error::{Error, ErrorContext as _, Result};

/// How long a unit may take to start or stop: runc's patience.
const PATIENCE: Duration = Duration::from_secs(30);

const SYSTEMD: &str = "org.freedesktop.systemd1";
const MANAGER_PATH: &str = "/org/freedesktop/systemd1";
const MANAGER: &str = "org.freedesktop.systemd1.Manager";
const UNIT: &str = "org.freedesktop.systemd1.Unit";
const PROPERTIES: &str = "org.freedesktop.DBus.Properties";
const NO_SUCH_UNIT: &str = "org.freedesktop.systemd1.NoSuchUnit";
const UNIT_EXISTS: &str = "org.freedesktop.systemd1.UnitExists";

/// Where systemd answers without a bus in between, for hosts that have none.
const PRIVATE: &str = "unix:path=/run/systemd/private";

/// A connection to the system's systemd, or to the user's.
#[derive(Debug)]
pub struct Manager {
    connection: Connection,
}

impl Manager {
    /// Connects to the user's systemd if `user`, else to the system's.
    ///
    /// # Errors
    /// When there is no systemd, or no way to it.
    pub fn connect(user: bool) -> Result<Self> {
        // sd_booted(3).
        if !Path::new("/run/systemd/system").is_dir() {
            return Err(Error::new(
                "systemd not running on this host, cannot use systemd cgroups manager",
            )
            .hint("use --cgroup-manager cgroupfs"));
        }
        let connection = if user {
            let address = session_bus().ok_or_else(|| {
                Error::new(
                    "neither DBUS_SESSION_BUS_ADDRESS nor XDG_RUNTIME_DIR tells where the user's \
                     systemd can be reached",
                )
                .hint("log in anew, or install dbus-user-session")
            })?;
            Connection::to_bus(&address)
        } else {
            Connection::to_bus(&system_bus())
                .or_else(|error| Connection::to_peer(OsStr::new(PRIVATE)).map_err(|_| error))
        };
        connection
            .map(|connection| Manager { connection })
            .context(|| "failed to connect to dbus")
    }

    /// The cgroup below which this manager's units are: empty for the root, else a path that
    /// begins with `/`.
    ///
    /// # Errors
    /// When systemd doesn't answer.
    pub fn cgroup(&mut self) -> Result<String> {
        let cgroup = self.property(MANAGER_PATH, MANAGER, "ControlGroup")?;
        Ok(cgroup.trim_end_matches('/').to_owned())
    }

    /// Has a scope made with `processes` in it, and waits until it is there.
    ///
    /// # Errors
    /// For properties that systemd refuses, and when there is such a unit already.
    pub fn start(&mut self, unit: &Unit, properties: &[Property], processes: &[Pid]) -> Result<()> {
        let mut told = self.known(properties)?;
        put(&mut told, Property::new("PIDs", pids(processes)));
        let arguments = [
            unit.name.as_str().into(),
            "replace".into(),
            marshalled(&told),
            Value::Array("(sa(sv))", Vec::new()),
        ];
        self.follow_jobs()?;
        let started = match self.call(MANAGER, "StartTransientUnit", &arguments) {
            // It may be one that has failed and that nobody has looked at since.
            Err(refusal) if refusal.is(UNIT_EXISTS) => {
                self.forget_failure(&unit.name);
                self.call(MANAGER, "StartTransientUnit", &arguments)
            }
            started => started,
        };
        let result = started
            .map_err(Error::from)
            .and_then(|job| self.wait_for_job(&job));
        let result = match result {
            Ok(how) if how == "done" => Ok(()),
            Ok(how) => {
                self.forget_failure(&unit.name);
                Err(Error::new(format!("got `{how}`")))
            }
            Err(error) => Err(error),
        };
        result.context(|| format!("error creating systemd unit `{}`", unit.name))
    }

    /// Sets properties of a unit that is there, for as long as it is there.
    ///
    /// # Errors
    /// For properties that systemd refuses.
    pub fn set(&mut self, unit: &Unit, properties: &[Property]) -> Result<()> {
        let told = self.known(properties)?;
        if told.is_empty() {
            return Ok(());
        }
        let arguments = [unit.name.as_str().into(), true.into(), marshalled(&told)];
        self.call(MANAGER, "SetUnitProperties", &arguments)
            .map(drop)
            .map_err(Error::from)
            .context(|| {
                format!(
                    "unable to set properties of the systemd unit `{}`",
                    unit.name
                )
            })
    }

    /// Puts `process` into the unit's cgroup, or into one below it.
    ///
    /// # Errors
    /// When the unit or the cgroup is gone.
    pub fn attach(&mut self, unit: &Unit, below: &str, process: Pid) -> Result<()> {
        let arguments = [unit.name.as_str().into(), below.into(), pids(&[process])];
        self.call(MANAGER, "AttachProcessesToUnit", &arguments)
            .map(drop)
            .map_err(Error::from)
            .context(|| {
                format!(
                    "unable to put a process into the systemd unit `{}`",
                    unit.name
                )
            })
    }

    /// Ends what runs in the unit and has it removed, even if it has failed. A unit that is gone is
    /// no error, and one of the same name that is not this one is left alone.
    ///
    /// # Errors
    /// When systemd doesn't get it done.
    pub fn end(&mut self, unit: &Unit) -> Result<()> {
        self.try_end(unit)
            .map_err(Error::from)
            .context(|| format!("unable to stop the systemd unit `{}`", unit.name))
    }

    fn try_end(&mut self, unit: &Unit) -> Result<(), Refusal> {
        let name = unit.name.as_str();
        let path = match self.call(MANAGER, "GetUnit", &[name.into()]) {
            Err(refusal) if refusal.is(NO_SUCH_UNIT) => return Ok(()),
            path => path?,
        };
        if self.property(&path, UNIT, "Description")? != unit.description {
            return Ok(());
        }
        self.follow_jobs()?;
        // It may end by itself at any time.
        let kill = [name.into(), "all".into(), Value::Int32(libc::SIGKILL)];
        drop(self.call(MANAGER, "KillUnit", &kill));
        match self.call(MANAGER, "StopUnit", &[name.into(), "replace".into()]) {
            Err(refusal) if refusal.is(NO_SUCH_UNIT) => {}
            Err(refusal) => return Err(refusal),
            Ok(job) => {
                self.wait_for_job(&job)?;
            }
        }
        self.forget_failure(name);
        Ok(())
    }

    /// A unit that has failed stays until someone says that this is known.
    fn forget_failure(&mut self, unit: &str) {
        // Most have not failed, and those are gone.
        drop(self.call(MANAGER, "ResetFailedUnit", &[unit.into()]));
    }

    /// Without this systemd doesn't tell when a job is done.
    fn follow_jobs(&mut self) -> Result<()> {
        self.connection.match_signals(
            "type='signal',sender='org.freedesktop.systemd1',\
             path='/org/freedesktop/systemd1',\
             interface='org.freedesktop.systemd1.Manager',member='JobRemoved'",
        )?;
        self.connection
            .notify(SYSTEMD, MANAGER_PATH, (MANAGER, "Subscribe"))
    }

    /// Waits until a job is done; how it ended.
    fn wait_for_job(&mut self, job: &str) -> Result<String> {
        let deadline = Instant::now() + PATIENCE;
        loop {
            let signal = self.connection.signal(deadline)?;
            if let ("JobRemoved", [_, path, _, result]) = (signal.member.as_str(), &*signal.values)
                && path.text() == Some(job)
            {
                return Ok(result.text().unwrap_or_default().to_owned());
            }
        }
    }

    /// Those of `properties` that this systemd knows. Its version is asked for only if it matters.
    fn known(&mut self, properties: &[Property]) -> Result<Vec<Property>> {
        let mut version = u32::MAX;
        if properties.iter().any(|property| property.since > 0) {
            let text = self.property(MANAGER_PATH, MANAGER, "Version")?;
            let digits = text.trim_start_matches('v');
            let end = digits.find(|c: char| !c.is_ascii_digit());
            version = digits[..end.unwrap_or(digits.len())].parse().unwrap_or(0);
        }
        Ok(properties
            .iter()
            .filter(|property| property.since <= version)
            .cloned()
            .collect())
    }

    /// A property that is a text.
    fn property(&mut self, path: &str, interface: &str, name: &str) -> Result<String> {
        let get = (PROPERTIES, "Get");
        let arguments = [interface.into(), name.into()];
        let values = self.connection.call(SYSTEMD, path, get, &arguments)?;
        match values.first().and_then(Value::text) {
            Some(text) => Ok(text.to_owned()),
            None => Err(Error::new(format!("systemd's {name} is no text"))),
        }
    }

    /// Calls the manager; the text that comes back, if any.
    fn call(
        &mut self,
        interface: &str,
        member: &str,
        arguments: &[Value],
    ) -> Result<String, Refusal> {
        let name = (interface, member);
        let values = self
            .connection
            .call(SYSTEMD, MANAGER_PATH, name, arguments)?;
        Ok(values
            .first()
            .and_then(Value::text)
            .unwrap_or_default()
            .to_owned())
    }
}

fn pids(processes: &[Pid]) -> Value {
    let pid = |pid: &Pid| Value::Uint32(pid.as_raw_nonzero().get().unsigned_abs());
    Value::Array("u", processes.iter().map(pid).collect())
}

fn marshalled(properties: &[Property]) -> Value {
    let pair = |property: &Property| {
        Value::Struct(vec![
            Value::from(&*property.name),
            Value::Variant(Box::new(property.value.clone())),
        ])
    };
    Value::Array("(sv)", properties.iter().map(pair).collect())
}

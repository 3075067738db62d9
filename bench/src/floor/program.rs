//! `windlass-floor`: carries a plan out. Its verbs are those of a runtime that are compared.

use std::ffi::{CString, OsString};
use std::fs::{self, File, OpenOptions};
use std::io::{self, Read, Write as _};
use std::os::fd::{AsFd, OwnedFd};
use std::os::unix::ffi::OsStrExt;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, Result, bail};
use rustix::event::{PollFd, PollFlags};
use rustix::fs::{CWD, FileType, Mode};
use rustix::mount::{MountFlags, MountPropagationFlags, UnmountFlags};
use rustix::process::{Pid, PidfdFlags, Signal};
use rustix::thread::ThreadNameSpaceType;

use super::step::{Plan, Step, Write};
use crate::sys::{self, Side};

const CLONE_NEWCGROUP: u64 = 0x0200_0000;

/// Runs the verb that the arguments (without the program's name) ask for.
pub fn main(arguments: &[OsString]) -> Result<ExitCode> {
    let arguments: Vec<&str> = arguments
        .iter()
        .map(|argument| argument.to_str().unwrap_or_default())
        .collect();
    match arguments[..] {
        ["run", plan] => run(&read(plan)?),
        ["create", plan, state] => create(&read(plan)?, &State::at(state)),
        ["start", state] => start(&State::at(state)),
        ["kill", state] => kill(&State::at(state)),
        ["delete", plan, state] => delete(&read(plan)?, &State::at(state)),
        ["exec", plan, state, program] => exec(&read(plan)?, &State::at(state), Path::new(program)),
        _ => bail!(
            "usage: run PLAN | create PLAN STATE | start STATE | kill STATE | \
             delete PLAN STATE | exec PLAN STATE PROGRAM"
        ),
    }
}

fn read(plan: &str) -> Result<Plan> {
    Plan::parse(&fs::read_to_string(plan).with_context(|| format!("read the plan {plan}"))?)
}

/// What `create` leaves for `start`, `exec` and `delete`: a directory.
struct State {
    pid: PathBuf,
    fifo: PathBuf,
}

impl State {
    fn at(directory: &str) -> Self {
        let directory = Path::new(directory);
        Self {
            pid: directory.join("pid"),
            fifo: directory.join("exec.fifo"),
        }
    }
}

fn run(plan: &Plan) -> Result<ExitCode> {
    make_cgroups(plan)?;
    let pid = start_in_new_namespaces(plan, || Ok(()))?;
    let status = wait(pid)?;
    remove_cgroups(plan)?;
    Ok(status)
}

/// The container's first process sets everything up, tells so through a pipe and waits for a byte
/// from the fifo.
fn create(plan: &Plan, state: &State) -> Result<ExitCode> {
    make_cgroups(plan)?;
    rustix::fs::mknodat(CWD, &state.fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0)?;
    // Open for both, so that neither side's open(2) waits for the other.
    let fifo = OpenOptions::new()
        .read(true)
        .write(true)
        .open(&state.fifo)?;
    let (mut ready, tell_ready) = io::pipe()?;
    let pid = start_in_new_namespaces(plan, || {
        (&tell_ready).write_all(b"!")?;
        (&fifo).read_exact(&mut [0])?;
        Ok(())
    })?;
    drop(tell_ready);
    ready
        .read_exact(&mut [0])
        .context("the container's first process failed")?;
    fs::write(&state.pid, pid.to_string())?;
    Ok(ExitCode::SUCCESS)
}

fn start(state: &State) -> Result<ExitCode> {
    OpenOptions::new()
        .write(true)
        .open(&state.fifo)?
        .write_all(b"!")?;
    Ok(ExitCode::SUCCESS)
}

fn delete(plan: &Plan, state: &State) -> Result<ExitCode> {
    fs::remove_file(&state.fifo)?;
    fs::remove_file(&state.pid)?;
    remove_cgroups(plan)?;
    Ok(ExitCode::SUCCESS)
}

/// Ends the container's first process, and returns when it has ended.
fn kill(state: &State) -> Result<ExitCode> {
    let container = open_container(state)?;
    rustix::process::pidfd_send_signal(&container, Signal::KILL)?;
    // A pidfd is readable once its process is a zombie (pidfd_open(2)).
    rustix::event::poll(&mut [PollFd::new(&container, PollFlags::IN)], None)?;
    Ok(ExitCode::SUCCESS)
}

fn open_container(state: &State) -> Result<OwnedFd> {
    let pid: i32 = fs::read_to_string(&state.pid)?.parse()?;
    let pid = Pid::from_raw(pid).context("the container's pid is 0")?;
    Ok(rustix::process::pidfd_open(pid, PidfdFlags::empty())?)
}

/// A further process in the container: into its cgroups and namespaces, and exec.
fn exec(plan: &Plan, state: &State, program: &Path) -> Result<ExitCode> {
    let container = open_container(state)?;
    let unified = open_unified_cgroup(plan)?;
    enter_v1_cgroups(plan)?;
    let namespaces = u32::try_from(plan.namespaces)?;
    rustix::thread::move_into_thread_name_spaces(
        container.as_fd(),
        ThreadNameSpaceType::from_bits_retain(namespaces),
    )?;
    match sys::clone3(0, unified.as_ref().map(AsFd::as_fd))? {
        Side::Parent(pid) => wait(pid),
        Side::Child => become_program(program),
    }
}

fn make_cgroups(plan: &Plan) -> Result<()> {
    for cgroup in &plan.cgroups {
        rustix::fs::mkdir(&cgroup.path, Mode::from_raw_mode(0o755))
            .with_context(|| format!("mkdir {}", cgroup.path.display()))?;
    }
    plan.limits.iter().try_for_each(write)
}

fn remove_cgroups(plan: &Plan) -> Result<()> {
    for cgroup in &plan.cgroups {
        // The kernel may still hold the cgroup of a process that was just reaped.
        let mut tries = 0;
        while let Err(error) = rustix::fs::rmdir(&cgroup.path) {
            tries += 1;
            if error != rustix::io::Errno::BUSY || tries > 1000 {
                bail!("rmdir {}: {error}", cgroup.path.display());
            }
            std::thread::sleep(std::time::Duration::from_micros(100));
        }
    }
    Ok(())
}

/// Makes the container's first process; `before_program` runs in it when all is set up.
fn start_in_new_namespaces(plan: &Plan, before_program: impl Fn() -> Result<()>) -> Result<i32> {
    let unified = open_unified_cgroup(plan)?;
    // A cgroup namespace shows the cgroup that its maker is in, so it is made after entering.
    let namespaces = plan.namespaces & !CLONE_NEWCGROUP;
    match sys::clone3(namespaces, unified.as_ref().map(AsFd::as_fd)).context("clone3")? {
        Side::Parent(pid) => Ok(pid),
        Side::Child => {
            let done = set_up(plan).and_then(|()| before_program());
            if let Err(error) = done {
                eprintln!("windlass-floor: in the container: {error:#}");
                sys::exit_now(1);
            }
            become_program(&plan.program)
        }
    }
}

fn open_unified_cgroup(plan: &Plan) -> Result<Option<File>> {
    let cgroup = plan.cgroups.iter().find(|cgroup| cgroup.unified);
    Ok(cgroup.map(|cgroup| File::open(&cgroup.path)).transpose()?)
}

fn enter_v1_cgroups(plan: &Plan) -> Result<()> {
    for cgroup in plan.cgroups.iter().filter(|cgroup| !cgroup.unified) {
        // "0" is the writer itself.
        write(&Write {
            path: cgroup.path.join("cgroup.procs"),
            value: "0".into(),
        })?;
    }
    Ok(())
}

/// Sets the container up from inside, up to the last step before its program.
fn set_up(plan: &Plan) -> Result<()> {
    enter_v1_cgroups(plan)?;
    if plan.namespaces & CLONE_NEWCGROUP != 0 {
        sys::unshare_cgroup_namespace().context("unshare the cgroup namespace")?;
    }
    // Nothing mounted here may reach the host, and pivot_root wants the new root to be a mount.
    rustix::mount::mount_change(
        "/",
        MountPropagationFlags::PRIVATE | MountPropagationFlags::REC,
    )?;
    rustix::mount::mount_bind_recursive(&plan.rootfs, &plan.rootfs)?;
    rustix::process::chdir(&plan.rootfs)?;
    for step in &plan.steps {
        carry_out(step).with_context(|| step.to_string())?;
    }
    Ok(())
}

fn carry_out(step: &Step) -> Result<()> {
    match step {
        Step::Mount {
            source,
            target,
            kind,
            flags,
            data,
        } => {
            let flags = MountFlags::from_bits_retain(*flags);
            let data = (!data.is_empty())
                .then(|| CString::new(data.as_str()))
                .transpose()?;
            rustix::mount::mount(source, target, kind, flags, data.as_deref())?;
        }
        Step::Mkdir(path) => rustix::fs::mkdir(path, Mode::from_raw_mode(0o755))?,
        Step::Device {
            path,
            mode,
            major,
            minor,
        } => {
            let device = rustix::fs::makedev(*major, *minor);
            let mode = Mode::from_raw_mode(*mode);
            rustix::fs::mknodat(CWD, path, FileType::CharacterDevice, mode, device)?;
        }
        Step::Symlink { target, path } => rustix::fs::symlink(target, path)?,
        Step::Write(value) => write(value)?,
        Step::Hostname(name) => rustix::system::sethostname(name.as_bytes())?,
        Step::EnterRoot => {
            // The old root is stacked on the new one and taken away (pivot_root(2), NOTES).
            rustix::process::pivot_root(".", ".")?;
            rustix::mount::unmount(".", UnmountFlags::DETACH)?;
        }
    }
    Ok(())
}

fn write(Write { path, value }: &Write) -> Result<()> {
    // One write(2): cgroup and sysctl files take a value whole.
    OpenOptions::new()
        .write(true)
        .open(path)
        .and_then(|mut file| file.write_all(value.as_bytes()))
        .with_context(|| format!("write {value:?} to {}", path.display()))
}

fn become_program(program: &Path) -> ! {
    let error = match CString::new(program.as_os_str().as_bytes()) {
        Ok(path) => sys::execve(&path),
        Err(error) => error.into(),
    };
    eprintln!("windlass-floor: execve {}: {error}", program.display());
    sys::exit_now(127)
}

fn wait(pid: i32) -> Result<ExitCode> {
    let waited = sys::wait4(pid, 0)?.context("the child is gone")?;
    // The low 7 bits are the signal, the next byte is the exit status (wait(2)).
    match (waited.status & 0x7f, (waited.status >> 8) & 0xff) {
        (0, status) => Ok(ExitCode::from(u8::try_from(status)?)),
        (signal, _) => bail!("the container's program was ended by signal {signal}"),
    }
}

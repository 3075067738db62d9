//! What rustix lacks: ioctls of loop devices, mount_setattr(2), and a process that does nothing in
//! a user namespace. The only unsafe code of this folder.
#![allow(unsafe_code)]

use std::io;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd, OwnedFd};

use rustix::io::Errno;
use rustix::process::{Pid, Signal, WaitOptions, kill_process, waitpid};

use crate::sys::{Forked, fork};

/// The number of a loop device that is free, made if there was none (`LOOP_CTL_GET_FREE`).
pub fn free_loop_device(control: impl AsFd) -> Result<u32, Errno> {
    /// include/uapi/linux/loop.h.
    const LOOP_CTL_GET_FREE: libc::Ioctl = 0x4C82;
    // SAFETY: the call takes no argument and touches no memory of ours.
    let number = unsafe { libc::ioctl(control.as_fd().as_raw_fd(), LOOP_CTL_GET_FREE) };
    u32::try_from(number).map_err(|_| last_errno())
}

/// Makes `device` show the file `backing`, until nobody uses it any more (`LOOP_CONFIGURE`, Linux
/// 5.8). `EBUSY` if it shows another.
pub fn configure_loop_device(
    device: &OwnedFd,
    backing: &OwnedFd,
    read_only: bool,
    direct_io: bool,
) -> Result<(), Errno> {
    /// include/uapi/linux/loop.h: `struct loop_info64`.
    #[repr(C)]
    struct Info {
        device: u64,
        inode: u64,
        rdevice: u64,
        offset: u64,
        size_limit: u64,
        number: u32,
        encrypt_type: u32,
        encrypt_key_size: u32,
        flags: u32,
        file_name: [u8; 64],
        crypt_name: [u8; 64],
        encrypt_key: [u8; 32],
        init: [u64; 2],
    }
    /// `struct loop_config`.
    #[repr(C)]
    struct Config {
        fd: u32,
        block_size: u32,
        info: Info,
        reserved: [u64; 8],
    }
    const LOOP_CONFIGURE: libc::Ioctl = 0x4C0A;
    const READ_ONLY: u32 = 1;
    const AUTOCLEAR: u32 = 4;
    const DIRECT_IO: u32 = 16;

    let mut flags = AUTOCLEAR;
    if read_only {
        flags |= READ_ONLY;
    }
    if direct_io {
        flags |= DIRECT_IO;
    }
    let config = Config {
        fd: backing.as_raw_fd().unsigned_abs(),
        block_size: 0,
        info: Info {
            device: 0,
            inode: 0,
            rdevice: 0,
            offset: 0,
            size_limit: 0,
            number: 0,
            encrypt_type: 0,
            encrypt_key_size: 0,
            flags,
            file_name: [0; 64],
            crypt_name: [0; 64],
            encrypt_key: [0; 32],
            init: [0; 2],
        },
        reserved: [0; 8],
    };
    // SAFETY: the kernel only reads the structure, whose layout is its own; both descriptors are
    // open for the length of the borrow.
    let result = unsafe { libc::ioctl(device.as_raw_fd(), LOOP_CONFIGURE, &raw const config) };
    if result == 0 {
        Ok(())
    } else {
        Err(last_errno())
    }
}

/// Maps the owners of all files of the detached mount `tree`, and of those below it, by the user
/// namespace (`MOUNT_ATTR_IDMAP`, Linux 5.12), and makes it private.
pub fn map_owners(
    tree: BorrowedFd<'_>,
    namespace: BorrowedFd<'_>,
    read_only: bool,
) -> Result<(), Errno> {
    let read_only = if read_only {
        libc::MOUNT_ATTR_RDONLY
    } else {
        0
    };
    let attributes = libc::mount_attr {
        attr_set: libc::MOUNT_ATTR_IDMAP | read_only,
        attr_clr: 0,
        propagation: libc::MS_PRIVATE,
        userns_fd: u64::from(namespace.as_raw_fd().unsigned_abs()),
    };
    // SAFETY: the empty path is a NUL-terminated literal, the structure is alive and its size
    // given.
    let result = unsafe {
        libc::syscall(
            libc::SYS_mount_setattr,
            tree.as_raw_fd(),
            c"".as_ptr(),
            libc::AT_EMPTY_PATH | libc::AT_RECURSIVE,
            &raw const attributes,
            size_of::<libc::mount_attr>(),
        )
    };
    if result == 0 {
        Ok(())
    } else {
        Err(last_errno())
    }
}

/// A process that waits for its end, for the sake of its namespaces; gone when this is dropped.
#[derive(Debug)]
pub struct Idle(Pid);

impl Idle {
    /// One in a user namespace of its own that nobody has given mappings yet.
    pub fn in_user_namespace() -> io::Result<Self> {
        let (ready, tell) = rustix::pipe::pipe_with(rustix::pipe::PipeFlags::CLOEXEC)?;
        match fork()? {
            Forked::Child => {
                // SAFETY: prctl, unshare, write, pause and _exit touch no memory of ours but
                // the byte, and this process has one thread and goes nowhere from here.
                unsafe {
                    libc::prctl(libc::PR_SET_PDEATHSIG, libc::SIGKILL);
                    let errno = match libc::unshare(libc::CLONE_NEWUSER) {
                        0 => 0,
                        _ => u8::try_from(last_errno().raw_os_error()).unwrap_or(u8::MAX),
                    };
                    libc::write(tell.as_raw_fd(), (&raw const errno).cast(), 1);
                    if errno == 0 {
                        libc::pause();
                    }
                    libc::_exit(1)
                }
            }
            Forked::Parent(pid) => {
                drop(tell);
                let process = Idle(pid);
                let mut errno = [0];
                match rustix::io::read(&ready, &mut errno)? {
                    1 if errno == [0] => Ok(process),
                    1 => Err(io::Error::from_raw_os_error(errno[0].into())),
                    _ => Err(io::ErrorKind::UnexpectedEof.into()),
                }
            }
        }
    }

    /// Its id.
    pub fn pid(&self) -> i32 {
        self.0.as_raw_pid()
    }
}

impl Drop for Idle {
    fn drop(&mut self) {
        // It is ours and not waited for yet, so the number is still its own.
        let _ = kill_process(self.0, Signal::KILL);
        let _ = waitpid(Some(self.0), WaitOptions::empty());
    }
}

fn last_errno() -> Errno {
    Errno::from_io_error(&io::Error::last_os_error()).unwrap_or(Errno::IO)
}

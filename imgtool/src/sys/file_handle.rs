//! A file by its handle, whatever it is called by now (`open_by_handle_at(2)`).
#![allow(unsafe_code)]

use std::os::fd::{AsFd, AsRawFd, FromRawFd, OwnedFd};

use rustix::io::{Errno, Result};

/// The most bytes of a handle (`MAX_HANDLE_SZ` of linux/exportfs.h).
const MOST_BYTES: usize = 128;

/// `struct file_handle` with room for any handle.
#[repr(C)]
struct RawHandle {
    length: u32,
    kind: i32,
    bytes: [u8; MOST_BYTES],
}

/// A file's handle: what its file system finds it by. Another file never has the same.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct FileHandle {
    /// The file system's word for what the bytes are.
    pub kind: i32,
    /// The handle.
    pub bytes: Vec<u8>,
}

impl FileHandle {
    /// The handle of an open file. `EOPNOTSUPP` on file systems that have none.
    pub fn of(file: impl AsFd) -> Result<Self> {
        let mut raw = RawHandle {
            length: u32::try_from(MOST_BYTES).map_err(|_| Errno::OVERFLOW)?,
            kind: 0,
            bytes: [0; MOST_BYTES],
        };
        let mut mount = 0;
        // SAFETY: the path is an empty C string; `raw` has file_handle's layout, followed by as many
        // bytes as its length says, and it and `mount` outlive the call.
        let result = unsafe {
            libc::name_to_handle_at(
                file.as_fd().as_raw_fd(),
                c"".as_ptr(),
                (&raw mut raw).cast(),
                &raw mut mount,
                libc::AT_EMPTY_PATH,
            )
        };
        if result != 0 {
            return Err(last_error());
        }
        let length = usize::try_from(raw.length).map_err(|_| Errno::OVERFLOW)?;
        let bytes = raw.bytes.get(..length).ok_or(Errno::OVERFLOW)?.to_vec();
        Ok(FileHandle {
            kind: raw.kind,
            bytes,
        })
    }

    /// Opens the directory that has this handle in the file system of `mount`. `ESTALE` if it was
    /// removed; needs `CAP_DAC_READ_SEARCH`.
    pub fn open_directory(&self, mount: impl AsFd) -> Result<OwnedFd> {
        let mut raw = RawHandle {
            length: u32::try_from(self.bytes.len()).map_err(|_| Errno::OVERFLOW)?,
            kind: self.kind,
            bytes: [0; MOST_BYTES],
        };
        let room = raw.bytes.get_mut(..self.bytes.len());
        room.ok_or(Errno::OVERFLOW)?.copy_from_slice(&self.bytes);
        let flags = libc::O_RDONLY | libc::O_DIRECTORY | libc::O_CLOEXEC;
        // SAFETY: `raw` has file_handle's layout, its length is no more than its bytes, and it outlives
        // the call. What is returned, if not negative, is a new descriptor that nobody else owns.
        unsafe {
            let fd =
                libc::open_by_handle_at(mount.as_fd().as_raw_fd(), (&raw mut raw).cast(), flags);
            if fd < 0 {
                return Err(last_error());
            }
            Ok(OwnedFd::from_raw_fd(fd))
        }
    }
}

fn last_error() -> Errno {
    Errno::from_io_error(&std::io::Error::last_os_error()).unwrap_or(Errno::IO)
}

//! The front that podman and CRI-O know: conmon's command line, pipes, sockets and files.

mod attach;
mod control;
mod exit_file;
mod glib;
mod log_drivers;
mod notify;
mod options;
mod parent_pipe;
mod report;
mod sockets;

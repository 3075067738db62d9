//! The nodes and links of /dev (config-linux.md, "Devices" and "Default Devices").

use rustix::fs::FileType;

use super::build::Builder;
use super::{Action, DeviceStep, Pointer, clause};
use crate::error::{Error, Result};
use crate::spec::{Device, Spec};

impl<'a> Builder<'a> {
    /// The nodes and links of /dev.
    pub(super) fn devices(&mut self, spec: &'a Spec<'a>, bind: bool) -> Result<()> {
        const DEFAULTS: [(&str, u32, u32); 6] = [
            ("/dev/null", 1, 3),
            ("/dev/zero", 1, 5),
            ("/dev/full", 1, 7),
            ("/dev/tty", 5, 0),
            ("/dev/urandom", 1, 9),
            ("/dev/random", 1, 8),
        ];
        for (path, major, minor) in DEFAULTS {
            // What config.json lists itself is made as it says, once.
            if spec
                .linux
                .devices
                .iter()
                .any(|device| &*device.path == path)
            {
                continue;
            }
            let step = DeviceStep {
                path,
                kind: FileType::CharacterDevice,
                mode: 0o666,
                number: rustix::fs::makedev(major, minor),
                uid: 0,
                gid: 0,
                bind,
            };
            self.push(
                Action::Device(step),
                Pointer::default(),
                clause::DEFAULT_DEVICES,
            );
        }
        for (index, device) in spec.linux.devices.iter().enumerate() {
            // runc and the spec make /dev/ptmx a link to pts/ptmx whatever is listed.
            if &*device.path == "/dev/ptmx" {
                continue;
            }
            self.push(
                Action::Device(device_step(device, index, bind)?),
                Pointer::element("/linux/devices", index),
                clause::DEVICES,
            );
        }
        self.push(
            Action::DeviceLinks,
            Pointer::default(),
            "runtime-linux.md#dev-symbolic-links",
        );
        Ok(())
    }
}

fn device_step<'a>(device: &'a Device<'a>, index: usize, bind: bool) -> Result<DeviceStep<'a>> {
    let pointer = |key: &str| format!("/linux/devices/{index}/{key}");
    let kind = match &*device.kind {
        "c" | "u" => FileType::CharacterDevice,
        "b" => FileType::BlockDevice,
        "p" => FileType::Fifo,
        other => {
            return Err(Error::config(
                pointer("type"),
                format!("unknown device type {other:?}: c, b, u or p"),
            ));
        }
    };
    let number = |value: i64, key: &str| {
        u32::try_from(value)
            .map_err(|_| Error::config(pointer(key), format!("{value} is no device number")))
    };
    Ok(DeviceStep {
        path: &device.path,
        kind,
        mode: device.file_mode.unwrap_or(0o666) & 0o7777,
        number: rustix::fs::makedev(
            number(device.major, "major")?,
            number(device.minor, "minor")?,
        ),
        uid: device.uid.unwrap_or(0),
        gid: device.gid.unwrap_or(0),
        bind: bind && kind != FileType::Fifo,
    })
}

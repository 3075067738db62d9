//! The protobuf messages of containerd's public contract, one file for each of its packages.
//!
//! They are written by hand from the `.proto` files of `github.com/containerd/containerd/api`: no
//! `protoc` is needed to build this, and only what the shim speaks of is here. Field numbers are the
//! contract; fields that a newer containerd adds are skipped when they are read, as protobuf asks.

pub mod bootstrap;
pub mod cgroups_v1;
pub mod cgroups_v2;
pub mod events;
pub mod introspection;
pub mod rdma;
pub mod runc_options;
pub mod task;
pub mod ttrpc;
pub mod well_known;

use prost::Name;

use self::well_known::Any;

/// Puts a message into an `Any` the way containerd's typeurl package does: its full name, without
/// the `type.googleapis.com/` that protobuf's own documentation puts in front.
pub fn pack<M: Name>(message: &M) -> Any {
    Any {
        type_url: M::full_name(),
        value: message.encode_to_vec(),
    }
}

/// The message in `any` if it is one of type `M`, whatever prefix its type has; `None` if it is
/// another. An error if its bytes are no such message.
pub fn unpack<M: Name + Default>(any: &Any) -> Result<Option<M>, prost::DecodeError> {
    let name = any.type_url.rsplit('/').next().unwrap_or_default();
    if name != M::full_name() {
        return Ok(None);
    }
    M::decode(any.value.as_slice()).map(Some)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn an_any_is_known_by_its_name_with_and_without_a_prefix() {
        let event = events::TaskOom {
            container_id: "one".to_owned(),
        };
        let mut any = pack(&event);
        assert_eq!(any.type_url, "containerd.events.TaskOOM");
        assert_eq!(unpack::<events::TaskOom>(&any), Ok(Some(event.clone())));
        any.type_url.insert_str(0, "type.googleapis.com/");
        assert_eq!(unpack::<events::TaskOom>(&any), Ok(Some(event)));
        assert_eq!(unpack::<events::TaskPaused>(&any), Ok(None));
        any.value = vec![0xff];
        assert!(unpack::<events::TaskOom>(&any).is_err());
    }
}

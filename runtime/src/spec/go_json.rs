//! Reading JSON objects by the rules of Go's encoding/json, by which engines and runc read them:
//! a key that no field has exactly is taken for the field that it names in other letters' case
//! (`CPU`, `Cpus`, `pagesize`), and a key that comes again adds to what was read before.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use serde::de::{DeserializeSeed, Error as _, IgnoredAny, MapAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::Text;

/// An object whose fields are read one by one into what is there already.
pub(super) trait Object<'de>: Default {
    /// The fields' names.
    const KEYS: &'static [&'static str];
    /// The names of those that must be given.
    const REQUIRED: &'static [&'static str];

    /// Reads the value of the field named `key`, one of [`Object::KEYS`].
    fn read_field<D: Deserializer<'de>>(&mut self, key: &str, value: D) -> Result<(), D::Error>;
}

/// Lists the fields of an [`Object`], each with how it is read, and makes it deserializable.
macro_rules! object {
    ($object:ident $(<$a:lifetime>)?, requires $required:tt,
        { $($key:literal => $how:ident($field:ident),)* }) => {
        impl<'de $(: $a, $a)?> $crate::spec::go_json::Object<'de> for $object $(<$a>)? {
            const KEYS: &'static [&'static str] = &[$($key),*];
            const REQUIRED: &'static [&'static str] = &$required;

            fn read_field<D: serde::Deserializer<'de>>(
                &mut self,
                key: &str,
                value: D,
            ) -> Result<(), D::Error> {
                match key {
                    $($key => $crate::spec::go_json::$how(&mut self.$field, value),)*
                    _ => Ok(()),
                }
            }
        }

        impl<'de $(: $a, $a)?> serde::Deserialize<'de> for $object $(<$a>)? {
            fn deserialize<D: serde::Deserializer<'de>>(value: D) -> Result<Self, D::Error> {
                let mut object = Self::default();
                $crate::spec::go_json::read(&mut object, value)?;
                Ok(object)
            }
        }
    };
}
pub(super) use object;

/// Reads an object's fields into `object`.
pub(super) fn read<'de, T: Object<'de>, D: Deserializer<'de>>(
    object: &mut T,
    value: D,
) -> Result<(), D::Error> {
    value.deserialize_map(Fields(object, PhantomData))
}

/// A field that is replaced; `null` for what need not be given leaves it empty.
pub(super) fn value<'de, T: Deserialize<'de>, D: Deserializer<'de>>(
    slot: &mut T,
    value: D,
) -> Result<(), D::Error> {
    *slot = T::deserialize(value)?;
    Ok(())
}

/// A list or map that is replaced; `null` is an empty one.
pub(super) fn list<'de, T: Deserialize<'de> + Default, D: Deserializer<'de>>(
    slot: &mut T,
    value: D,
) -> Result<(), D::Error> {
    *slot = Option::deserialize(value)?.unwrap_or_default();
    Ok(())
}

/// A string that is replaced, borrowing where it can; `null` is an empty one.
pub(super) fn text<'de: 'a, 'a, D: Deserializer<'de>>(
    slot: &mut Cow<'a, str>,
    value: D,
) -> Result<(), D::Error> {
    *slot = Option::<Text<'a>>::deserialize(value)?
        .unwrap_or_default()
        .0;
    Ok(())
}

/// An object that is added to; `null` leaves none.
pub(super) fn object_or_none<'de, T: Object<'de>, D: Deserializer<'de>>(
    slot: &mut Option<T>,
    value: D,
) -> Result<(), D::Error> {
    struct Slot<'s, T>(&'s mut Option<T>);

    impl<'de, T: Object<'de>> Visitor<'de> for Slot<'_, T> {
        type Value = ();

        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("an object")
        }

        fn visit_unit<E>(self) -> Result<(), E> {
            *self.0 = None;
            Ok(())
        }

        fn visit_none<E>(self) -> Result<(), E> {
            *self.0 = None;
            Ok(())
        }

        fn visit_some<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
            read(self.0.get_or_insert_with(T::default), value)
        }
    }
    value.deserialize_option(Slot(slot))
}

/// Visits an object's keys.
struct Fields<'o, 'de, T>(&'o mut T, PhantomData<&'de ()>);

impl<'de, T: Object<'de>> Visitor<'de> for Fields<'_, 'de, T> {
    type Value = ();

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut map: A) -> Result<(), A::Error> {
        let mut missing: Vec<&'static str> = T::REQUIRED.to_vec();
        while let Some(key) = map.next_key::<Text<'de>>()? {
            let exact = T::KEYS.iter().find(|known| **known == &*key);
            let known = exact.or_else(|| {
                let same = |known: &&&str| known.eq_ignore_ascii_case(&key);
                T::KEYS.iter().find(same)
            });
            let Some(known) = known else {
                map.next_value::<IgnoredAny>()?;
                continue;
            };
            map.next_value_seed(Field(&mut *self.0, known, PhantomData))?;
            missing.retain(|required| required != known);
        }
        missing
            .first()
            .map_or(Ok(()), |name| Err(A::Error::missing_field(name)))
    }
}

/// One field of an object.
struct Field<'o, 'de, T>(&'o mut T, &'static str, PhantomData<&'de ()>);

impl<'de, T: Object<'de>> DeserializeSeed<'de> for Field<'_, 'de, T> {
    type Value = ();

    fn deserialize<D: Deserializer<'de>>(self, value: D) -> Result<(), D::Error> {
        self.0.read_field(self.1, value)
    }
}

//! User identities.

use std::{fmt, sync::Arc};

use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// Longest user id, in bytes: `user:{id}:positions` must stay a channel name.
pub const USER_BYTES_MAX: usize = 200;

/// A user's id, the `sub` of a token: 1 to 200 bytes of printable ASCII without spaces and without `:`, so that it is
/// one segment of a channel name and no user can name another's channel.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct UserId(Arc<str>);

/// Longest device id, in bytes.
pub const DEVICE_BYTES_MAX: usize = 64;

/// One of a user's devices, as its program names it: 1 to 64 bytes of printable ASCII without spaces.
#[derive(Clone, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub struct DeviceId(Arc<str>);

/// A text that is no device id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a device is 1 to 64 printable ASCII characters without spaces")]
pub struct InvalidDevice;

impl DeviceId {
    /// Checks `id`.
    pub fn new(id: &str) -> Result<Self, InvalidDevice> {
        let fits = (1..=DEVICE_BYTES_MAX).contains(&id.len()) && id.bytes().all(|byte| byte.is_ascii_graphic());
        if fits { Ok(Self(id.into())) } else { Err(InvalidDevice) }
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for DeviceId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for DeviceId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::new(&String::deserialize(deserializer)?).map_err(serde::de::Error::custom)
    }
}

/// A text that is no user id.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("a user id is 1 to 200 printable ASCII characters without spaces and without ':'")]
pub struct InvalidUser;

impl UserId {
    /// Checks `id`.
    pub fn new(id: &str) -> Result<Self, InvalidUser> {
        let fits = (1..=USER_BYTES_MAX).contains(&id.len());
        if fits && id.bytes().all(|byte| byte.is_ascii_graphic() && byte != b':') {
            Ok(Self(id.into()))
        } else {
            Err(InvalidUser)
        }
    }

    /// The id.
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

impl fmt::Debug for UserId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.0, f)
    }
}

impl Serialize for UserId {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.0)
    }
}

impl<'de> Deserialize<'de> for UserId {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = std::borrow::Cow::<'de, str>::deserialize(deserializer)?;
        Self::new(&text).map_err(serde::de::Error::custom)
    }
}

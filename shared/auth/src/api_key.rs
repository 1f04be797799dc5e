//! API keys of backends.

use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};

use crate::{AuthError, Secret};

/// Keys at most.
const KEYS_MAX: usize = 1_000;
/// Longest key.
const KEY_BYTES_MAX: usize = 512;
/// A shorter key is warned about.
const KEY_BYTES_ADVISED: usize = 16;
/// What an entry that is a digest already begins with.
const DIGEST_PREFIX: &str = "sha256:";

/// The accepted API keys, as SHA-256 digests; no key itself is kept.
///
/// A plain digest is enough: keys are random, not chosen by people, so there is no dictionary to slow down.
#[derive(Clone, Default)]
pub struct ApiKeys {
    digests: Vec<[u8; 32]>,
}

impl ApiKeys {
    /// Takes the keys of a configuration: each a key in clear, or `sha256:` and the 64 hexadecimal digits of its
    /// digest, so that the configuration need not hold it.
    pub fn new(keys: &[Secret]) -> Result<Self, AuthError> {
        let invalid = |reason: &str| AuthError::InvalidConfig { key: "api_keys", reason: reason.to_owned() };
        if keys.len() > KEYS_MAX {
            return Err(invalid("at most 1,000 keys"));
        }
        let mut digests = Vec::with_capacity(keys.len());
        for key in keys {
            if let Some(hex) = key.expose().strip_prefix(DIGEST_PREFIX) {
                digests.push(parse_hex(hex).ok_or_else(|| invalid("`sha256:` is followed by 64 hexadecimal digits"))?);
                continue;
            }
            if key.len() == 0 || key.len() > KEY_BYTES_MAX {
                return Err(invalid("a key has 1 to 512 bytes"));
            }
            if key.len() < KEY_BYTES_ADVISED {
                tracing::warn!("an API key under 16 bytes can be guessed; `openssl rand -hex 32` makes a good one");
            }
            digests.push(Sha256::digest(key.expose()).into());
        }
        Ok(Self { digests })
    }

    /// Whether `presented` is one of the keys. Takes the same time whichever key it is, or none.
    pub fn contains(&self, presented: &str) -> bool {
        if presented.len() > KEY_BYTES_MAX {
            return false;
        }
        let digest: [u8; 32] = Sha256::digest(presented).into();
        let found = self.digests.iter().fold(Choice::from(0), |found, known| found | known.ct_eq(&digest));
        found.into()
    }

    /// Whether there are none.
    pub const fn is_empty(&self) -> bool {
        self.digests.is_empty()
    }

    /// How many there are.
    pub const fn len(&self) -> usize {
        self.digests.len()
    }
}

impl std::fmt::Debug for ApiKeys {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ApiKeys").field("len", &self.len()).finish()
    }
}

/// Names a key in logs: the first 32 bits of its digest, which is what `sha256:` entries begin with.
pub fn fingerprint(key: &str) -> String {
    let [a, b, c, d, ..]: [u8; 32] = Sha256::digest(key).into();
    format!("{:08x}", u32::from_be_bytes([a, b, c, d]))
}

fn parse_hex(text: &str) -> Option<[u8; 32]> {
    if text.len() != 64 || !text.bytes().all(|byte| byte.is_ascii_hexdigit()) {
        return None;
    }
    let mut digest = [0; 32];
    for (at, byte) in digest.iter_mut().enumerate() {
        *byte = u8::from_str_radix(text.get(2 * at..2 * at + 2)?, 16).ok()?;
    }
    Some(digest)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_is_known_in_clear_and_by_its_digest() {
        let digest = "sha256:79b45d89c43c20c31e2a92a2e6e7c1d4ee6d8aa61c1a5b8b5ec42d9dbd5b9a57";
        // printf another-key-here | sha256sum
        let hex = "B279B47A71470F669A4E0135E8282B5DD7A4AE1D681280E136B44D6924E41ACA";
        let keys = ApiKeys::new(&["a-key-for-the-desk".into(), format!("sha256:{hex}").into()]).unwrap();
        assert!(keys.contains("a-key-for-the-desk"));
        assert!(keys.contains("another-key-here"));
        assert!(!keys.contains("a-key-for-the-desk "));
        assert!(!keys.contains(""));
        assert!(!keys.contains(digest), "a digest is not a key");
        assert!(!keys.contains(&format!("sha256:{hex}")), "nor is the configured one");
        assert_eq!(fingerprint("a-key-for-the-desk").len(), 8);
        assert!(!ApiKeys::default().contains(""));
    }

    #[test]
    fn bad_entries_are_refused_without_being_shown() {
        for bad in ["", "sha256:", "sha256:zz", &format!("sha256:{}", "+f".repeat(32)), &"k".repeat(513)] {
            let error = ApiKeys::new(&[bad.into()]).unwrap_err();
            assert!(error.is_config());
            assert!(bad.is_empty() || !error.to_string().contains(&bad[..bad.len().min(8)]) || bad == "sha256:");
        }
    }
}

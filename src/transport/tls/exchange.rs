//! Key exchanges: X25519, and ECDH over P-256 and P-384.

use alloc::boxed::Box;

use rustls::crypto::{ActiveKeyExchange, SecureRandom as _, SharedSecret, SupportedKxGroup};
use rustls::{Error, NamedGroup, PeerMisbehaved};
use rustls_rustcrypto::Provider;
use x25519_dalek::{X25519_BASEPOINT_BYTES, x25519};
use zeroize::Zeroizing;

/// All of them, in the order in which they are offered.
pub(super) const GROUPS: [&dyn SupportedKxGroup; 3] = [&X25519, &P256, &P384];

#[derive(Debug)]
struct X25519;

struct X25519Exchange {
    secret: Zeroizing<[u8; 32]>,
    public: [u8; 32],
}

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut secret = Zeroizing::new([0; 32]);
        Provider.fill(&mut *secret)?;
        let public = x25519(*secret, X25519_BASEPOINT_BYTES);
        Ok(Box::new(X25519Exchange { secret, public }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl ActiveKeyExchange for X25519Exchange {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer = peer.try_into().map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let shared = Zeroizing::new(x25519(*self.secret, peer));
        // RFC 8446, section 7.4.2: the peer has chosen a point that makes it the same for every secret.
        if *shared == [0; 32] {
            return Err(PeerMisbehaved::InvalidKeyShare.into());
        }
        Ok(SharedSecret::from(&shared[..]))
    }

    fn pub_key(&self) -> &[u8] {
        &self.public
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// ECDH over a curve: each has types of its own for everything.
macro_rules! ecdh {
    ($curve:ident, $len:literal, $group:ident, $exchange:ident, $name:expr) => {
        #[derive(Debug)]
        struct $group;

        struct $exchange {
            secret: $curve::SecretKey,
            public: $curve::Sec1Point,
        }

        impl SupportedKxGroup for $group {
            fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
                let mut bytes = Zeroizing::new([0; $len]);
                for _ in 0..MOST_ATTEMPTS {
                    Provider.fill(&mut *bytes)?;
                    if let Ok(secret) = $curve::SecretKey::from_slice(&*bytes) {
                        let public = $curve::Sec1Point::from(secret.public_key());
                        return Ok(Box::new($exchange { secret, public }));
                    }
                }
                Err(Error::FailedToGetRandomBytes)
            }

            fn name(&self) -> NamedGroup {
                $name
            }
        }

        impl ActiveKeyExchange for $exchange {
            fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
                let peer = $curve::PublicKey::from_sec1_bytes(peer).map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
                let shared = $curve::ecdh::diffie_hellman(self.secret.to_nonzero_scalar(), peer.as_affine());
                Ok(SharedSecret::from(&shared.raw_secret_bytes()[..]))
            }

            fn pub_key(&self) -> &[u8] {
                self.public.as_bytes()
            }

            fn group(&self) -> NamedGroup {
                $name
            }
        }
    };
}

/// Random bytes are no secret of a curve if they are zero or not below its order, which is less likely than one in
/// 2^32.
const MOST_ATTEMPTS: usize = 8;

ecdh!(p256, 32, P256, P256Exchange, NamedGroup::secp256r1);
ecdh!(p384, 48, P384, P384Exchange, NamedGroup::secp384r1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_of_an_exchange_have_the_same_secret() {
        for group in GROUPS {
            let (one, other) = (group.start().unwrap(), group.start().unwrap());
            let (one_public, other_public) = (one.pub_key().to_vec(), other.pub_key().to_vec());
            assert_ne!(one_public, other_public);
            let (one, other) = (one.complete(&other_public).unwrap(), other.complete(&one_public).unwrap());
            assert_eq!(one.secret_bytes(), other.secret_bytes(), "{:?}", group.name());
        }
    }

    #[test]
    fn shares_that_are_no_points_are_refused() {
        for group in GROUPS {
            let mut public = group.start().unwrap().pub_key().to_vec();
            let refused = |public: &[u8]| {
                let error = group.start().unwrap().complete(public).err();
                assert_eq!(error, Some(PeerMisbehaved::InvalidKeyShare.into()), "{:?}: {public:?}", group.name());
            };
            refused(&public[1..]);
            refused(&[]);
            public.fill(0);
            refused(&public);
        }
    }
}

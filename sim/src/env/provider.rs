//! TLS whose octets follow from a seed: ring's ciphers, with our own random numbers and our own key exchange.
//!
//! ring draws the key share from the system, so X25519 is done here; with an Ed25519 certificate (whose signatures have one length
//! and no nonce) two runs of one seed then exchange the same octets. Never for production: the randomness is no secret.

use postrider_core::prng::Prng;
use rustls::crypto::{
    ActiveKeyExchange, CryptoProvider, GetRandomFailed, SecureRandom, SharedSecret, SupportedKxGroup,
};
use rustls::{Error, NamedGroup, PeerMisbehaved};
use std::cell::RefCell;
use std::sync::Arc;
use x25519_dalek::{PublicKey, StaticSecret};

thread_local!(static SEED: RefCell<Prng> = const { RefCell::new(Prng::new(0)) });

#[derive(Debug)]
struct SeededRandom;

#[derive(Debug)]
struct X25519;

struct Active {
    secret: StaticSecret,
    public: PublicKey,
}

fn fill(octets: &mut [u8]) {
    SEED.with_borrow_mut(|prng| {
        for chunk in octets.chunks_mut(8) {
            chunk.copy_from_slice(&prng.next_u64().to_le_bytes()[..chunk.len()]);
        }
    });
}

impl SecureRandom for SeededRandom {
    fn fill(&self, octets: &mut [u8]) -> Result<(), GetRandomFailed> {
        fill(octets);
        Ok(())
    }
}

impl SupportedKxGroup for X25519 {
    fn start(&self) -> Result<Box<dyn ActiveKeyExchange>, Error> {
        let mut octets = [0; 32];
        fill(&mut octets);
        let secret = StaticSecret::from(octets);
        Ok(Box::new(Active { public: PublicKey::from(&secret), secret }))
    }

    fn name(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

impl ActiveKeyExchange for Active {
    fn complete(self: Box<Self>, peer: &[u8]) -> Result<SharedSecret, Error> {
        let peer: [u8; 32] = peer.try_into().map_err(|_| PeerMisbehaved::InvalidKeyShare)?;
        let shared = self.secret.diffie_hellman(&PublicKey::from(peer));
        Ok(SharedSecret::from(&shared.as_bytes()[..]))
    }

    fn pub_key(&self) -> &[u8] {
        self.public.as_bytes()
    }

    fn group(&self) -> NamedGroup {
        NamedGroup::X25519
    }
}

/// TLS of this thread follows from `seed` from now on.
pub fn seed(seed: u64) {
    SEED.set(Prng::new(seed));
}

/// The provider.
#[must_use]
pub fn seeded() -> Arc<CryptoProvider> {
    let base = rustls::crypto::ring::default_provider();
    Arc::new(CryptoProvider { secure_random: &SeededRandom, kx_groups: vec![&X25519], ..base })
}

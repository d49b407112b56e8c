//! Randomness is handed in, so that a test can say what it was.

/// A source of bytes that nobody can guess.
pub trait Entropy: Send + Sync {
    /// Fills `bytes` with random bytes.
    fn fill(&self, bytes: &mut [u8]);
}

/// OpenSSL's generator, seeded by the operating system.
#[derive(Debug, Default, Clone, Copy)]
pub struct OsEntropy;

impl Entropy for OsEntropy {
    #[expect(
        clippy::disallowed_methods,
        clippy::panic,
        reason = "the one place that asks OpenSSL for randomness; without it no token is safe, so the process must not go on"
    )]
    fn fill(&self, bytes: &mut [u8]) {
        if let Err(error) = openssl::rand::rand_bytes(bytes) {
            panic!("the system gives no randomness: {error}");
        }
    }
}

//! The one source of randomness: the operating system, through AWS-LC's generator.

/// Fills `buffer` with random bytes that nobody can foresee.
///
/// # Panics
/// When the operating system has no randomness to give. Nothing that this service does is safe
/// without it, so it stops instead of going on with predictable keys, ids or nonces.
pub fn fill(buffer: &mut [u8]) {
    #[expect(
        clippy::expect_used,
        reason = "without randomness every key, id and nonce is a lie"
    )]
    aws_lc_rs::rand::fill(buffer).expect("the operating system gives random bytes");
}

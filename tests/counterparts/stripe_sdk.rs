//! Stripe's own SDK as a client of our sandbox.

use tempfile::TempDir;

use crate::programs::{Server, cloakroom, file, must_succeed, program};

#[test]
fn stripes_own_sdk_takes_the_sandbox_for_stripe() {
    let dir = TempDir::new().unwrap();
    let sandbox = Server::start(&mut cloakroom(&[
        "sandbox".as_ref(),
        "--dir".as_ref(),
        dir.path().as_os_str(),
        "--port".as_ref(),
        "0".as_ref(),
    ]));
    let told = must_succeed(
        program("python")
            .arg(file("stripe_sdk.py"))
            .arg(&sandbox.url)
            .arg(dir.path()),
    );
    // The script itself says so only after its last step.
    assert!(told.contains("14 steps passed"));
}

//! The service without the wiping allocator: the negative control of the memory scan, which must
//! find cards in it. Built for tests only; it is no part of any package or image.

use std::process::ExitCode;

fn main() -> ExitCode {
    cloakroom::cli::main()
}

//! The `cloakroom` binary: the wiping allocator, and then the command line.

use std::process::ExitCode;

/// What is freed is wiped: library buffers that held a card do not outlive its request.
#[global_allocator]
static ALLOCATOR: cloakroom::memory::WipingAllocator = cloakroom::memory::WIPING_ALLOCATOR;

fn main() -> ExitCode {
    cloakroom::cli::main()
}

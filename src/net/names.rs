//! Names are resolved over TCP.
//!
//! A confined process has no datagram sockets of the Internet, because Landlock does not know their
//! ports: whoever took the process over would carry out with them what it liked. The C library's
//! resolver asks over TCP when its environment says so before its first question, and a program
//! cannot change its own environment safely; so it starts itself once more, as the same process.

use std::io;
use std::os::unix::process::CommandExt as _;
use std::process::Command;

/// Of resolv.conf(5): options for this process.
const VARIABLE: &str = "RES_OPTIONS";
/// Always use TCP.
const OVER_TCP: &str = "use-vc";

/// Comes back once this process resolves names over TCP. To be called before anything is opened.
///
/// # Errors
/// Where the program cannot be started again.
pub fn over_tcp() -> io::Result<()> {
    let mut options = std::env::var_os(VARIABLE).unwrap_or_default();
    let is_set = options
        .to_string_lossy()
        .split_whitespace()
        .any(|option| option == OVER_TCP);
    if is_set {
        return Ok(());
    }
    options.push(" ");
    options.push(OVER_TCP);
    let mut arguments = std::env::args_os();
    let name = arguments.next().unwrap_or_default();
    let mut again = Command::new("/proc/self/exe");
    again.arg0(name).args(arguments).env(VARIABLE, options);
    // It answers only where it fails.
    Err(again.exec())
}

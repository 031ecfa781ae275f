//! Who is at the terminal, as the audit log names them (PCI DSS 8.2.2, 10.2.2: a person, not a
//! shared account).

use crate::memory;

/// The kernel's record of who logged in; a process cannot change it once it is set.
const LOGIN_FILE: &str = "/proc/self/loginuid";
/// What `sudo` names whoever ran it by.
const SUDO: &str = "SUDO_UID";
/// What the kernel says of a process that nobody's login began.
const NOBODY: u32 = u32::MAX;

/// The person's number in the operating system; beside it the account that the command runs as,
/// where that is another.
pub(super) fn operator() -> String {
    let login = std::fs::read_to_string(LOGIN_FILE).ok();
    let login = login.and_then(|text| text.trim().parse().ok());
    named(login, sudo(), memory::user_id())
}

#[expect(
    clippy::disallowed_methods,
    reason = "what sudo says is no configuration"
)]
fn sudo() -> Option<u32> {
    std::env::var(SUDO).ok()?.parse().ok()
}

/// The login is the kernel's word. `sudo`'s is a variable that anybody may set, so it is believed
/// of root alone, who could act as anybody.
fn named(login: Option<u32>, sudo: Option<u32>, user: u32) -> String {
    let login = login.filter(|&person| person != NOBODY);
    let person = login.or(sudo.filter(|_| user == 0)).unwrap_or(user);
    if person == user {
        return format!("uid {user}");
    }
    let how = if login.is_some() { "login" } else { "sudo" };
    format!("uid {person} ({how}) as uid {user}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_person_is_named_whatever_account_the_command_runs_as() {
        let person = "uid 1000 (login) as uid 0";
        assert_eq!(named(Some(1_000), None, 0), person);
        assert_eq!(
            named(Some(1_000), Some(1_001), 0),
            person,
            "the kernel's word"
        );
        assert_eq!(
            named(Some(NOBODY), Some(1_001), 0),
            "uid 1001 (sudo) as uid 0"
        );
        assert_eq!(
            named(None, Some(1_001), 1_002),
            "uid 1002",
            "anybody may say so"
        );
        assert_eq!(named(Some(1_000), None, 1_000), "uid 1000");
        assert_eq!(named(None, None, 0), "uid 0");
    }
}

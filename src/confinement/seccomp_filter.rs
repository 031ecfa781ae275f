//! seccomp: the filter made of the list in `syscalls`.
//!
//! What is not on the list answers `EPERM` and is not done. The process is not killed for it: a
//! library that tries something new falls back or fails in its own words, and a service that dies of
//! an update of the C library would be a denial of service that we do to ourselves.

use std::collections::BTreeMap;

use seccompiler::{
    BackendError, BpfProgram, SeccompAction, SeccompCmpArgLen, SeccompCmpOp, SeccompCondition,
    SeccompFilter, SeccompRule, TargetArch, apply_filter,
};

use super::Reach;
use super::syscalls::{ALLOWED, Argument, Check, MODULES, NOT_THERE, SOCKETS_AND_UNIX, Syscall};
use crate::memory::status_field;

/// Installs the filter for this thread, and those it will start.
pub(super) fn restrict(reach: &Reach) -> Result<(), String> {
    let said = |error: &dyn std::fmt::Display| format!("seccomp: {error}");
    let filters = [not_there(), allow_list(reach)];
    for filter in filters {
        let program = filter.map_err(|error| said(&error))?;
        apply_filter(&program).map_err(|error| said(&error))?;
    }
    // 2 is SECCOMP_MODE_FILTER.
    match status_field("Seccomp").as_deref() {
        Some("2") => Ok(()),
        Some(_) | None => Err("the kernel does not say that the filter is in force".to_owned()),
    }
}

fn allow_list(reach: &Reach) -> Result<BpfProgram, BackendError> {
    let mut rules = BTreeMap::new();
    for syscall in ALLOWED {
        rules.insert(syscall.number, checks(widened(syscall, reach))?);
    }
    compile(rules, errno(libc::EPERM), SeccompAction::Allow)
}

/// The list's check, or the wider one of what the configuration cannot do without.
fn widened(syscall: &Syscall, reach: &Reach) -> Check {
    match syscall.name {
        "socket" if reach.unix_sockets => Check::Combined(SOCKETS_AND_UNIX),
        "mmap" if reach.modules => MODULES,
        _ => syscall.check,
    }
}

/// What the C library asks for first and can do without: told that the kernel has no such thing,
/// it takes the older call, whose arguments can be looked at.
fn not_there() -> Result<BpfProgram, BackendError> {
    let rules = NOT_THERE.iter().map(|syscall| (syscall.number, Vec::new()));
    compile(rules.collect(), SeccompAction::Allow, errno(libc::ENOSYS))
}

fn compile(
    rules: BTreeMap<i64, Vec<SeccompRule>>,
    otherwise: SeccompAction,
    on_match: SeccompAction,
) -> Result<BpfProgram, BackendError> {
    let machine: TargetArch = std::env::consts::ARCH.try_into()?;
    SeccompFilter::new(rules, otherwise, on_match, machine)?.try_into()
}

fn errno(number: i32) -> SeccompAction {
    SeccompAction::Errno(number.unsigned_abs())
}

/// The alternatives under which a call is allowed; none means always.
fn checks(check: Check) -> Result<Vec<SeccompRule>, BackendError> {
    let masked = |place, mask: i32| {
        let mask = u64::from(mask.unsigned_abs());
        condition(place, SeccompCmpOp::MaskedEq(mask), 0)
    };
    match check {
        Check::Always => Ok(Vec::new()),
        Check::OneOf(place, values) => values
            .iter()
            .map(|value| SeccompRule::new(vec![condition(place, SeccompCmpOp::Eq, *value)?]))
            .collect(),
        Check::Has(place, flag) => {
            let wanted = u64::from(flag.unsigned_abs());
            let has = condition(place, SeccompCmpOp::MaskedEq(wanted), wanted)?;
            Ok(vec![SeccompRule::new(vec![has])?])
        }
        Check::HasNot(place, flag) => Ok(vec![SeccompRule::new(vec![masked(place, flag)?])?]),
        Check::NotBoth(place, one, other) => Ok(vec![
            SeccompRule::new(vec![masked(place, one)?])?,
            SeccompRule::new(vec![masked(place, other)?])?,
        ]),
        Check::Combined(lines) => lines.iter().map(|line| combined(line)).collect(),
        Check::Null(place) => {
            let null = SeccompCondition::new(place, SeccompCmpArgLen::Qword, SeccompCmpOp::Eq, 0)?;
            Ok(vec![SeccompRule::new(vec![null])?])
        }
        Check::Own(place) => {
            let own = u64::from(std::process::id());
            Ok(vec![SeccompRule::new(vec![condition(
                place,
                SeccompCmpOp::Eq,
                own,
            )?])?])
        }
    }
}

fn combined(line: &[Argument]) -> Result<SeccompRule, BackendError> {
    let conditions = line.iter().map(|argument| {
        let Argument { place, mask, value } = *argument;
        condition(place, SeccompCmpOp::MaskedEq(mask), value)
    });
    SeccompRule::new(conditions.collect::<Result<_, _>>()?)
}

fn condition(
    place: u8,
    operator: SeccompCmpOp,
    value: u64,
) -> Result<SeccompCondition, BackendError> {
    SeccompCondition::new(place, SeccompCmpArgLen::Dword, operator, value)
}

//! Landlock: which files can be opened, and which TCP ports reached.

use landlock::{
    ABI, Access, AccessFs, AccessNet, BitFlags, LandlockStatus, NetPort, RestrictionStatus,
    Ruleset, RulesetAttr, RulesetCreatedAttr, RulesetError, Scope, path_beneath_rules,
};

use super::{FILES, LISTENING, PORTS, Reach, SIGNALS, measure};
use crate::memory::Measure;

/// The newest rules this build knows; an older kernel keeps those it knows.
const KNOWN: ABI = ABI::V6;
/// Versions of the kernel's interface with which ports (Linux 6.7) and scopes (6.12) came.
const WITH_PORTS: ABI = ABI::V4;
const WITH_SCOPES: ABI = ABI::V6;

/// Restricts this thread, and those it will start.
pub(super) fn restrict(reach: &Reach) -> Vec<Measure> {
    let kernel = match apply(reach) {
        Ok(status) => in_kernel(&status),
        Err(refused) => Err(format!("Landlock: {refused}")),
    };
    let since = |needed: ABI, linux: &str| match &kernel {
        Ok(had) if *had >= needed => Ok(()),
        Ok(_) => Err(format!("the kernel is older than Linux {linux}")),
        Err(reason) => Err(reason.clone()),
    };
    let ports = if reach.connect_ports.is_some() {
        PORTS
    } else {
        LISTENING
    };
    vec![
        measure(FILES, since(ABI::V1, "5.13")),
        measure(ports, since(WITH_PORTS, "6.7")),
        measure(SIGNALS, since(WITH_SCOPES, "6.12")),
    ]
}

fn apply(reach: &Reach) -> Result<RestrictionStatus, RulesetError> {
    let read = AccessFs::ReadFile | AccessFs::ReadDir;
    let mut ruleset = Ruleset::default()
        .handle_access(AccessFs::from_all(KNOWN))?
        .handle_access(AccessNet::BindTcp)?
        .scope(Scope::from_all(KNOWN))?;
    if reach.connect_ports.is_some() {
        ruleset = ruleset.handle_access(AccessNet::ConnectTcp)?;
    }
    let ports = reach.connect_ports.iter().flatten();
    ruleset
        .create()?
        // What is not there is left out, and stays out.
        .add_rules(path_beneath_rules(&reach.read, read))?
        .add_rules(path_beneath_rules(&reach.write, read | written()))?
        .add_rules(
            ports.map(|port| Ok::<_, RulesetError>(NetPort::new(*port, AccessNet::ConnectTcp))),
        )?
        .restrict_self()
}

/// What a database does to its files. Nothing is executed, and no device, socket or link made.
fn written() -> BitFlags<AccessFs> {
    AccessFs::WriteFile
        | AccessFs::Truncate
        | AccessFs::MakeReg
        | AccessFs::RemoveFile
        | AccessFs::Refer
}

/// The version of the interface that is in force.
fn in_kernel(status: &RestrictionStatus) -> Result<ABI, String> {
    match status.landlock {
        LandlockStatus::Available { effective_abi, .. } => Ok(effective_abi),
        LandlockStatus::NotEnabled => Err("Landlock is not enabled in this kernel".to_owned()),
        LandlockStatus::NotImplemented => Err("this kernel has no Landlock".to_owned()),
    }
}

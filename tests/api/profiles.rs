//! What is around the process in a deployment has the same limits as the process itself: the units
//! of systemd and the container's profile, held equal to the list in src/confinement.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use cloakroom::confinement::ALLOWED;
use serde_json::Value;

/// What the process needs until it serves: to be started, and to give up the rest.
const UNTIL_IT_SERVES: [&str; 9] = [
    "arch_prctl",
    "execve",
    "landlock_add_rule",
    "landlock_create_ruleset",
    "landlock_restrict_self",
    "listen",
    "mlockall",
    "seccomp",
    "set_tid_address",
];
/// What systemd 252 says of the units, 10 being without any limit. What is left is what a service
/// on the Internet is: sockets, the host's network, addresses that only the operator knows.
const EXPOSURE_MAX: f64 = 1.1;

fn path(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join(name)
}

fn text(name: &str) -> String {
    fs::read_to_string(path(name)).unwrap()
}

/// What a machine of any kind keeps; the list in the sources is this machine's.
fn expected() -> BTreeSet<String> {
    let kept = ALLOWED.iter().map(|syscall| syscall.name);
    kept.chain(UNTIL_IT_SERVES).map(str::to_owned).collect()
}

#[test]
fn the_containers_profile_allows_what_the_process_keeps_and_no_more() {
    let profile: Value = serde_json::from_str(&text("deploy/seccomp.json")).unwrap();
    assert_eq!(profile["defaultAction"], "SCMP_ACT_ERRNO");
    let groups = profile["syscalls"].as_array().unwrap();
    let names = |group: &Value| -> BTreeSet<String> {
        let names = group["names"].as_array().unwrap().iter();
        names
            .map(|name| name.as_str().unwrap().to_owned())
            .collect()
    };
    let [kept, until, runtime, none] = &groups[..] else {
        panic!("{profile}");
    };
    let mut allowed = names(kept);
    allowed.extend(names(until));
    // The C library is told that there is no clone3, as the process itself is.
    assert_eq!((names(none).len(), &none["errnoRet"]), (1, &38.into()));
    allowed.extend(names(none));
    assert_eq!(allowed, expected());
    // Between the runtime's filter and the program: privileges are given up, the rest is refused.
    for name in names(runtime) {
        let of_privileges = name.starts_with("set") || name.starts_with("cap");
        assert!(of_privileges || name.ends_with("chdir"), "{name}");
    }
    let compose = text("docker-compose.yml");
    for limit in [
        "seccomp=./deploy/seccomp.json",
        "no-new-privileges:true",
        "read_only: true",
        "cap_drop: [ALL]",
    ] {
        assert!(compose.contains(limit), "{limit}");
    }
}

#[test]
fn the_units_of_systemd_have_the_same_limits_and_little_exposure() {
    for plane in ["capture", "internal"] {
        let name = format!("deploy/systemd/cloakroom-{plane}.service");
        let unit = text(&name);
        let filter = unit.split("SystemCallFilter=").nth(1).unwrap();
        let filter = filter.split("[Install]").next().unwrap();
        let words = filter.split_whitespace().filter(|word| *word != "\\");
        let allowed: BTreeSet<String> = words.map(str::to_owned).collect();
        assert_eq!(allowed, expected(), "{name}");
        for limit in [
            "NoNewPrivileges=yes",
            "LimitCORE=0",
            "LimitMEMLOCK=infinity",
            "MemoryDenyWriteExecute=yes",
            "ProtectSystem=strict",
            "CapabilityBoundingSet=\n",
            "IPAddressDeny=any\n",
            "IPAddressAllow=localhost\n",
        ] {
            assert!(unit.contains(limit), "{name}: {limit}");
        }
        let looked = Command::new("systemd-analyze")
            .args(["security", "--offline=true"])
            .arg(path(&name))
            .output()
            .expect("apt-get install systemd");
        let said = String::from_utf8_lossy(&looked.stdout).into_owned();
        let figure = said.split("exposure level for").nth(1).and_then(|rest| {
            let mut words = rest.split_whitespace();
            words.find_map(|word| word.parse::<f64>().ok())
        });
        let figure = figure.unwrap_or_else(|| panic!("{said}"));
        println!("{name}: exposure {figure}");
        assert!(figure <= EXPOSURE_MAX, "{name}: {figure}");
    }
}

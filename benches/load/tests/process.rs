//! What the kernel says of a process.

use super::load::process::{cpu_of, cpu_s, memory, memory_of, threads};

#[test]
fn the_time_of_a_process_is_read_behind_any_command() {
    let stat = "42 (a) b (c) S 1 42 42 0 -1 4194560 900 0 1 0 250 150 7 7 20 0 9 0 12345 1 2";
    assert_eq!(cpu_of(stat), Some(4.0));
    assert_eq!(cpu_of("42 (a) S 1"), None);
    assert_eq!(cpu_of(""), None);
}

#[test]
fn memory_is_in_mebibytes() {
    let status = "VmPeak:\t 9999999 kB\nVmHWM:\t   51200 kB\nVmRSS:\t   30720 kB\n";
    let memory = memory_of(status).unwrap();
    assert_eq!((memory.resident_mib, memory.peak_mib), (30.0, 50.0));
    assert_eq!(memory_of("VmRSS:\t 1 kB\n"), None);
}

#[test]
fn this_process_has_used_some_of_both() {
    let pid = std::process::id();
    let before = cpu_s(pid).unwrap();
    while cpu_s(pid).unwrap() <= before {}
    let memory = memory(pid).unwrap();
    assert!(memory.resident_mib > 0.5 && memory.peak_mib >= memory.resident_mib);
    assert!(cpu_s(u32::MAX).is_err());
    // Both are counted in whole ticks, so the threads' sum is behind.
    let all = || -> f64 { threads(pid).unwrap().values().map(|(_, cpu_s)| cpu_s).sum() };
    while all() == 0.0 {}
    assert!(all() <= cpu_s(pid).unwrap() + 0.1);
}

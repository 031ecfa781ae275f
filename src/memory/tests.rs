use super::*;

use std::fs::File;
use std::os::unix::fs::FileExt;

// As the binary declares it, so that these tests run on the same memory.
#[global_allocator]
static ALLOCATOR: WipingAllocator = WIPING_ALLOCATOR;

const SIZE: usize = 4_096;

/// This process's memory through the kernel's eyes.
struct Eyes {
    memory: File,
    // Had before anything is freed: a fresh buffer could be the freed block itself, overwritten.
    seen: Vec<u8>,
}

impl Eyes {
    fn open() -> Self {
        Self {
            memory: File::open("/proc/self/mem").unwrap(),
            seen: vec![0_u8; SIZE],
        }
    }

    /// Whether any piece of `secret` stands at `address`. An unmapped page holds nothing.
    fn find(&mut self, secret: &[u8], address: usize) -> bool {
        self.seen.fill(0);
        let offset = u64::try_from(address).unwrap();
        let length = self.memory.read_at(&mut self.seen, offset).unwrap_or(0);
        self.seen[..length]
            .windows(8)
            .any(|window| window == &secret[..8])
    }
}

/// Eight bytes that repeat and stand nowhere else.
fn secret() -> Vec<u8> {
    let mut unit = [0_u8; 8];
    crate::random::fill(&mut unit);
    unit.iter().copied().cycle().take(SIZE).collect()
}

#[test]
fn what_is_freed_is_wiped() {
    let mut eyes = Eyes::open();
    let expected = secret();
    let living = expected.clone();
    let address = living.as_ptr().addr();
    // The positive control: while it lives, this way of looking finds it.
    assert!(eyes.find(&expected, address));
    drop(living);
    assert!(!eyes.find(&expected, address));
}

#[test]
fn a_buffer_that_grows_leaves_nothing_behind() {
    let mut eyes = Eyes::open();
    let expected = secret();
    let mut growing = expected.clone();
    let address = growing.as_ptr().addr();
    growing.reserve_exact(64 * SIZE);
    assert_ne!(growing.as_ptr().addr(), address, "it moved");
    assert!(!eyes.find(&expected, address));
}

// It cannot be undone: the test runner gives each test a process of its own.
#[test]
fn hardening_holds_in_the_eyes_of_the_kernel() {
    let hardening = harden();
    let names: Vec<_> = hardening.measures().iter().map(|it| it.name).collect();
    assert_eq!(names, ["no core dumps", "memory locked", "not dumpable"]);
    for measure in hardening.measures() {
        println!("{measure}");
    }

    assert_eq!(hardening.measures[0].state, State::InForce);
    let limits = fs::read_to_string("/proc/self/limits").unwrap();
    let core = limits
        .lines()
        .find(|line| line.starts_with("Max core"))
        .unwrap();
    assert!(
        core.split_whitespace()
            .eq(["Max", "core", "file", "size", "0", "0", "bytes"])
    );
    let raised = Rlimit {
        current: Some(1),
        maximum: Some(0),
    };
    assert!(setrlimit(Resource::Core, raised).is_err());

    assert_eq!(hardening.measures[2].state, State::InForce);
    assert_eq!(dumpable_behavior().unwrap(), DumpableBehavior::NotDumpable);

    let locked_kib = status_kib("VmLck").unwrap();
    match &hardening.measures[1].state {
        State::InForce => {
            assert!(locked_kib > 0);
            // No limit may bite later: many times the usual 8 MiB can still be had.
            assert_eq!(vec![1_u8; 64 << 20].len(), 64 << 20);
        }
        State::Unavailable(reason) => {
            assert!(!reason.is_empty());
            assert!(!hardening.is_complete());
        }
    }
}

#[test]
fn the_kernel_tells_how_much_memory_is_resident() {
    assert!(resident_bytes().unwrap() > 1 << 20);
    assert_eq!(status_kib("NoSuchField"), None);
}

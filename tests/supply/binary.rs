//! What the linker and the C compilers have done for the binary, read by readelf.

use std::collections::BTreeSet;
use std::fmt::Write as _;
use std::process::Command;

use crate::assert_written;

fn readelf(arguments: &[&str]) -> String {
    let output = Command::new("readelf")
        .args(arguments)
        .arg(env!("CARGO_BIN_EXE_cloakroom"))
        .env("LC_ALL", "C")
        .output()
        .unwrap();
    assert!(output.status.success());
    String::from_utf8(output.stdout).unwrap()
}

/// The words of the one line that contains `what`.
fn line(of: &str, what: &str) -> Vec<String> {
    let lines: Vec<&str> = of.lines().filter(|line| line.contains(what)).collect();
    assert_eq!(lines.len(), 1, "{what}: {of}");
    lines[0].split_whitespace().map(str::to_owned).collect()
}

/// The functions of the C library that only exist to stop what goes wrong.
fn checked(symbols: &str) -> BTreeSet<String> {
    symbols
        .split_whitespace()
        .filter(|word| word.contains("__stack_chk_fail") || word.contains("_chk@"))
        .map(|word| word.split('@').next().unwrap_or(word).to_owned())
        .collect()
}

#[test]
fn the_binary_is_protected_as_its_document_says() {
    let (header, segments, dynamic) = (readelf(&["-hW"]), readelf(&["-lW"]), readelf(&["-dW"]));
    let symbols = checked(&readelf(&["--dyn-syms", "-W"]));
    let kind = line(&header, "Type:")[1].clone();
    let stack = line(&segments, "GNU_STACK");
    let relro = segments.contains("GNU_RELRO");
    let writable_code = segments
        .lines()
        .filter(|line| line.trim_start().starts_with("LOAD") && line.contains("RWE"))
        .count();
    let flags = line(&dynamic, "(FLAGS_1)").join(" ");
    let libraries: Vec<&str> = dynamic
        .lines()
        .filter(|line| line.contains("(NEEDED)"))
        .filter_map(|line| line.split(['[', ']']).nth(1))
        .collect();
    let has = |what: &str| if dynamic.contains(what) { "yes" } else { "no" };

    let mut is = String::from(
        "What readelf finds in the binary; held by test:the_binary_is_protected_as_its_document_says.\n\n",
    );
    let mut say = |what: &str, found: &str| writeln!(is, "{what}: {found}").unwrap();
    say(
        "position-independent (address space layout randomization)",
        &kind,
    );
    say("stack, not executable", &stack[stack.len() - 2]);
    say(
        "segments both writable and executable",
        &writable_code.to_string(),
    );
    say(
        "relocations read-only after start",
        if relro { "yes" } else { "no" },
    );
    say(
        "all symbols bound at start (full RELRO)",
        if flags.contains("NOW") { "yes" } else { "no" },
    );
    say("relocations in code", has("TEXTREL"));
    say("library search path in the binary", has("PATH)"));
    say(
        "C code checks its stack frames",
        if symbols.contains("__stack_chk_fail") {
            "yes"
        } else {
            "no"
        },
    );
    say(
        "C code's calls with a checked length",
        if symbols.iter().any(|name| name.ends_with("_chk")) {
            "yes"
        } else {
            "no"
        },
    );
    say("shared libraries", &libraries.join(" "));
    assert_written("pci-docs/supply/binary.txt", &is);
    // The document may be renewed by hand; these may not be renewed away.
    assert_eq!((kind.as_str(), writable_code, relro), ("DYN", 0, true));
    assert_eq!(stack[stack.len() - 2], "RW");
    assert!(flags.contains("NOW") && flags.contains("PIE"));
    assert!(symbols.contains("__stack_chk_fail"));
}

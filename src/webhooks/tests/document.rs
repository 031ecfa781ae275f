//! The receivers' page: what it says, held against what we send.

use std::process::{Command, Stdio};

use super::*;
use crate::webhooks::signature::{content, sign};
use crate::webhooks::{ATTEMPTS_MAX, TOLERANCE_S};

const PAGE: &str = include_str!("../../../docs/webhooks.md");

/// Runs the page's Python over one message; `Some(whether it is believed)`, or nothing where there
/// is no Python.
fn python(headers: &Headers<'_>, body: &[u8], now_s: i64) -> Option<bool> {
    let code = PAGE.split("```python\n").nth(1)?.split("```").next()?;
    let call = format!(
        "{code}\nimport sys\ntime.time = lambda: {now_s}\nheaders = {{'webhook-id': {:?}, \
         'webhook-timestamp': {:?}, 'webhook-signature': {:?}}}\n\
         sys.exit(0 if verify([{HMAC:?}], headers, {:?}.encode()) else 3)\n",
        headers.id,
        headers.timestamp,
        headers.signature,
        std::str::from_utf8(body).unwrap(),
    );
    let output = Command::new("python3")
        .args(["-c", &call])
        .stdin(Stdio::null())
        .output()
        .ok()?;
    match output.status.code() {
        Some(0) => Some(true),
        Some(3) => Some(false),
        other => panic!("{other:?}: {}", String::from_utf8_lossy(&output.stderr)),
    }
}

#[test]
fn the_pages_python_believes_what_we_send_and_nothing_else() {
    let signature = sign(&secrets(&[ED25519, HMAC]), &content(ID, "1614265330", BODY));
    let good = Headers {
        id: ID,
        timestamp: "1614265330",
        signature: &signature,
    };
    let Some(believed) = python(&good, BODY, 1_614_265_330) else {
        eprintln!("there is no python3 here, so the page's code was not run");
        return;
    };
    assert!(believed);
    assert_eq!(python(&good, BODY, 1_614_265_630), Some(true));
    assert_eq!(python(&good, BODY, 1_614_265_631), Some(false));
    assert_eq!(python(&good, BODY, 1_614_265_029), Some(false));
    assert_eq!(python(&good, b"{}", 1_614_265_330), Some(false));
    for signature in ["", "v1,", "v1", &signature.replace("v1,", "v2,")] {
        let bad = Headers { signature, ..good };
        assert_eq!(
            python(&bad, BODY, 1_614_265_330),
            Some(false),
            "{signature}"
        );
    }
    let other = Headers {
        id: "evt_2",
        ..good
    };
    assert_eq!(python(&other, BODY, 1_614_265_330), Some(false));
    let not_a_time = Headers {
        timestamp: "soon",
        ..good
    };
    assert_eq!(python(&not_a_time, BODY, 1_614_265_330), Some(false));
}

#[test]
fn the_page_states_the_schedule_and_the_tolerance_of_the_code() {
    let rows = PAGE.lines().filter(|line| {
        let first = line.trim_start_matches("| ").split(' ').next();
        line.starts_with("| ") && first.is_some_and(|cell| cell.parse::<u32>().is_ok())
    });
    assert_eq!(rows.count(), usize::try_from(ATTEMPTS_MAX).unwrap());
    assert!(PAGE.contains(&format!("> {TOLERANCE_S}")));
    for reason in Reason::ALL {
        let name = reason.name();
        assert!(PAGE.contains(&format!("`{name}`")), "{name}");
    }
}

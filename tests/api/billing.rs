//! The billing engineer's page: its file is run as it stands.

use crate::support::App;

#[test]
fn the_billing_engineers_file_does_what_its_page_says() {
    let app = App::start();
    let done = std::process::Command::new("python3")
        .arg(concat!(env!("CARGO_MANIFEST_DIR"), "/docs/billing.py"))
        .arg("--dir")
        .arg(app.dir.path())
        .args(["--internal", &app.at.internal, "--capture", &app.at.capture])
        .output()
        .unwrap();
    let (said, complained) = (
        String::from_utf8_lossy(&done.stdout),
        String::from_utf8_lossy(&done.stderr),
    );
    assert!(done.status.success(), "{said}\n{complained}");
    for line in [
        "token    test_tok_",
        "charge   test_chg_",
        "refund   test_ref_",
        "feed    ",
    ] {
        assert!(said.contains(line), "{line}: {said}");
    }
    assert!(said.contains("refused  422 invalid_request"), "{said}");
}

//! The billing engineer's page: its file is run as it stands.

use crate::engines::{Engine, on_both_engines};
use crate::support::App;

on_both_engines! { the_billing_engineers_file_does_what_its_page_says }

async fn the_billing_engineers_file_does_what_its_page_says(engine: Engine) {
    let app = App::on(engine);
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

//! `cloakroom pagewatch URL…`: has a payment page changed since somebody looked at it?

use std::fs;
use std::path::{Path, PathBuf};

use base64::Engine as _;
use base64::prelude::BASE64_STANDARD;
use clap::Args;
use url::Url;

use super::{Failure, exit, print};
use crate::clock::Clock;
use crate::pagewatch::{Baseline, Difference, Fetcher, Settings, load};
use crate::seal::signing::SigningKey;

/// Records pages in a signed baseline, or compares them with it (PCI DSS 6.4.3, 11.6.1). Ends with
/// 65 when something differs, and names each difference; run it from cron or a timer and alert on
/// that.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The pages and scripts: your checkout page, `https://cards.example/fields/v1/loader.js`, a
    /// hosted page. Queries are sent, and not compared.
    #[arg(value_name = "URL", required = true)]
    urls: Vec<Url>,
    /// The baseline.
    #[arg(long, value_name = "FILE")]
    baseline: PathBuf,
    /// Writes the baseline as the pages are now, signed with this Ed25519 key (PKCS#8, PEM). Keep
    /// the key where the pages' servers cannot reach it.
    #[arg(long, value_name = "KEY_FILE", conflicts_with = "public_key")]
    record: Option<PathBuf>,
    /// The public key that the baseline must be signed with, as `--record` prints it.
    #[arg(long, value_name = "BASE64", required_unless_present = "record")]
    public_key: Option<String>,
    /// The only certificate authorities trusted, PEM, instead of the machine's.
    #[arg(long, value_name = "FILE")]
    ca_file: Option<PathBuf>,
    /// One JSON document instead of lines.
    #[arg(long)]
    json: bool,
}

pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let settings = Settings {
        ca_file: arguments.ca_file.clone(),
    };
    let fetcher = Fetcher::new(&settings).map_err(|refused| Failure::new(exit::CONFIG, refused))?;
    match (&arguments.record, &arguments.public_key) {
        (Some(key), _) => record(&arguments, &fetcher, key).await,
        (None, Some(public_key)) => compare(&arguments, &fetcher, public_key).await,
        (None, None) => Err(Failure::new(
            exit::USAGE,
            "neither --record nor --public-key",
        )),
    }
}

async fn record(arguments: &Arguments, fetcher: &Fetcher, key: &Path) -> Result<(), Failure> {
    let key = SigningKey::read(key).map_err(|refused| Failure::new(exit::CONFIG, refused))?;
    let mut baseline = Baseline::new(Clock::system().now().rfc3339());
    for url in &arguments.urls {
        let loaded = load(fetcher, url).await;
        let loaded = loaded.map_err(|failure| Failure::new(exit::UNAVAILABLE, failure))?;
        // What was not seen cannot be signed.
        if let Some(failure) = loaded.unreachable.first() {
            return Err(Failure::new(exit::UNAVAILABLE, failure));
        }
        baseline.record(url, loaded.page);
    }
    fs::write(&arguments.baseline, baseline.sign(&key)).map_err(|error| {
        let path = arguments.baseline.display();
        Failure::new(exit::CANT_CREATE, format_args!("{path}: {error}"))
    })?;
    let public_key = BASE64_STANDARD.encode(key.public_key_bytes());
    let pages = arguments.urls.len();
    if arguments.json {
        print(serde_json::json!({ "recorded": pages, "public_key": public_key }))
    } else {
        print(format_args!(
            "recorded {pages} pages in {}; compare with --public-key {public_key}",
            arguments.baseline.display()
        ))
    }
}

async fn compare(
    arguments: &Arguments,
    fetcher: &Fetcher,
    public_key: &str,
) -> Result<(), Failure> {
    let config = |error: &dyn ToString| Failure::new(exit::CONFIG, error.to_string());
    let public_key = BASE64_STANDARD
        .decode(public_key)
        .map_err(|_| config(&"the public key is not base64"))?;
    let text = fs::read_to_string(&arguments.baseline).map_err(|error| config(&error))?;
    let baseline = Baseline::read(&text, &public_key).map_err(|refused| config(&refused))?;
    let mut differences: Vec<Difference> = Vec::new();
    let mut unreachable = Vec::new();
    for url in &arguments.urls {
        match load(fetcher, url).await {
            Ok(loaded) => {
                differences.extend(baseline.compare(url, &loaded.page));
                unreachable.extend(loaded.unreachable.iter().map(ToString::to_string));
            }
            Err(failure) => unreachable.push(failure.to_string()),
        }
    }
    if arguments.json {
        print(serde_json::json!({
            "recorded_at": baseline.recorded_at,
            "differences": differences,
            "unreachable": unreachable,
        }))?;
    } else {
        for difference in &differences {
            print(difference)?;
        }
        for failure in &unreachable {
            print(format_args!("unreachable: {failure}"))?;
        }
    }
    match (differences.len(), unreachable.len()) {
        (0, 0) => Ok(()),
        (0, count) => Err(Failure::new(
            exit::UNAVAILABLE,
            format_args!("{count} pages or scripts could not be looked at"),
        )),
        (count, _) => Err(Failure::new(
            exit::DATA,
            format_args!(
                "{count} differences to the baseline of {}",
                baseline.recorded_at
            ),
        )),
    }
}

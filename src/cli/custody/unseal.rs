//! `cloakroom keys unseal`: a custodian opens their share on their own machine and gives it to a
//! sealed process, under a certificate of their own.

use std::path::PathBuf;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, URL_SAFE_NO_PAD};
use clap::Args;
use serde_json::Value;
use url::Url;
use zeroize::Zeroizing;

use super::super::{Failure, exit, print};
use super::custodian_key;
use crate::http::tls;
use crate::net::{once, trust};
use crate::seal::custody::{Share, ShareFile};

#[derive(Debug, Args)]
pub(in crate::cli) struct Arguments {
    /// The internal plane of the process to unseal: each node has its own.
    #[arg(long, value_name = "URL")]
    url: Url,
    /// The authorities that vouch for that plane, PEM.
    #[arg(long, value_name = "FILE")]
    ca: PathBuf,
    /// The custodian's client certificate, PEM.
    #[arg(long, value_name = "FILE")]
    cert: PathBuf,
    /// The private key of that certificate, PEM.
    #[arg(long, value_name = "FILE")]
    key: PathBuf,
    /// The custodian's share file.
    #[arg(long, value_name = "FILE")]
    share: PathBuf,
    /// The custodian's private file.
    #[arg(long, value_name = "FILE")]
    custodian_key: PathBuf,
    /// A file with the passphrase, readable by its owner only; without it the passphrase is typed.
    #[arg(long, value_name = "FILE")]
    passphrase_file: Option<PathBuf>,
    /// The service's answer as it came, instead of a sentence.
    #[arg(long)]
    json: bool,
}

pub(in crate::cli) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = |error: &dyn std::fmt::Display| Failure::new(exit::CONFIG, error);
    let url = arguments
        .url
        .join("/v1/keys/unseal")
        .map_err(|error| Failure::new(exit::USAGE, error))?;
    let chain = tls::certificates(&arguments.cert).map_err(|error| config(&error))?;
    let key = tls::private_key(&arguments.key).map_err(|error| config(&error))?;
    let tls = trust::client_tls_as(&arguments.ca, chain, key).map_err(|error| config(&error))?;
    let (file, _) = ShareFile::read(&arguments.share)?;
    let custodian = custodian_key(
        &arguments.custodian_key,
        arguments.passphrase_file.as_deref(),
    )?;
    let share = file
        .open(&custodian)
        .map_err(|why| Failure::new(exit::DATA, format_args!("the share: {why}")))?;
    drop(custodian);

    let mut random = [0_u8; 16];
    crate::random::fill(&mut random);
    let idempotency_key = URL_SAFE_NO_PAD.encode(random);
    let body = body(&file, share);
    let (status, answer) = once::post_json(&url, tls, &idempotency_key, body)
        .await
        .map_err(|why| Failure::new(exit::UNAVAILABLE, why))?;
    let answer: Value = serde_json::from_slice(&answer)
        .map_err(|_| Failure::new(exit::UNAVAILABLE, "the answer is not the service's"))?;
    if status != 200 {
        let member = |name: &str| answer.get(name).and_then(Value::as_str);
        let why = member("detail").or_else(|| member("title"));
        return Err(Failure::new(
            exit::DATA,
            format_args!("refused ({status}): {}", why.unwrap_or("no reason given")),
        ));
    }
    if arguments.json {
        return print(answer);
    }
    print(sentence(&answer))
}

/// The share as the service takes it; what it is made of is wiped here.
fn body(file: &ShareFile, share: Share) -> Zeroizing<Vec<u8>> {
    let encoded = Zeroizing::new(STANDARD.encode(share.expose()));
    drop(share);
    // The names are checked, so they hold nothing that JSON would escape.
    Zeroizing::new(
        format!(
            r#"{{"kek":"{}","ceremony":"{}","share":"{}"}}"#,
            file.kek(),
            file.ceremony(),
            *encoded
        )
        .into_bytes(),
    )
}

fn sentence(answer: &Value) -> String {
    let member = |name: &str| answer.get(name).unwrap_or(&Value::Null);
    if *member("sealed") == false {
        return if *member("share_taken") == true {
            "unsealed".to_owned()
        } else {
            "it is unsealed already; the share was not needed".to_owned()
        };
    }
    format!(
        "taken: {} of {} shares; they are forgotten at {}",
        member("shares_given"),
        member("threshold"),
        member("shares_forgotten_at").as_str().unwrap_or("-")
    )
}

//! `cloakroom keys status`: which keys there are, and what stands under each.

use serde_json::{Value, json};

use super::super::{Failure, print};
use super::watch::shown;
use super::{Base, Keys, Of, unavailable};
use crate::clock::Timestamp;
use crate::seal::manifest::{Entry, KekState, Manifest};

/// Prints which keys there are and what stands under each.
pub(in crate::cli) async fn status(of: Of) -> Result<(), Failure> {
    let keys = Keys::open(&of).await?;
    let told = told(&keys).await?;
    keys.store.close().await.map_err(unavailable)?;
    if of.json {
        return print(told);
    }
    for key in listed(&told, "keks") {
        print(format_args!(
            "{}  {:<12} {:>6} data keys {:>8} tokens  {}",
            text(key, "kek").unwrap_or_default(),
            text(key, "state").unwrap_or("no manifest"),
            number(key, "data_keys"),
            number(key, "tokens"),
            text(key, "in_service_until")
                .map_or_else(String::new, |end| format!("to be replaced before {end}")),
        ))?;
    }
    for job in listed(&told, "jobs") {
        print(format_args!(
            "{}: {} of {} rows, {}",
            text(job, "id").unwrap_or_default(),
            number(job, "done"),
            number(job, "total"),
            match (text(job, "failure"), text(job, "finished_at")) {
                (Some(failure), _) => format!("failed: {failure}"),
                (None, Some(end)) => format!("done {end}"),
                (None, None) => "running".to_owned(),
            },
        ))?;
    }
    Ok(())
}

fn listed<'a>(told: &'a Value, name: &str) -> impl Iterator<Item = &'a Value> {
    told.get(name)
        .and_then(Value::as_array)
        .into_iter()
        .flatten()
}

fn text<'a>(of: &'a Value, name: &str) -> Option<&'a str> {
    of.get(name).and_then(Value::as_str)
}

fn number(of: &Value, name: &str) -> i64 {
    of.get(name).and_then(Value::as_i64).unwrap_or_default()
}

async fn told(keys: &Keys) -> Result<Value, Failure> {
    let standing = keys.store.under_keks().await.map_err(unavailable)?;
    let jobs = keys.store.key_jobs().await.map_err(unavailable)?;
    let base = match keys.store.manifest().await.map_err(unavailable)? {
        Some(_) => Some(keys.manifest(&keys.signing_key()?).await?),
        None => None,
    };
    let manifest = base.as_ref().map(Base::manifest);
    let counted = |kek: &str| {
        let found = standing.iter().find(|under| under.kek.as_str() == kek);
        found.map_or((0, 0), |under| (under.data_keys, under.tokens))
    };
    let days = u64::from(keys.config.keys.kek_age_days_max);
    let described = |described: &Entry| {
        let (data_keys, tokens) = counted(&described.kek);
        let until = described
            .activated_at_ms
            .filter(|_| described.state == KekState::Active)
            .map(|since| Timestamp::from_unix_ms(since).plus_ms(days.saturating_mul(86_400_000)));
        json!({
            "kek": described.kek,
            "state": described.state.name(),
            "created_at": Timestamp::from_unix_ms(described.created_at_ms).rfc3339(),
            "in_service_until": until.map(Timestamp::rfc3339),
            "data_keys": data_keys,
            "tokens": tokens,
        })
    };
    let shown_keys: Vec<Value> = match manifest {
        Some(manifest) => manifest.keks().iter().map(described).collect(),
        None => standing
            .iter()
            .map(|under| {
                json!({
                    "kek": under.kek.as_str(),
                    "state": null,
                    "data_keys": under.data_keys,
                    "tokens": under.tokens,
                })
            })
            .collect(),
    };
    Ok(json!({
        "manifest_version": manifest.map(Manifest::version),
        "keks": shown_keys,
        "jobs": jobs.iter().map(shown).collect::<Vec<_>>(),
    }))
}

//! `cloakroom reconcile`: the store against the processor, both ways.

use std::path::PathBuf;

use clap::Args;
use indicatif::{ProgressBar, ProgressStyle};
use serde_json::{Value, json};

use super::audit::export::moment;
use super::{Failure, exit, operator, print};
use crate::clock::{Clock, Timestamp};
use crate::config::Config;
use crate::reconciliation::{self, Asked, Report, Stopped, Tally};
use crate::service;
use crate::telemetry::Metrics;
use crate::token::Account;

/// Exits 0 when both sides agree, 65 when they differ, 69 when one of them could not be read.
#[derive(Debug, Args)]
pub(super) struct Arguments {
    /// The internal plane's configuration.
    #[arg(long, value_name = "FILE")]
    config: PathBuf,
    /// Compare what was made at that moment and later, RFC 3339; without it as far back as
    /// `reconciliation.look_back_s`.
    #[arg(long, value_name = "TIME", value_parser = moment)]
    since: Option<Timestamp>,
    /// Only this account; without it all accounts of the configuration.
    #[arg(long, value_name = "NAME", value_parser = account)]
    account: Option<Account>,
    /// Apply what the processor says, where that is allowed.
    #[arg(long)]
    repair: bool,
    /// For machines: every report, and the same under its signature.
    #[arg(long)]
    json: bool,
}

fn account(name: &str) -> Result<Account, String> {
    Account::try_from(name.to_owned()).map_err(|refused| refused.to_string())
}

/// What the comparison of one account came to.
type Compared = (Account, Result<(Report, String), Stopped>);

/// Runs the verb.
pub(super) async fn run(arguments: Arguments) -> Result<(), Failure> {
    let config = Config::read(&arguments.config)?;
    let accounts = accounts(&config, arguments.account.clone())?;
    let clock = Clock::system();
    let metrics = Metrics::new(&clock);
    let internal = service::internal_alone(&config, clock, metrics).await?;
    let schedule = config.reconciliation.schedule();
    let asked = Asked {
        since: arguments.since,
        repair: arguments.repair,
        operator: operator(),
    };
    let bar = bar(arguments.json);
    let mut compared: Vec<Compared> = Vec::new();
    for account in accounts {
        bar.set_message(account.to_string());
        let mut progress = |tally: &Tally| show(&bar, tally);
        let order = (schedule, &asked);
        let result = reconciliation::compare(&internal, &account, order, &mut progress).await;
        compared.push((account, result));
    }
    bar.finish_and_clear();
    let closed = internal.common.store.close().await;
    closed.map_err(|failure| Failure::new(exit::UNAVAILABLE, failure))?;
    if arguments.json {
        print(told(&compared))?;
    } else {
        for (_, result) in &compared {
            if let Ok((report, _)) = result {
                print(report.text())?;
            }
        }
    }
    verdict(&compared)
}

fn accounts(config: &Config, only: Option<Account>) -> Result<Vec<Account>, Failure> {
    match only {
        None => Ok(config.accounts.keys().cloned().collect()),
        Some(account) if config.accounts.contains_key(&account) => Ok(vec![account]),
        Some(account) => {
            let why = format!("the configuration has no account {account}");
            Err(Failure::new(exit::CONFIG, why))
        }
    }
}

/// What could not be compared weighs more than what differs: nobody knows how it stands.
fn verdict(compared: &[Compared]) -> Result<(), Failure> {
    let stopped = compared.iter().find_map(|(account, result)| {
        let stopped = result.as_ref().err()?;
        let why = format!("account {account} could not be compared: {stopped}");
        Some(Failure::new(exit::UNAVAILABLE, why))
    });
    if let Some(failure) = stopped {
        return Err(failure);
    }
    let reports = compared
        .iter()
        .filter_map(|(_, result)| result.as_ref().ok());
    if reports.clone().all(|(report, _)| report.agrees()) {
        return Ok(());
    }
    let why =
        "the store and the processor differ; pci-docs/runbooks.md says what each difference means";
    Err(Failure::new(exit::DATA, why))
}

fn told(compared: &[Compared]) -> Value {
    let one = |(account, result): &Compared| match result {
        Ok((report, signed)) => json!({
            "account": account.as_str(),
            "report": report.json(),
            "signed": signed,
        }),
        Err(stopped) => json!({
            "account": account.as_str(),
            "stopped": stopped.to_string(),
        }),
    };
    let agrees = |(_, result): &Compared| {
        let report = result.as_ref().ok();
        report.is_some_and(|(report, _)| report.agrees())
    };
    json!({
        "agrees": compared.iter().all(agrees),
        "accounts": compared.iter().map(one).collect::<Vec<_>>(),
    })
}

fn bar(quiet: bool) -> ProgressBar {
    if quiet {
        return ProgressBar::hidden();
    }
    let bar = ProgressBar::no_length();
    let style = ProgressStyle::with_template("{msg} {spinner} {pos} objects {per_sec}");
    bar.set_style(style.unwrap_or_else(|_| ProgressStyle::default_spinner()));
    bar
}

fn show(bar: &ProgressBar, tally: &Tally) {
    let listed = [tally.payments, tally.refunds, tally.disputes];
    let ours = [tally.charges, tally.refund_rows, tally.dispute_rows];
    let both = listed.into_iter().chain(ours);
    bar.set_position(both.fold(0, u64::saturating_add));
}

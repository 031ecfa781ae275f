//! Reports from anybody: taken within bounds, and never changed.

use std::net::{IpAddr, Ipv4Addr, Ipv6Addr};

use super::connection::Connection;
use super::events::record;
use super::parse::{Reading, one_row, quiet_debug};
use super::row::row;
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::token::ReportId;

/// Milliseconds in which reports are counted.
const WINDOW_MS: i64 = 3_600_000;

/// A report, as it came.
#[derive(Clone, PartialEq, Eq)]
pub struct ReportRow {
    /// The reporter's ticket.
    pub id: ReportId,
    /// `abuse`, `incident`, `vulnerability` or `other`.
    pub about: String,
    /// What is reported.
    pub message: String,
    /// Where to answer, if the reporter says.
    pub contact: Option<String>,
    /// The address it came from.
    pub origin: String,
    /// When it came.
    pub created_at: Timestamp,
}

quiet_debug! {
    ReportRow { id, about, created_at }
}

/// How many reports are taken within an hour.
#[derive(Clone, Copy, Debug)]
pub struct ReportBudget {
    /// From one address, or one /64 of IPv6.
    pub of_an_address_max: u32,
    /// That the operator is told of at once; the others are kept.
    pub of_all_max: u32,
}

impl ReportBudget {
    /// Reports that are kept within an hour, for each that the operator is told of.
    const KEPT_FACTOR: usize = 10;

    /// What becomes of a report from there, where those came within the hour. Nobody shuts the door
    /// on others: past the budget reports are kept, and of the last places each network that has
    /// not reported yet has one.
    fn decide(self, origin: &str, others: &[String]) -> ReportTaken {
        let count = |max: u32| usize::try_from(max).unwrap_or(usize::MAX);
        let (address, network) = (household(origin), neighbourhood(origin));
        let of_address = others.iter().filter(|other| household(other) == address);
        if of_address.count() >= count(self.of_an_address_max) {
            return ReportTaken::Refused;
        }
        if others.len() < count(self.of_all_max) {
            return ReportTaken::Told;
        }
        let kept_max = count(self.of_all_max).saturating_mul(Self::KEPT_FACTOR);
        let is_first = !others.iter().any(|other| neighbourhood(other) == network);
        let places = if is_first { kept_max } else { kept_max / 2 };
        if others.len() < places {
            ReportTaken::Kept
        } else {
            ReportTaken::Refused
        }
    }
}

/// What became of a report.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum ReportTaken {
    /// It is there, and the operator is told at once.
    Told,
    /// It is there; so many came that the operator is told no more of each.
    Kept,
    /// It is not there.
    Refused,
}

/// The address, or the /64 that one household has.
fn household(origin: &str) -> String {
    masked(origin, 32, 64)
}

/// The /24 or /48 around it.
fn neighbourhood(origin: &str) -> String {
    masked(origin, 24, 48)
}

fn masked(origin: &str, of_v4: u32, of_v6: u32) -> String {
    match origin.parse::<IpAddr>().map(|ip| ip.to_canonical()) {
        Ok(IpAddr::V4(ip)) => {
            let mask = u32::MAX.checked_shl(32_u32.saturating_sub(of_v4));
            Ipv4Addr::from_bits(ip.to_bits() & mask.unwrap_or_default()).to_string()
        }
        Ok(IpAddr::V6(ip)) => {
            let mask = u128::MAX.checked_shl(128_u32.saturating_sub(of_v6));
            Ipv6Addr::from_bits(ip.to_bits() & mask.unwrap_or_default()).to_string()
        }
        Err(_) => origin.to_owned(),
    }
}

impl Store {
    /// Takes a report, unless as many have come within the hour as are kept; says what became of it.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn take_report(
        &self,
        report: ReportRow,
        budget: ReportBudget,
        event: Event,
    ) -> Result<ReportTaken, Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let since = report.created_at.unix_ms().saturating_sub(WINDOW_MS);
                let others = origins(tx, since).await?;
                let taken = budget.decide(&report.origin, &others);
                if taken != ReportTaken::Refused {
                    insert(tx, &report).await?;
                    record(tx, event);
                }
                Ok(taken)
            })
        })
        .await
    }

    /// The newest reports, at most `limit`, and older than `before` where that is said.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn reports(
        &self,
        before: Option<ReportId>,
        limit: u32,
    ) -> Result<Vec<ReportRow>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move {
                let rows: Vec<Row> = query(
                    "SELECT id, about, message, contact, origin, created_at_ms
                       FROM reports
                      WHERE $1 IS NULL OR id < $1
                      ORDER BY id DESC
                      LIMIT $2",
                )
                .bind(before.map(|id| id.to_string()))
                .bind(limit)
                .all(connection)
                .await?;
                rows.into_iter().map(|row| row.read(environment)).collect()
            })
        })
        .await
    }
}

/// Where the reports came from that have come since.
async fn origins(tx: &mut Connection, since: i64) -> Result<Vec<String>, Failure> {
    let rows: Vec<(String,)> = query(
        "SELECT origin
           FROM reports
          WHERE created_at_ms > $1",
    )
    .bind(since)
    .all(tx)
    .await?;
    Ok(rows.into_iter().map(|(origin,)| origin).collect())
}

async fn insert(tx: &mut Connection, report: &ReportRow) -> Result<(), Failure> {
    let written = query(
        "INSERT INTO reports (id, about, message, contact, origin, created_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6)",
    )
    .bind(report.id.to_string())
    .bind(&report.about)
    .bind(&report.message)
    .bind(report.contact.as_deref())
    .bind(&report.origin)
    .bind(report.created_at.unix_ms())
    .execute(tx)
    .await?;
    one_row(written, "reports", &report.id)
}

row! {
    struct Row {
        id: String,
        about: String,
        message: String,
        contact: Option<String>,
        origin: String,
        created_at_ms: i64,
    }
}

impl Row {
    fn read(self, environment: crate::token::Environment) -> Result<ReportRow, Failure> {
        let reading = Reading::new("reports", &self.id, environment);
        Ok(ReportRow {
            id: reading.id("id", &self.id)?,
            about: self.about,
            message: self.message,
            contact: self.contact,
            origin: self.origin,
            created_at: Timestamp::from_unix_ms(self.created_at_ms),
        })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const BUDGET: ReportBudget = ReportBudget {
        of_an_address_max: 5,
        of_all_max: 100,
    };

    fn from(prefix: &str, count: usize) -> Vec<String> {
        (0..count).map(|n| format!("{prefix}{n:x}")).collect()
    }

    #[test]
    fn a_household_has_one_budget_and_all_addresses_of_its_network_are_it() {
        let others = from("2001:db8:1:2::", 5);
        let decide = |origin| BUDGET.decide(origin, &others);
        assert_eq!(decide("2001:db8:1:2:ffff::1"), ReportTaken::Refused);
        assert_eq!(decide("2001:db8:1:3::1"), ReportTaken::Told);
        assert_eq!(decide("192.0.2.1"), ReportTaken::Told);
        let others = vec!["::ffff:192.0.2.1".to_owned(); 5];
        assert_eq!(BUDGET.decide("192.0.2.1", &others), ReportTaken::Refused);
    }

    #[test]
    fn past_the_budget_of_all_reports_are_kept_and_the_last_places_are_first_timers() {
        let many = |networks: u32, each: usize| -> Vec<String> {
            let network = |n: u32| Ipv4Addr::from_bits(0xc612_0000 | n << 8).to_string();
            (0..networks).flat_map(|n| vec![network(n); each]).collect()
        };
        // A hundred from 38 networks, as the issue has it: an honest reporter is still heard.
        let crowd = many(38, 3);
        assert_eq!(BUDGET.decide("192.0.2.1", &crowd), ReportTaken::Kept);
        assert_eq!(BUDGET.decide("198.18.3.7", &crowd), ReportTaken::Kept);
        let half = many(125, 4);
        assert_eq!(BUDGET.decide("198.18.3.7", &half), ReportTaken::Refused);
        assert_eq!(BUDGET.decide("192.0.2.1", &half), ReportTaken::Kept);
        let full = many(250, 4);
        assert_eq!(BUDGET.decide("192.0.2.1", &full), ReportTaken::Refused);
    }
}

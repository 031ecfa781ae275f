//! Pages on which a shopper confirms a charge at the issuer, as often as it takes.
//!
//! A page is made with its charge. The capture plane, which reads no charge, writes there what the
//! shopper asks for, with a proof that the link's secret was presented; the internal plane takes it
//! up, and answers in the review that it asks for.

mod row;

use super::connection::Connection;
use super::orders::{Forged, Orders, quarantine};
use super::parse::{one_row, quiet_debug};
use super::reviews;
use super::sql::query;
use super::{Failure, Store};
use crate::clock::Timestamp;
use crate::seal::order::{Kind, Order};
use crate::token::{Account, ChargeId};

pub use row::{Asked, PageRow};
use row::{find, find_to_change};

/// Questions that one page may ask; the schema says the same.
pub const PAGE_QUESTIONS_MAX: i64 = 200;

/// A page that is made with its charge, whose amount it shows.
#[derive(Clone, PartialEq, Eq)]
pub struct NewPage {
    /// Who asks, as shown.
    pub shop_name: Option<String>,
    /// Until when it is shown.
    pub expires_at: Timestamp,
    /// The keyed hash of the link's secret.
    pub secret_mac: [u8; 32],
    /// The keyed hash of what is shown, under that secret.
    pub shown_mac: [u8; 32],
}

quiet_debug! {
    NewPage { expires_at }
}

/// What is answered to a page.
#[derive(Clone, PartialEq, Eq)]
pub struct PageAnswer {
    /// The question.
    pub asked: i64,
    /// How the charge stands.
    pub status: &'static str,
    /// Where the shopper authenticates.
    pub redirect_url: Option<String>,
    /// The keyed hash of it, under the link's secret.
    pub mac: [u8; 32],
}

quiet_debug! {
    PageAnswer { asked, status }
}

/// The order that a page's question is.
fn order(
    orders: &Orders,
    (account, charge): (&Account, ChargeId),
    (asked, asked_for, at): (i64, Asked, Timestamp),
) -> Order {
    orders
        .order(Kind::Challenge)
        .text(&charge.to_string())
        .text(account.as_str())
        .number(asked)
        .text(asked_for.name())
        .number(at.unix_ms())
}

/// Writes a page down in the transaction of its charge.
pub(super) async fn insert(
    tx: &mut Connection,
    (account, charge): (&Account, ChargeId),
    (amount, currency): (i64, &str),
    return_url: Option<&str>,
    (page, now): (&NewPage, Timestamp),
) -> Result<(), Failure> {
    let written = query(
        "INSERT INTO charge_pages (charge_id, account, amount, currency, shop_name, return_url, expires_at_ms, secret_mac, shown_mac, asked, forwarded, answered, created_at_ms)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, 0, 0, 0, $10)",
    )
    .bind(charge.to_string())
    .bind(account.as_str())
    .bind(amount)
    .bind(currency)
    .bind(page.shop_name.as_deref())
    .bind(return_url)
    .bind(page.expires_at.unix_ms())
    .bind(page.secret_mac.as_slice())
    .bind(page.shown_mac.as_slice())
    .bind(now.unix_ms())
    .execute(tx)
    .await?;
    one_row(written, "charge_pages", &charge)
}

impl Store {
    /// A charge's page.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn charge_page(&self, charge: ChargeId) -> Result<Option<PageRow>, Failure> {
        let environment = self.environment;
        self.read(move |connection| {
            Box::pin(async move { find(connection, environment, charge).await })
        })
        .await
    }

    /// Writes down what a page asks for. One that has asked
    /// the same within `wait_ms` and has no answer yet, or that may ask no more, stays as it is.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn ask_for_page(
        &self,
        charge: ChargeId,
        asked_for: Asked,
        (wait_ms, now): (u64, Timestamp),
    ) -> Result<Option<PageRow>, Failure> {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let Some(mut page) = find_to_change(tx, environment, charge).await? else {
                    return Ok(None);
                };
                let waits = page.asked > page.answered
                    && page.asked_for == Some(asked_for)
                    && page.asked_at.is_some_and(|at| at.plus_ms(wait_ms) > now);
                if waits || page.asked >= PAGE_QUESTIONS_MAX {
                    return Ok(Some(page));
                }
                page.asked = page.asked.saturating_add(1);
                let whose = (&page.account, charge);
                let order = order(tx.orders(), whose, (page.asked, asked_for, now));
                let proof = tx.orders().sign(&order)?;
                let written = query(
                    "UPDATE charge_pages
                        SET asked = $2, asked_for = $3, asked_at_ms = $4, ask_proof = $5
                      WHERE charge_id = $1",
                )
                .bind(charge.to_string())
                .bind(page.asked)
                .bind(asked_for.name())
                .bind(now.unix_ms())
                .bind(proof)
                .execute(tx)
                .await?;
                one_row(written, "charge_pages", &charge)?;
                Ok(Some(page))
            })
        })
        .await
    }

    /// Takes up what an account's pages ask: each gets a review, in which it is answered. A question
    /// that nobody with the link's secret has asked is quarantined.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn take_up_page_questions(
        &self,
        account: &Account,
        now: Timestamp,
    ) -> Result<(), Failure> {
        let (environment, account) = (self.environment, account.clone());
        let waiting = asking(self, account.clone()).await?;
        if waiting.is_empty() {
            return Ok(());
        }
        self.write(move |tx| {
            Box::pin(async move {
                for id in waiting {
                    let taken_up = query(
                        "UPDATE charge_pages
                            SET forwarded = asked
                          WHERE charge_id = $1 AND asked > forwarded",
                    )
                    .bind(&id)
                    .execute(tx)
                    .await?;
                    let charge = ChargeId::parse(&id, environment).ok();
                    // Another node was faster, or the row is not one of ours.
                    let Some(charge) = charge.filter(|_| taken_up == 1) else {
                        continue;
                    };
                    let page = find(tx, environment, charge).await?;
                    if let Some(page) = page
                        && is_asked(tx, &page).await?
                    {
                        reviews::request(tx, (&account, charge), None, now).await?;
                    }
                }
                Ok(())
            })
        })
        .await
    }

    /// What a charge's page has asked and has no answer to; nothing also where nobody who presented
    /// the link's secret has asked it, which is quarantined.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn page_question(
        &self,
        (account, charge): (&Account, ChargeId),
    ) -> Result<Option<(i64, Asked, Timestamp)>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                let page = find(tx, environment, charge).await?;
                let open = |page: &PageRow| page.asked > page.answered && page.account == account;
                let Some(page) = page.filter(open) else {
                    return Ok(None);
                };
                let question = question(&page);
                Ok(is_asked(tx, &page).await?.then_some(question))
            })
        })
        .await
    }

    /// Answers a page. An answer to an older question than was answered changes nothing.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn answer_page(&self, charge: ChargeId, answer: PageAnswer) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                query(
                    "UPDATE charge_pages
                        SET answered = $2, status = $3, redirect_url = $4, answer_mac = $5
                      WHERE charge_id = $1 AND answered <= $2 AND asked >= $2",
                )
                .bind(charge.to_string())
                .bind(answer.asked)
                .bind(answer.status)
                .bind(answer.redirect_url.as_deref())
                .bind(answer.mac.as_slice())
                .execute(tx)
                .await?;
                Ok(())
            })
        })
        .await
    }
}

/// The charges of an account whose pages have asked what was not taken up yet.
async fn asking(store: &Store, account: Account) -> Result<Vec<String>, Failure> {
    store
        .read(move |connection| {
            Box::pin(async move {
                let rows: Vec<(String,)> = query(
                    "SELECT charge_id
                       FROM charge_pages
                      WHERE account = $1 AND asked > forwarded
                      ORDER BY charge_id
                      LIMIT 100",
                )
                .bind(account.as_str())
                .all(connection)
                .await?;
                Ok(rows.into_iter().map(|(id,)| id).collect())
            })
        })
        .await
}

/// What was asked last, and when.
fn question(page: &PageRow) -> (i64, Asked, Timestamp) {
    let asked_at = page.asked_at.unwrap_or(Timestamp::from_unix_ms(0));
    (page.asked, page.asked_for.unwrap_or(Asked::Look), asked_at)
}

/// Whether somebody with the link's secret has asked what the row says; else it is quarantined.
async fn is_asked(tx: &mut Connection, page: &PageRow) -> Result<bool, Failure> {
    let order = order(tx.orders(), (&page.account, page.charge), question(page));
    if tx.orders().believes(&order, page.ask_proof.as_deref()) {
        return Ok(true);
    }
    let (table, row) = ("charge_pages", page.charge.to_string());
    quarantine(tx, &Forged { table, row }, None).await?;
    Ok(false)
}

//! A charge's page as it stands.

use crate::clock::Timestamp;
use crate::store::Failure;
use crate::store::connection::Connection;
use crate::store::parse::{Reading, quiet_debug};
use crate::store::row::row;
use crate::store::sql::{locking, query};
use crate::token::{Account, ChargeId, Environment};

/// What a page asks for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Asked {
    /// How the charge stands.
    Look,
    /// The issuer's page, for the shopper who has just pressed the button.
    Challenge,
}

impl Asked {
    const ALL: [Self; 2] = [Self::Look, Self::Challenge];

    /// The name in the schema and on the wire.
    #[must_use]
    pub const fn name(self) -> &'static str {
        match self {
            Self::Look => "look",
            Self::Challenge => "challenge",
        }
    }

    /// What is asked for by that name.
    #[must_use]
    pub fn from_name(name: &str) -> Option<Self> {
        Self::ALL.into_iter().find(|asked| asked.name() == name)
    }
}

/// A page as it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct PageRow {
    /// Whose confirmation it is about.
    pub charge: ChargeId,
    /// Whose charge.
    pub account: Account,
    /// What is shown, in the currency's minor unit.
    pub amount: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Who asks, as shown.
    pub shop_name: Option<String>,
    /// Where in the shop it leads.
    pub return_url: Option<String>,
    /// Until when it is shown.
    pub expires_at: Timestamp,
    /// The keyed hash of the link's secret.
    pub secret_mac: Vec<u8>,
    /// The keyed hash of what is shown, under that secret.
    pub shown_mac: Vec<u8>,
    /// How often it has asked.
    pub asked: i64,
    /// What for, the last time.
    pub asked_for: Option<Asked>,
    /// When.
    pub asked_at: Option<Timestamp>,
    /// The newest question that is answered.
    pub answered: i64,
    /// How the charge stood then.
    pub status: Option<String>,
    /// Where the shopper authenticates.
    pub redirect_url: Option<String>,
    /// The keyed hash of the answer, under the link's secret.
    pub answer_mac: Option<Vec<u8>>,
    /// What shows that the link's secret was presented with the question.
    pub(super) ask_proof: Option<Vec<u8>>,
}

quiet_debug! {
    PageRow { charge, account, asked, answered }
}

macro_rules! select {
    ($lock:literal) => {
        concat!(
            "SELECT charge_id, account, amount, currency, shop_name, return_url, expires_at_ms, secret_mac, shown_mac, asked, asked_for, asked_at_ms, ask_proof, answered, status, redirect_url, answer_mac
               FROM charge_pages
              WHERE charge_id = $1",
            $lock
        )
    };
}

pub(super) async fn find(
    connection: &mut Connection,
    environment: Environment,
    charge: ChargeId,
) -> Result<Option<PageRow>, Failure> {
    let row: Option<Row> = query(select!(""))
        .bind(charge.to_string())
        .optional(connection)
        .await?;
    row.map(|row| row.read(environment)).transpose()
}

pub(super) async fn find_to_change(
    tx: &mut Connection,
    environment: Environment,
    charge: ChargeId,
) -> Result<Option<PageRow>, Failure> {
    let row: Option<Row> = locking(select!(""), select!(" FOR UPDATE"))
        .bind(charge.to_string())
        .optional(tx)
        .await?;
    row.map(|row| row.read(environment)).transpose()
}

row! {
    struct Row {
        charge_id: String,
        account: String,
        amount: i64,
        currency: String,
        shop_name: Option<String>,
        return_url: Option<String>,
        expires_at_ms: i64,
        secret_mac: Vec<u8>,
        shown_mac: Vec<u8>,
        asked: i64,
        asked_for: Option<String>,
        asked_at_ms: Option<i64>,
        ask_proof: Option<Vec<u8>>,
        answered: i64,
        status: Option<String>,
        redirect_url: Option<String>,
        answer_mac: Option<Vec<u8>>,
    }
}

impl Row {
    fn read(self, environment: Environment) -> Result<PageRow, Failure> {
        let reading = Reading::new("charge_pages", &self.charge_id, environment);
        let asked_for = self.asked_for.as_deref();
        Ok(PageRow {
            charge: reading.id("charge_id", &self.charge_id)?,
            account: reading.account(self.account)?,
            amount: self.amount,
            currency: self.currency,
            shop_name: self.shop_name,
            return_url: self.return_url,
            expires_at: Timestamp::from_unix_ms(self.expires_at_ms),
            secret_mac: self.secret_mac,
            shown_mac: self.shown_mac,
            asked: self.asked,
            asked_for: asked_for.and_then(Asked::from_name),
            asked_at: self.asked_at_ms.map(Timestamp::from_unix_ms),
            answered: self.answered,
            status: self.status,
            redirect_url: self.redirect_url,
            answer_mac: self.answer_mac,
            ask_proof: self.ask_proof,
        })
    }
}

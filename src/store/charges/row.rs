//! A charge as it stands, read alone or in a list.

use super::proof;
use crate::clock::Timestamp;
use crate::store::connection::Connection;
use crate::store::parse::{Reading, moment_if_any, quiet_debug};
use crate::store::row::row;
use crate::store::sql::{locking, query};
use crate::store::{Failure, Store};
use crate::token::{Account, ChargeId, ChargeOperation, ChargeStatus, Environment, TokenId};

/// A charge as it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct ChargeRow {
    /// Its id.
    pub id: ChargeId,
    /// Whose charge.
    pub account: Account,
    /// The certificate name of who asked for it.
    pub client: String,
    /// What is charged.
    pub token: TokenId,
    /// How much, in the currency's minor unit.
    pub amount: i64,
    /// How much of it was taken.
    pub captured: i64,
    /// How much of that was given back, or is on its way back.
    pub refunded: i64,
    /// ISO 4217, lower case.
    pub currency: String,
    /// Whether the money moves at once, or is only authorized.
    pub capture: bool,
    /// Whether the shopper is away.
    pub off_session: bool,
    /// The merchant's words.
    pub description: Option<String>,
    /// What the shopper's statement says behind the merchant's name.
    pub statement_descriptor_suffix: Option<String>,
    /// The merchant's own: the text of a JSON object.
    pub metadata: String,
    /// Where in the shop the shopper is led after the issuer's page.
    pub return_url: Option<String>,
    /// Until when the shopper may try again on a page of ours.
    pub page_until: Option<Timestamp>,
    /// The processor's token of the security code that the shopper has given again, sealed; it is
    /// taken away when the charge is settled.
    pub security_code_token: Option<Vec<u8>>,
    /// The SHA-256 of that, which stays.
    pub security_code_hash: Option<Vec<u8>>,
    /// Whether the processor is asked on-session because the token's set-up still waits for
    /// authentication; nothing while it has surely not been asked. Never asked otherwise again:
    /// under one key the processor takes one question.
    pub setup_pending: Option<bool>,
    /// Where it is in its life.
    pub status: ChargeStatus,
    /// The processor's name of the payment, once it is known.
    pub payment: Option<String>,
    /// Why it was declined, exactly where it was.
    pub decline: Option<DeclineRow>,
    /// Where the shopper authenticates, while that is wanted.
    pub redirect_url: Option<String>,
    /// The capture or cancellation under way.
    pub operation: Option<OperationRow>,
    /// The newest operation begun; what its idempotency key stands for.
    pub operation_id: Option<String>,
    /// The processor's idempotency key of the charge.
    pub processor_key: String,
    /// What the processor says against our final state.
    pub contradiction: Option<Contradiction>,
    /// What the networks and the issuer said of the payment.
    pub details: DetailsRow,
    /// Whether the shopper's bank has taken it up.
    pub disputed: bool,
    /// Held until then, or not due before; nothing when nothing is left to be asked.
    pub lease_until: Option<Timestamp>,
    /// The token of the worker that holds it.
    pub(in crate::store) lease_token: Option<i64>,
    /// Goes up with each change that can be seen.
    pub version: i64,
    /// When it was asked for.
    pub created_at: Timestamp,
    /// When it last changed.
    pub updated_at: Timestamp,
    /// What shows who ordered it.
    pub(in crate::store) proofs: ChargeProofs,
}

/// What shows who ordered a charge, and what is done with it.
#[derive(Clone, Default, PartialEq, Eq)]
pub(in crate::store) struct ChargeProofs {
    /// Of the charge itself.
    pub(super) order: Option<Vec<u8>>,
    /// Of its payment's name.
    pub(super) payment: Option<Vec<u8>>,
    /// Of the newest operation.
    pub(super) operation: Option<Vec<u8>>,
    /// The processor's key of the newest operation, also when it is over.
    pub(super) operation_key: Option<String>,
    /// Of the issuer's page.
    pub(super) redirect: Option<Vec<u8>>,
}

impl ChargeRow {
    /// Whether a worker holds it at that moment.
    #[must_use]
    pub fn is_held(&self, now: Timestamp) -> bool {
        self.lease_token.is_some() && self.lease_until.is_some_and(|until| until > now)
    }
}

/// A capture or a cancellation under way.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OperationRow {
    /// Which of the two.
    pub operation: ChargeOperation,
    /// How much a capture takes.
    pub amount: Option<i64>,
    /// The processor's idempotency key of it.
    pub processor_key: String,
}

/// That the processor says otherwise than our final state.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Contradiction {
    /// What it says: `captured_after_canceled`.
    pub code: String,
    /// When that was first seen.
    pub at: Timestamp,
}

/// What the networks and the issuer said of a payment, in the processor's words.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct DetailsRow {
    /// The card network's id of it.
    pub network_transaction_id: Option<String>,
    /// The issuer's check of the security code.
    pub cvc_check: Option<String>,
    /// The issuer's check of the postal code.
    pub postal_code_check: Option<String>,
}

/// Why a charge was declined, in the processor's words.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct DeclineRow {
    /// The code.
    pub code: String,
    /// What the network advises.
    pub advice: Option<String>,
    /// Whether it may be tried again later.
    pub retryable: bool,
}

quiet_debug! {
    ChargeRow { id, account, token, status, payment, decline, operation }
}

/// Which charges to list.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct ChargeFilter {
    /// Only of this token.
    pub token: Option<TokenId>,
    /// Only in this state.
    pub status: Option<ChargeStatus>,
    /// The page after this charge.
    pub starting_after: Option<ChargeId>,
    /// At most this many.
    pub limit: u32,
}

impl Store {
    /// A charge of `account`.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn charge(
        &self,
        account: &Account,
        id: ChargeId,
    ) -> Result<Option<ChargeRow>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        let read = self.read(move |connection| {
            Box::pin(async move { find(connection, environment, &account, &id.to_string()).await })
        });
        let charge = read.await?;
        Ok(charge.map(|charge| proof::led_by_ours(&self.orders, environment, charge)))
    }

    /// An account's charges, newest first.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn charges_of(
        &self,
        account: &Account,
        filter: ChargeFilter,
    ) -> Result<Vec<ChargeRow>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        let orders = self.orders.clone();
        self.read(move |connection| {
            let orders = orders.clone();
            Box::pin(async move {
                // Ids sort by the time they were made.
                let rows: Vec<Row> = query(concat!(
                    "SELECT ",
                    columns!(),
                    " FROM charges
                     WHERE account = $1
                       AND ($2 IS NULL OR token_id = $2)
                       AND ($3 IS NULL OR status = $3)
                       AND ($4 IS NULL OR id < $4)
                     ORDER BY id DESC
                     LIMIT $5"
                ))
                .bind(account.as_str())
                .bind(filter.token.map(|id| id.to_string()))
                .bind(filter.status.map(ChargeStatus::name))
                .bind(filter.starting_after.map(|id| id.to_string()))
                .bind(filter.limit)
                .all(connection)
                .await?;
                let ours = |charge| proof::led_by_ours(&orders, environment, charge);
                let read = |row: Row| row.read(environment).map(ours);
                rows.into_iter().map(read).collect()
            })
        })
        .await
    }
}

/// The charge of that account and id, read on a connection or in a transaction.
pub(in crate::store) async fn find(
    connection: &mut Connection,
    environment: Environment,
    account: &Account,
    id: &str,
) -> Result<Option<ChargeRow>, Failure> {
    let sql = concat!(
        "SELECT ",
        columns!(),
        " FROM charges WHERE id = $1 AND account = $2"
    );
    let row: Option<Row> = query(sql)
        .bind(id)
        .bind(account.as_str())
        .optional(connection)
        .await?;
    row.map(|row| row.read(environment)).transpose()
}

/// The charge of that account and id, whose row nobody else changes before the transaction ends.
pub(in crate::store) async fn find_to_change(
    tx: &mut Connection,
    environment: Environment,
    account: &Account,
    id: &str,
) -> Result<Option<ChargeRow>, Failure> {
    macro_rules! select {
        ($lock:literal) => {
            concat!(
                "SELECT ",
                columns!(),
                " FROM charges WHERE id = $1 AND account = $2",
                $lock
            )
        };
    }
    let row: Option<Row> = locking(select!(""), select!(" FOR UPDATE"))
        .bind(id)
        .bind(account.as_str())
        .optional(tx)
        .await?;
    let ours = |charge| proof::led_by_ours(tx.orders(), environment, charge);
    row.map(|row| row.read(environment).map(ours)).transpose()
}

/// Every column that [`Row`] reads.
macro_rules! columns {
    () => {
        "id, account, client, token_id, amount, captured, refunded, currency, capture, off_session, description, statement_descriptor_suffix, metadata, return_url, page_expires_at_ms, security_code_token, security_code_hash, setup_pending, status, payment, decline_code, decline_advice, decline_retryable, redirect_url, operation, operation_amount, operation_id, operation_key, processor_key, contradiction, contradicted_at_ms, network_transaction_id, cvc_check, postal_code_check, disputed, lease_until_ms, lease_token, version, created_at_ms, updated_at_ms, order_proof, payment_proof, operation_proof, redirect_proof"
    };
}
pub(super) use columns;

row! {
    pub(super) struct Row {
        id: String,
        account: String,
        client: String,
        token_id: String,
        amount: i64,
        captured: i64,
        refunded: i64,
        currency: String,
        capture: bool,
        off_session: bool,
        description: Option<String>,
        statement_descriptor_suffix: Option<String>,
        metadata: String,
        return_url: Option<String>,
        page_expires_at_ms: Option<i64>,
        security_code_token: Option<Vec<u8>>,
        security_code_hash: Option<Vec<u8>>,
        setup_pending: Option<bool>,
        status: String,
        payment: Option<String>,
        decline_code: Option<String>,
        decline_advice: Option<String>,
        decline_retryable: Option<bool>,
        redirect_url: Option<String>,
        operation: Option<String>,
        operation_amount: Option<i64>,
        operation_id: Option<String>,
        operation_key: Option<String>,
        processor_key: Option<String>,
        contradiction: Option<String>,
        contradicted_at_ms: Option<i64>,
        network_transaction_id: Option<String>,
        cvc_check: Option<String>,
        postal_code_check: Option<String>,
        disputed: bool,
        lease_until_ms: Option<i64>,
        lease_token: Option<i64>,
        version: i64,
        created_at_ms: i64,
        updated_at_ms: i64,
        order_proof: Option<Vec<u8>>,
        payment_proof: Option<Vec<u8>>,
        operation_proof: Option<Vec<u8>>,
        redirect_proof: Option<Vec<u8>>,
    }
}

fn operation(
    reading: &Reading<'_>,
    name: &str,
    (amount, key): (Option<i64>, Option<String>),
) -> Result<OperationRow, Failure> {
    Ok(OperationRow {
        operation: reading.found("operation", ChargeOperation::from_name(name))?,
        amount,
        processor_key: reading.found("operation_key", key)?,
    })
}

impl Row {
    pub(super) fn read(self, environment: Environment) -> Result<ChargeRow, Failure> {
        let reading = Reading::new("charges", &self.id, environment);
        let status = reading.found("status", ChargeStatus::from_name(&self.status))?;
        let decline = match (status, self.decline_code, self.decline_retryable) {
            (ChargeStatus::Declined, Some(code), Some(retryable)) => Some(DeclineRow {
                code,
                advice: self.decline_advice,
                retryable,
            }),
            (ChargeStatus::Declined, _, _) | (_, Some(_), _) => {
                return Err(reading.inconsistent("decline_code"));
            }
            _ => None,
        };
        let asked = (self.operation_amount, self.operation_key.clone());
        let operation = self.operation.map(|name| operation(&reading, &name, asked));
        let operation = operation.transpose()?;
        let contradiction = match (self.contradiction, self.contradicted_at_ms) {
            (Some(code), Some(at_ms)) => {
                let at = Timestamp::from_unix_ms(at_ms);
                Some(Contradiction { code, at })
            }
            (None, None) => None,
            (Some(_), None) | (None, Some(_)) => return Err(reading.inconsistent("contradiction")),
        };
        Ok(ChargeRow {
            id: reading.id("id", &self.id)?,
            account: reading.account(self.account)?,
            client: self.client,
            token: reading.id("token_id", &self.token_id)?,
            amount: reading.found("amount", (self.amount > 0).then_some(self.amount))?,
            captured: self.captured,
            refunded: self.refunded,
            currency: self.currency,
            setup_pending: self.setup_pending,
            capture: self.capture,
            off_session: self.off_session,
            description: self.description,
            statement_descriptor_suffix: self.statement_descriptor_suffix,
            metadata: self.metadata,
            return_url: self.return_url,
            page_until: moment_if_any(self.page_expires_at_ms),
            security_code_token: self.security_code_token,
            security_code_hash: self.security_code_hash,
            status,
            payment: self.payment,
            decline,
            redirect_url: self.redirect_url,
            operation,
            operation_id: self.operation_id,
            processor_key: reading.found("processor_key", self.processor_key)?,
            contradiction,
            details: DetailsRow {
                network_transaction_id: self.network_transaction_id,
                cvc_check: self.cvc_check,
                postal_code_check: self.postal_code_check,
            },
            disputed: self.disputed,
            lease_until: moment_if_any(self.lease_until_ms),
            lease_token: self.lease_token,
            version: self.version,
            created_at: Timestamp::from_unix_ms(self.created_at_ms),
            updated_at: Timestamp::from_unix_ms(self.updated_at_ms),
            proofs: ChargeProofs {
                order: self.order_proof,
                payment: self.payment_proof,
                operation: self.operation_proof,
                operation_key: self.operation_key,
                redirect: self.redirect_proof,
            },
        })
    }
}

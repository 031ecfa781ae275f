//! Capture sessions: the right to turn one card into one token, or to give the security code of a
//! saved one again.

use super::claims::{self, Begun, Claim, Entered, Found, Won};
use super::connection::Connection;
use super::events::{record, record_refused};
use super::orders::{Forged, Orders};
use super::parse::{Reading, moment_if_any, one_row, quiet_debug};
use super::row::row;
use super::sql::query;
use super::{Failure, Store};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::seal::order::{Kind, Order};
use crate::token::{Account, Environment, SessionId, TokenId, Usage};

/// A session to be made.
#[derive(Clone, PartialEq, Eq)]
pub struct NewSession {
    /// Its id.
    pub id: SessionId,
    /// Who owns what becomes of it.
    pub account: Account,
    /// The certificate name of who makes it.
    pub client: String,
    /// The merchant's name for its customer.
    pub customer_ref: Option<String>,
    /// The processor's customer that the card will be attached to.
    pub processor_customer: String,
    /// The web origin of the page that will post the card.
    pub origin: Option<String>,
    /// How the token will be charged.
    pub usage: Usage,
    /// The merchant's own: the text of a JSON object.
    pub metadata: String,
    /// The keyed hash of the client secret.
    pub secret_mac: [u8; 32],
    /// The keyed hash of whose session it is, under the client secret.
    pub owner_mac: [u8; 32],
    /// What the hosted page shows: the text of a JSON object.
    pub presentation: Option<String>,
    /// The keyed hash of that, where there is one.
    pub presentation_mac: Option<[u8; 32]>,
    /// The saved token whose security code it takes; nothing where it takes a card.
    pub security_code_of: Option<TokenId>,
    /// Whether the merchant says that it has verified the shopper for it.
    pub shopper_verified: bool,
    /// How many posted cards it takes.
    pub attempts_max: u32,
    /// Now.
    pub created_at: Timestamp,
    /// From when on it takes none.
    pub expires_at: Timestamp,
}

/// A session as it stands.
#[derive(Clone, PartialEq, Eq)]
pub struct SessionRow {
    /// Its id.
    pub id: SessionId,
    /// Who owns what becomes of it.
    pub account: Account,
    /// The certificate name of who made it.
    pub client: String,
    /// The merchant's name for its customer.
    pub customer_ref: Option<String>,
    /// The processor's customer that the card is attached to.
    pub processor_customer: String,
    /// The web origin of the page that posts the card.
    pub origin: Option<String>,
    /// How the token will be charged.
    pub usage: Usage,
    /// The merchant's own: the text of a JSON object.
    pub metadata: String,
    /// The keyed hash of the client secret.
    pub secret_mac: [u8; 32],
    /// The keyed hash of whose session it was made as, under the client secret.
    pub owner_mac: Option<Vec<u8>>,
    /// What the hosted page shows: the text of a JSON object.
    pub presentation: Option<String>,
    /// The keyed hash of that, where there is one.
    pub presentation_mac: Option<Vec<u8>>,
    /// The saved token whose security code it takes; nothing where it takes a card.
    pub security_code_of: Option<TokenId>,
    /// Whether the merchant says that it has verified the shopper for it.
    pub shopper_verified: bool,
    /// How many posted cards it will still take.
    pub attempts_left: u32,
    /// How many it has taken; never goes down.
    pub attempts_made: u32,
    /// Till when an attempt is under way.
    pub busy_until: Option<Timestamp>,
    /// What became of it.
    pub token: Option<TokenId>,
    /// The `Idempotency-Key` of the attempt that made the token.
    pub token_key: Option<String>,
    pub(super) token_proof: Option<Vec<u8>>,
    /// When it was made.
    pub created_at: Timestamp,
    /// From when on it takes no card.
    pub expires_at: Timestamp,
    /// When a card was last posted to it, or when it was made.
    pub last_seen_at: Timestamp,
}

quiet_debug! {
    NewSession { id, account }
    SessionRow { id, account, attempts_left, token }
}

/// What a request for a session came to.
pub type SessionBegun = Begun<(), Box<SessionRow>, std::convert::Infallible>;

impl Store {
    /// Looks whether `claim` was answered before, so that nothing is made at the processor for a
    /// repetition. What it finds it has written, and may be given as the answer.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn find_session_claim(&self, claim: &Claim) -> Result<Option<SessionBegun>, Failure> {
        let (environment, claim) = (self.environment, claim.clone());
        let asked = claim.clone();
        let known = self
            .read(move |connection| {
                Box::pin(async move { claims::is_known(connection, &asked).await })
            })
            .await?;
        if !known {
            return Ok(None);
        }
        self.write(move |tx| {
            Box::pin(async move {
                Ok(match claims::look_up(tx, &claim).await? {
                    Found::Nothing => None,
                    Found::Mismatch => Some(Begun::Mismatch),
                    Found::Seen(id) => {
                        let row = find(tx, environment, &id).await?;
                        let row = row.ok_or_else(|| claims::dangling(&claim))?;
                        Some(Begun::Replayed(Box::new(row)))
                    }
                })
            })
        })
        .await
    }

    /// Makes a session, once for each claim.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn begin_session(
        &self,
        claim: Option<Claim>,
        session: NewSession,
        event: Event,
    ) -> Result<SessionBegun, Failure> {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let won = match &claim {
                    None => Won::without_a_key(),
                    Some(claim) => match claims::enter(tx, claim, &session.id.to_string()).await? {
                        Entered::Won(won) => won,
                        Entered::Mismatch => {
                            record_refused(tx, event);
                            return Ok(Begun::Mismatch);
                        }
                        Entered::Seen(id) => {
                            let row = find(tx, environment, &id).await?;
                            let row = row.ok_or_else(|| claims::dangling(claim))?;
                            return Ok(Begun::Replayed(Box::new(row)));
                        }
                    },
                };
                insert(tx, won, &session).await?;
                record(tx, event);
                Ok(Begun::New(()))
            })
        })
        .await
    }

    /// A session, whatever became of it; none where nothing proves that the token in it is its own,
    /// which is reported.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn session(&self, id: SessionId) -> Result<Option<SessionRow>, Failure> {
        let environment = self.environment;
        let row = self
            .read(move |connection| {
                Box::pin(async move { find(connection, environment, &id.to_string()).await })
            })
            .await?;
        match row {
            Some(row) if !row.has_its_own_token(&self.orders) => {
                self.report_forged(forged(&row)).await?;
                Ok(None)
            }
            row => Ok(row),
        }
    }

    /// Whether a session that has not expired waits for a page of this web origin.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn origin_is_awaited(&self, origin: &str, now: Timestamp) -> Result<bool, Failure> {
        let origin = origin.to_owned();
        self.read(move |connection| {
            Box::pin(async move {
                query(
                    "SELECT EXISTS (
                       SELECT 1
                         FROM sessions
                        WHERE origin = $1 AND expires_at_ms > $2)",
                )
                .bind(origin)
                .bind(now.unix_ms())
                .scalar(connection)
                .await
            })
        })
        .await
    }
}

impl SessionRow {
    /// Whether the token in it, where there is one, is proved to be the one that it has made.
    pub(super) fn has_its_own_token(&self, orders: &Orders) -> bool {
        self.token.is_none_or(|token| {
            let order = token_order(orders, (self.id, token), self.token_key.as_deref());
            orders.believes(&order, self.token_proof.as_deref())
        })
    }
}

/// The order that proves it.
pub(super) fn token_order(
    orders: &Orders,
    (session, token): (SessionId, TokenId),
    key: Option<&str>,
) -> Order {
    orders
        .order(Kind::SessionToken)
        .text(&session.to_string())
        .text(&token.to_string())
        .text_if_any(key)
}

/// That session, as it is reported.
pub(super) fn forged(session: &SessionRow) -> Forged {
    Forged {
        table: "sessions",
        row: session.id.to_string(),
    }
}

async fn insert(tx: &mut Connection, _won: Won, session: &NewSession) -> Result<(), Failure> {
    let written = query(
        "INSERT INTO sessions (id, account, client, customer_ref, processor_customer, origin, usage, metadata, secret_mac, attempts_left, attempts_made, last_seen_at_ms, created_at_ms, expires_at_ms, shopper_verified, owner_mac, presentation, presentation_mac, security_code_of)
         VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10, 0, $11, $11, $12, $13, $14, $15, $16, $17)",
    )
    .bind(session.id.to_string())
    .bind(session.account.as_str())
    .bind(&session.client)
    .bind(session.customer_ref.as_deref())
    .bind(&session.processor_customer)
    .bind(session.origin.as_deref())
    .bind(session.usage.name())
    .bind(&session.metadata)
    .bind(session.secret_mac.as_slice())
    .bind(i64::from(session.attempts_max))
    .bind(session.created_at.unix_ms())
    .bind(session.expires_at.unix_ms())
    .bind(session.shopper_verified)
    .bind(session.owner_mac.as_slice())
    .bind(session.presentation.as_deref())
    .bind(session.presentation_mac.as_ref().map(<[u8; 32]>::as_slice))
    .bind(session.security_code_of.map(|token| token.to_string()))
    .execute(tx)
    .await?;
    one_row(written, "sessions", &session.id)
}

/// The session of that id, read on a connection or in a transaction.
pub(super) async fn find(
    connection: &mut Connection,
    environment: Environment,
    id: &str,
) -> Result<Option<SessionRow>, Failure> {
    let row: Option<Row> = query(
        "SELECT id, account, client, customer_ref, processor_customer, origin, usage, metadata, secret_mac, attempts_left, attempts_made, busy_until_ms, token_id, token_key, created_at_ms, expires_at_ms, shopper_verified, owner_mac, presentation, presentation_mac, security_code_of, token_proof, last_seen_at_ms
           FROM sessions
          WHERE id = $1",
    )
    .bind(id)
    .optional(connection)
    .await?;
    row.map(|row| row.read(environment)).transpose()
}

row! {
    struct Row {
        id: String,
        account: String,
        client: String,
        customer_ref: Option<String>,
        processor_customer: String,
        origin: Option<String>,
        usage: String,
        metadata: String,
        secret_mac: Vec<u8>,
        attempts_left: i64,
        attempts_made: i64,
        busy_until_ms: Option<i64>,
        token_id: Option<String>,
        token_key: Option<String>,
        created_at_ms: i64,
        expires_at_ms: i64,
        shopper_verified: bool,
        owner_mac: Option<Vec<u8>>,
        presentation: Option<String>,
        presentation_mac: Option<Vec<u8>>,
        security_code_of: Option<String>,
        token_proof: Option<Vec<u8>>,
        last_seen_at_ms: i64,
    }
}

impl Row {
    fn read(self, environment: Environment) -> Result<SessionRow, Failure> {
        let reading = Reading::new("sessions", &self.id, environment);
        Ok(SessionRow {
            id: reading.id("id", &self.id)?,
            account: reading.account(self.account)?,
            client: self.client,
            customer_ref: self.customer_ref,
            processor_customer: self.processor_customer,
            origin: self.origin,
            usage: reading.found("usage", Usage::from_name(&self.usage))?,
            metadata: self.metadata,
            secret_mac: reading.found("secret_mac", self.secret_mac.try_into().ok())?,
            shopper_verified: self.shopper_verified,
            owner_mac: self.owner_mac,
            presentation: self.presentation,
            presentation_mac: self.presentation_mac,
            security_code_of: reading
                .id_if_any("security_code_of", self.security_code_of.as_deref())?,
            attempts_left: reading.number("attempts_left", self.attempts_left)?,
            attempts_made: reading.number("attempts_made", self.attempts_made)?,
            busy_until: moment_if_any(self.busy_until_ms),
            token: reading.id_if_any("token_id", self.token_id.as_deref())?,
            token_key: self.token_key,
            token_proof: self.token_proof,
            created_at: Timestamp::from_unix_ms(self.created_at_ms),
            expires_at: Timestamp::from_unix_ms(self.expires_at_ms),
            last_seen_at: Timestamp::from_unix_ms(self.last_seen_at_ms),
        })
    }
}

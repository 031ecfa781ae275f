//! The same card of the same customer is the same token.
//!
//! The card is known by a MAC of the processor's fingerprint. The token stays; the card that was
//! vaulted last takes the place of the one before, because it has just been accepted. It is written
//! down as an orphan that the internal plane adopts, and that charges until then.

use super::claims::{self, Begun, Claim, Entered, Found};
use super::connection::Connection;
use super::events::{record, record_refused};
use super::keys::put_data_key;
use super::orders::{self, Forged};
use super::orphans::{self, NewOrphan};
use super::outbox::{self, News};
use super::parse::{Reading, one_row};
use super::sql::query;
use super::tokens::{self, TokenRow};
use super::{Failure, Store};
use crate::audit::{Action, Event};
use crate::clock::Timestamp;
use crate::seal::SealedValue;
use crate::seal::mac::Mark;
use crate::token::{Account, CardSummary, Environment, SessionId, TokenId, TokenStatus, Usage};

/// A token to be made.
#[derive(Clone, Debug)]
pub struct NewToken {
    /// Its id.
    pub id: TokenId,
    /// Active, or waiting for the issuer's authentication.
    pub status: TokenStatus,
    /// The processor's reference, sealed for this row's column `sealed`.
    pub value: SealedValue,
    /// Keyed hash of the processor's name of the card.
    pub reference: Mark,
    /// Keyed hash of the processor's fingerprint of the card, where it gives one.
    pub fingerprint: Option<Mark>,
    /// What the world may know of the card.
    pub card: CardSummary,
    /// Now.
    pub created_at: Timestamp,
}

/// Whose a token is to be.
#[derive(Clone, Debug)]
pub struct Owner {
    /// The account.
    pub account: Account,
    /// The merchant's name for its customer.
    pub customer_ref: Option<String>,
    /// How the token will be charged.
    pub usage: Usage,
    /// The merchant's own: the text of a JSON object.
    pub metadata: String,
    /// The session it comes from, where it comes from one.
    pub session: Option<SessionId>,
}

/// What became of a vaulted card.
#[derive(Debug, PartialEq, Eq)]
pub enum TokenKept {
    /// A token.
    New(TokenRow),
    /// The token that it is already.
    Same(TokenRow),
    /// None: its session had one.
    Late,
}

/// What a request to attach a card came to: a token, or the token that it is already.
pub type Attached = Begun<TokenRow, TokenRow, std::convert::Infallible>;

impl Store {
    /// Looks whether a request to attach a card was answered before. What it finds it has written.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn find_attach_claim(&self, claim: &Claim) -> Result<Option<Attached>, Failure> {
        let environment = self.environment;
        let claim = claim.clone();
        self.write(move |tx| Box::pin(async move { answered(tx, environment, &claim).await }))
            .await
    }

    /// Makes a token of a card that no session brought, once for each claim.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn attach_token(
        &self,
        claim: Option<Claim>,
        (token, owner): (NewToken, Owner),
        event: Event,
        tell: impl Fn(&TokenRow) -> News + Clone + Send + Sync + 'static,
    ) -> Result<Attached, Failure> {
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                // Who wins the key keeps the card; everybody else is answered by what it made.
                if let Some(claim) = &claim {
                    match claims::enter(tx, claim, &token.id.to_string()).await? {
                        Entered::Won(_) => {}
                        Entered::Seen(id) => {
                            record_refused(tx, event);
                            return replayed(tx, environment, claim, &id).await;
                        }
                        Entered::Mismatch => {
                            record_refused(tx, event);
                            return Ok(Begun::Mismatch);
                        }
                    }
                }
                match keep(tx, environment, (&token, &owner), event, &tell).await? {
                    TokenKept::New(row) | TokenKept::Same(row) => {
                        if row.id != token.id
                            && let Some(claim) = &claim
                        {
                            claims::stands_for(tx, claim, &row.id.to_string()).await?;
                        }
                        Ok(Begun::New(row))
                    }
                    // Only a session can be late.
                    TokenKept::Late => Err(Failure::Inconsistent {
                        table: "tokens",
                        column: "session_id",
                        row: token.id.to_string(),
                    }),
                }
            })
        })
        .await
    }
}

async fn answered(
    tx: &mut Connection,
    environment: Environment,
    claim: &Claim,
) -> Result<Option<Attached>, Failure> {
    Ok(match claims::look_up(tx, claim).await? {
        Found::Nothing => None,
        Found::Mismatch => Some(Begun::Mismatch),
        Found::Seen(id) => Some(replayed(tx, environment, claim, &id).await?),
    })
}

async fn replayed(
    tx: &mut Connection,
    environment: Environment,
    claim: &Claim,
    id: &str,
) -> Result<Attached, Failure> {
    let reading = Reading::new("idempotency_keys", &claim.key, environment);
    let id = reading.id("resource", id)?;
    let row = tokens::find(tx, environment, &claim.account, id).await?;
    Ok(Begun::Replayed(row.ok_or_else(|| claims::dangling(claim))?))
}

/// Keeps a vaulted card as a token, or as the orphan of the token that it is already.
pub(super) async fn keep(
    tx: &mut Connection,
    environment: Environment,
    (token, owner): (&NewToken, &Owner),
    event: Event,
    tell: &impl Fn(&TokenRow) -> News,
) -> Result<TokenKept, Failure> {
    let known = known(tx, environment, token, owner).await?;
    if let Some(Known::Ours(known)) = &known
        && known.status == TokenStatus::Active
        && known.detached_at.is_none()
    {
        let row = meet(tx, environment, token, (**known).clone()).await?;
        let matched = Event {
            action: Action::CardMatched,
            subject: Some(row.id.to_string()),
            ..event
        };
        record(tx, matched);
        return Ok(TokenKept::Same(row));
    }
    put_data_key(tx, environment, &token.value.data_key).await?;
    tokens::insert(tx, token, owner).await?;
    let instead_of = known.map(|known| match known {
        Known::Ours(row) => row.id,
        Known::Anothers(id) => id,
    });
    remember(tx, token, owner, instead_of).await?;
    let row = tokens::find(tx, environment, &owner.account, token.id).await?;
    let key = token.id.to_string();
    let row = Reading::new("tokens", &key, environment).found("id", row)?;
    record(tx, event);
    outbox::tell(tx, &tell(&row)).await?;
    Ok(TokenKept::New(row))
}

/// The token that this customer's card was before, whatever became of it. Marks that it was seen,
/// which also makes whoever brings the same card wait.
async fn known(
    tx: &mut Connection,
    environment: Environment,
    token: &NewToken,
    owner: &Owner,
) -> Result<Option<Known>, Failure> {
    let (Some(mark), Some(customer_ref)) = (token.fingerprint, &owner.customer_ref) else {
        return Ok(None);
    };
    let id: Option<String> = query(
        "UPDATE token_cards
            SET last_seen_at_ms = $6, fingerprint_mac = $4
          WHERE account = $1 AND customer_ref = $2 AND usage = $3 AND fingerprint_mac =
                (SELECT fingerprint_mac
                   FROM token_cards
                  WHERE account = $1 AND customer_ref = $2 AND usage = $3 AND fingerprint_mac IN ($4, $5)
                  ORDER BY CASE WHEN fingerprint_mac = $4 THEN 0 ELSE 1 END
                  LIMIT 1)
      RETURNING token_id",
    )
    .bind(owner.account.as_str())
    .bind(customer_ref)
    .bind(owner.usage.name())
    .bind(mark.now.as_slice())
    .bind(mark.also.as_slice())
    .bind(token.created_at.unix_ms())
    .scalar_if_any(tx)
    .await?;
    let Some(id) = id else {
        return Ok(None);
    };
    let reading = Reading::new("token_cards", &id, environment);
    let id = reading.id("token_id", &id)?;
    let row = tokens::find(tx, environment, &owner.account, id).await?;
    let row = reading.found("token_id", row)?;
    // What `token_cards` says is a claim: nobody is answered with another customer's token.
    if row.customer_ref != owner.customer_ref || row.usage != owner.usage {
        let forged = Forged {
            table: "token_cards",
            row: row.id.to_string(),
        };
        orders::report(tx, &forged).await?;
        return Ok(Some(Known::Anothers(row.id)));
    }
    Ok(Some(Known::Ours(Box::new(row))))
}

/// What a customer's card is said to be already.
enum Known {
    /// A token of this customer.
    Ours(Box<TokenRow>),
    /// Somebody else's, which it is not: the card gets a token of its own.
    Anothers(TokenId),
}

/// Remembers which token a card is. Of two who come at once the schema refuses one, which then
/// finds the other's.
async fn remember(
    tx: &mut Connection,
    token: &NewToken,
    owner: &Owner,
    instead_of: Option<TokenId>,
) -> Result<(), Failure> {
    let (Some(mark), Some(customer_ref)) = (token.fingerprint, &owner.customer_ref) else {
        return Ok(());
    };
    let statement = match instead_of {
        None => query(
            "INSERT INTO token_cards (account, customer_ref, usage, fingerprint_mac, token_id, created_at_ms, last_seen_at_ms)
             VALUES ($1, $2, $3, $4, $5, $6, $6)",
        ),
        Some(_) => query(
            "UPDATE token_cards
                SET token_id = $5, created_at_ms = $6
              WHERE account = $1 AND customer_ref = $2 AND usage = $3 AND fingerprint_mac = $4 AND token_id = $7",
        ),
    };
    let mut statement = statement
        .bind(owner.account.as_str())
        .bind(customer_ref)
        .bind(owner.usage.name())
        .bind(mark.now.as_slice())
        .bind(token.id.to_string())
        .bind(token.created_at.unix_ms());
    if let Some(before) = instead_of {
        statement = statement.bind(before.to_string());
    }
    one_row(statement.execute(tx).await?, "token_cards", &token.id)
}

/// The vaulted card is `row` already: it is to take the place of the one before, and its expiry
/// becomes the token's. Where its issuer still wants to see the shopper, the one before stays.
async fn meet(
    tx: &mut Connection,
    environment: Environment,
    token: &NewToken,
    mut row: TokenRow,
) -> Result<TokenRow, Failure> {
    let card = &token.card;
    let renewed = (card.exp_month, card.exp_year) != (row.card.exp_month, row.card.exp_year);
    if renewed {
        row.card.exp_month = card.exp_month;
        row.card.exp_year = card.exp_year;
        let expiry = (card.exp_month, card.exp_year);
        tokens::write_expiry(tx, row.id, expiry, token.created_at).await?;
        row.version = row.version.saturating_add(1);
        row.updated_at = token.created_at;
    }
    let adopted = token.status == TokenStatus::Active;
    let orphan = NewOrphan {
        id: token.id,
        account: &row.account,
        customer_ref: row.customer_ref.as_deref(),
        usage: row.usage,
        value: &token.value,
        reference: token.reference,
        adopt_for: adopted.then_some((row.id, card.exp_month, card.exp_year)),
        now: token.created_at,
    };
    orphans::insert(tx, environment, orphan).await?;
    Ok(row)
}

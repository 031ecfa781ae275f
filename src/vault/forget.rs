//! Forget: a token's end, with a receipt.

use serde::Serialize;

use super::grant::{Granted, TokensDelete, TokensRead};
use super::{Internal, Refusal, Witness, processor_of};
use crate::audit::{Action, Outcome};
use crate::clock::Timestamp;
use crate::store::{Forget, TokenRow};
use crate::token::{TokenId, TokenStatus};
use crate::watch::Seen;

/// Seconds after which a charge that still needs the token should have settled.
const RETRY_AFTER_S: u32 = 5;

/// The proof that a token is gone, for whoever must show it.
#[derive(Debug)]
pub struct Forgotten {
    /// The token.
    pub token: TokenId,
    /// When its sealed value was erased.
    pub deleted_at: Timestamp,
    /// A JWS (RFC 7515, `EdDSA` of RFC 8037) over the deletion.
    pub receipt: String,
}

/// What a receipt says.
#[derive(Serialize)]
struct Receipt<'a> {
    sub: &'a str,
    account: &'a str,
    environment: &'a str,
    iat: i64,
    deleted_at: &'a str,
    processor: &'a str,
    sealed_value: &'a str,
}

impl Internal {
    /// Forgets a token: detaches it at the processor, erases its sealed value, keeps a tombstone.
    ///
    /// A request that died on the way is taken up by asking again.
    ///
    /// # Errors
    /// [`Refusal::TokenDeleted`] when it is already gone.
    #[tracing::instrument(name = "token.forget", skip_all)]
    pub async fn forget(
        &self,
        granted: &Granted<TokensDelete>,
        id: TokenId,
    ) -> Result<Forgotten, Refusal> {
        self.require_unsealed()?;
        let common = &self.common;
        let account = granted.account();
        let witness = Witness::of(granted);
        let subject = Some(id.to_string());

        // 1. One transaction ends the token's use and writes the audit event of what follows: the
        //    last opening of its value.
        let action = Action::TokenDeletionStarted;
        let event = common.event(&witness, action, Outcome::Success, subject.clone());
        let row = match common.store.begin_forget(account, id, event).await? {
            Forget::Open(row) => {
                common
                    .watch
                    .did(Seen::Opened, granted.client(), common.now());
                row
            }
            Forget::InUse => {
                return Err(Refusal::InFlight {
                    retry_after_s: RETRY_AFTER_S,
                });
            }
            Forget::Deleted => return Err(Refusal::TokenDeleted),
            Forget::Unknown => return Err(Refusal::NotFound),
        };

        // 2. The processor forgets; that it has forgotten before is as good.
        let reference = self.open(&row).await?;
        let call = common.metrics.processor_call("detach");
        let detached = processor_of(&self.processors, account)?
            .detach(&reference, granted.client())
            .await;
        call.ended(detached.is_ok());
        drop(reference);
        detached?;

        // 3. One transaction erases the sealed value and writes the audit event.
        let deleted_at = common.now();
        let event = common.event(&witness, Action::TokenDeleted, Outcome::Success, subject);
        common
            .store
            .finish_forget(
                (account, id),
                deleted_at,
                event,
                common.token_news("deleted"),
            )
            .await?;
        Ok(Forgotten {
            token: id,
            deleted_at,
            receipt: self.receipt(account.as_str(), id, deleted_at),
        })
    }

    fn receipt(&self, account: &str, id: TokenId, deleted_at: Timestamp) -> String {
        let receipt = Receipt {
            sub: &id.to_string(),
            account,
            environment: self.common.environment.name(),
            iat: deleted_at.unix_ms().div_euclid(1_000),
            deleted_at: &deleted_at.rfc3339(),
            processor: "detached",
            sealed_value: "erased",
        };
        let payload = serde_json::to_vec(&receipt).unwrap_or_default();
        self.receipt_key
            .jws("cloakroom-deletion-receipt+jwt", &payload)
    }

    /// Reads what the world may know of a token.
    ///
    /// # Errors
    /// [`Refusal::TokenDeleted`] for a tombstone, [`Refusal::NotFound`] also for what belongs to
    /// another account.
    pub async fn read_token(
        &self,
        granted: &Granted<TokensRead>,
        id: TokenId,
    ) -> Result<TokenRow, Refusal> {
        let account = granted.account();
        let token = self
            .common
            .store
            .token(account, id)
            .await?
            .ok_or(Refusal::NotFound)?;
        match token.status {
            TokenStatus::Active | TokenStatus::RequiresAction => {
                self.common
                    .witness_read(granted, Action::TokenRead, id.to_string())
                    .await?;
                Ok(token)
            }
            TokenStatus::Deleting | TokenStatus::Deleted => Err(Refusal::TokenDeleted),
        }
    }

    /// Lists a customer's tokens, newest first, without deleted ones.
    ///
    /// # Errors
    /// What the store refuses.
    pub async fn list_tokens(
        &self,
        granted: &Granted<TokensRead>,
        customer_ref: &str,
        limit: u32,
        starting_after: Option<TokenId>,
    ) -> Result<Vec<TokenRow>, Refusal> {
        let account = granted.account();
        let store = &self.common.store;
        let tokens = store
            .tokens_of(account, customer_ref, limit, starting_after)
            .await?;
        let subject = customer_ref.to_owned();
        self.common
            .witness_read(granted, Action::TokenListed, subject)
            .await?;
        Ok(tokens)
    }
}

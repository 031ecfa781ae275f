//! Deletion: a token's end, with a receipt.

use serde::Serialize;

use super::grant::{Granted, TokensDelete, TokensRead};
use super::owed::retry_at;
use super::{Internal, Refusal, Witness, process, processor_of};
use crate::audit::{Action, Outcome};
use crate::clock::Timestamp;
use crate::store::{Begun, DeletionWork, NoDeletion, OwedWork, SealedRow, TokenRow};
use crate::token::{TokenId, TokenStatus};
use crate::watch::Seen;

/// Seconds after which a charge that still needs the token should have settled.
const RETRY_AFTER_S: u32 = 5;
/// On whose behalf the processor is asked where no client waits.
const PROCESS: &str = "cloakroom";

/// The proof that a token is gone, for whoever must show it.
#[derive(Debug)]
pub struct DeletedToken {
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
    /// Deletes a token: detaches its card at the processor, erases its sealed value, keeps a
    /// tombstone. What stops on the way is finished in the background.
    ///
    /// # Errors
    /// [`Refusal::TokenDeleted`] when it is deleted already.
    #[tracing::instrument(name = "token.delete", skip_all)]
    pub async fn delete_token(
        &self,
        granted: &Granted<TokensDelete>,
        id: TokenId,
    ) -> Result<DeletedToken, Refusal> {
        self.require_unsealed()?;
        let common = &self.common;
        let account = granted.account();
        let context = Witness::of(granted);
        let subject = Some(id.to_string());

        // 1. One transaction ends the token's use and writes the audit event of what follows: the
        //    last opening of its value.
        let action = Action::TokenDeletionStarted;
        let event = common.event(&context, action, Outcome::Success, subject);
        let now = common.now();
        let lease = (now, now.plus_ms(common.limits.work_lease_ms));
        let begun = common.store.begin_deletion((account, id), lease, event);
        let work = match begun.await? {
            Begun::New(work) | Begun::Resumed(work) => {
                common
                    .watch
                    .did(Seen::Opened, granted.client(), common.now());
                *work
            }
            Begun::InFlight | Begun::Refused(NoDeletion::InUse) => {
                return Err(Refusal::InFlight {
                    retry_after_s: RETRY_AFTER_S,
                });
            }
            Begun::Refused(NoDeletion::Deleted) => return Err(Refusal::TokenDeleted),
            Begun::Refused(NoDeletion::Unknown) => return Err(Refusal::NotFound),
            // No claim is made, so that nothing is repeated under one.
            Begun::Mismatch => return Err(Refusal::IdempotencyMismatch),
            Begun::Replayed(never) => match never {},
        };
        let deleted_at = self.delete(&context, granted.client(), work).await?;
        Ok(DeletedToken {
            token: id,
            deleted_at,
            receipt: self.receipt(account.as_str(), id, deleted_at),
        })
    }

    /// Finishes a deletion that stopped on the way.
    pub(super) async fn go_on_deleting(&self, work: DeletionWork) {
        let token = work.sealed.token;
        if let Err(refusal) = self.delete(&process(), PROCESS, work).await {
            tracing::warn!(%token, %refusal, "a token is not deleted yet");
        }
    }

    async fn delete(
        &self,
        context: &Witness,
        client: &str,
        work: DeletionWork,
    ) -> Result<Timestamp, Refusal> {
        let common = &self.common;
        let DeletionWork { lease, sealed } = work;
        let renewal = lease.renewal(OwedWork::Deletion, &sealed.token, &sealed.account);
        let _held = common.hold(renewal);
        let whose = (&sealed.account, sealed.token);

        // 2. The processor detaches the card; that it has detached it before is as good.
        if let Err(refusal) = self.detach(&sealed, client).await {
            let now = common.now();
            let until = retry_at(now, now, None);
            common.store.defer_deletion(lease, whose, until).await?;
            return Err(refusal);
        }

        // 3. One transaction erases the sealed value and writes the audit event.
        let deleted_at = common.now();
        let subject = Some(sealed.token.to_string());
        let event = common.event(context, Action::TokenDeleted, Outcome::Success, subject);
        let publish = common.token_news("deleted");
        common
            .store
            .finish_deletion(whose, deleted_at, event, publish)
            .await?;
        Ok(deleted_at)
    }

    async fn detach(&self, sealed: &SealedRow, client: &str) -> Result<(), Refusal> {
        let reference = self.open(sealed).await?;
        let call = self.common.metrics.processor_call("detach");
        let detached = processor_of(&self.processors, &sealed.account)?
            .detach(&reference, client)
            .await;
        call.ended(detached.is_ok());
        Ok(detached?)
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

    /// Reads a token's metadata.
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
            TokenStatus::Active | TokenStatus::RequiresAction | TokenStatus::Deleting => {
                self.common
                    .witness_read(granted, Action::TokenRead, id.to_string())
                    .await?;
                Ok(token)
            }
            TokenStatus::Deleted => Err(Refusal::TokenDeleted),
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

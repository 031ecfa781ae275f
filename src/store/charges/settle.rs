//! Settling: what the processor says about a charge, written by whoever learned it.
//!
//! Knowledge needs no lease; it is compared with what the row says, and may come late, twice and
//! from several nodes. What cannot be true beside a final state is a contradiction: it is kept on
//! the charge, an operator is paged, and nothing else is changed.

use super::contradiction::{contradict, end_contradiction, is_of_another};
use super::proof::{self, forged, is_ordered};
use super::row::{self, ChargeRow, DeclineRow, DetailsRow, OperationRow, Row};
use crate::audit::Event;
use crate::clock::Timestamp;
use crate::store::alerts::{self, NewAlert};
use crate::store::connection::Connection;
use crate::store::events::record;
use crate::store::orders::quarantine;
use crate::store::outbox::{self, News};
use crate::store::owed::Lease;
use crate::store::parse::{Reading, one_row};
use crate::store::reviews;
use crate::store::sql::query;
use crate::store::{Failure, Store};
use crate::token::{Account, ChargeId, ChargeOperation, ChargeStatus, Environment};

/// What the processor said about a charge.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ChargeOutcome {
    /// Where it is in its life now.
    pub status: ChargeStatus,
    /// The processor's name of the payment.
    pub payment: Option<String>,
    /// How much was taken, exactly where it succeeded.
    pub captured: i64,
    /// Why it was declined, exactly where it was.
    pub decline: Option<DeclineRow>,
    /// Where the shopper authenticates, only where that is wanted.
    pub redirect_url: Option<String>,
    /// What the networks and the issuer said of it.
    pub details: DetailsRow,
    /// When to ask again, exactly where more is to come without us.
    pub retry_at: Option<Timestamp>,
    /// When that became known.
    pub at: Timestamp,
}

/// Makes what a change is announced by.
#[derive(Clone, Copy, Debug)]
pub struct Announce<P, A> {
    /// The event of a charge in its new state.
    pub publish: P,
    /// The alert that the processor contradicts a charge.
    pub alert: A,
}

/// Who settles.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Authority<'l> {
    /// The worker that holds the charge's lease.
    Holder(&'l Lease),
    /// Somebody who has looked at the payment.
    Observer,
    /// An operator who has what the processor says applied, against a final state of ours.
    Repair,
}

/// What an outcome is to a row.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(in crate::store) enum Compared {
    /// It says more.
    More,
    /// It says the same of the charge, and more of its payment.
    Details,
    /// It says the same, or what was so before.
    Nothing,
    /// Both cannot be true.
    Contradiction(&'static str),
}

impl Store {
    /// Writes down what the processor said, and publishes it. An outcome that the charge has
    /// already left behind changes nothing but the log; one that contradicts a final state is kept
    /// beside it. A repair applies it, and the contradiction is over.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    #[expect(
        clippy::too_many_arguments,
        reason = "who says it, of which charge, what, and how it is announced"
    )]
    pub async fn settle_charge<P, A>(
        &self,
        authority: Authority<'_>,
        (account, id): (&Account, ChargeId),
        outcome: ChargeOutcome,
        event: Event,
        announce: Announce<P, A>,
    ) -> Result<ChargeRow, Failure>
    where
        P: Fn(&ChargeRow) -> News + Clone + Send + Sync + 'static,
        A: Fn(&ChargeRow) -> NewAlert + Clone + Send + Sync + 'static,
    {
        let (environment, account) = (self.environment, account.clone());
        let (mine, repair) = match authority {
            Authority::Holder(lease) => (Some(lease.token()), false),
            Authority::Observer => (None, false),
            Authority::Repair => (None, true),
        };
        // What came late may have refunds by now that were made at the processor.
        let late = matches!(authority, Authority::Holder(lease) if lease.is_resumed());
        self.write(move |tx| {
            Box::pin(async move {
                let key = id.to_string();
                let reading = Reading::new("charges", &key, environment);
                let before = row::find_to_change(tx, environment, &account, &key).await?;
                let before = reading.found("id", before)?;
                // What nobody ordered is not settled, and nothing is published of it.
                if !is_ordered(tx, environment, &before) {
                    quarantine(tx, &forged(before.id), None).await?;
                    return Ok(before);
                }
                record(tx, event);
                let after = match compare(&before, &outcome) {
                    Compared::Details => {
                        add_details(tx, &before, &outcome).await?;
                        return retry_later(tx, environment, (&before, mine), &outcome).await;
                    }
                    Compared::Nothing => {
                        if is_of_another(&before, &outcome) {
                            end_contradiction(tx, &before, ANOTHER_PAYMENT, outcome.at).await?;
                        }
                        return retry_later(tx, environment, (&before, mine), &outcome).await;
                    }
                    Compared::Contradiction(code) => {
                        let known = contradict(tx, &before, code, outcome.at).await?;
                        let movable = code != ANOTHER_PAYMENT;
                        if !(repair && movable) {
                            let after = row::find(tx, environment, &account, &key).await?;
                            let after = reading.found("id", after)?;
                            if !known {
                                alerts::raise(tx, &(announce.alert)(&after)).await?;
                            }
                            return Ok(after);
                        }
                        settle(tx, environment, (&before, mine), (&outcome, repair)).await?
                    }
                    Compared::More => {
                        settle(tx, environment, (&before, mine), (&outcome, false)).await?
                    }
                };
                outbox::tell(tx, &(announce.publish)(&after)).await?;
                // A declined payment could still be confirmed at the processor: it is canceled there.
                let declined = after.status == ChargeStatus::Declined && after.payment.is_some();
                if declined || (late && after.status == ChargeStatus::Succeeded) {
                    reviews::request(tx, (&account, id), None, outcome.at).await?;
                }
                Ok(after)
            })
        })
        .await
    }

    /// Notes how the processor is about to be asked, before it is; every later question is the same.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn note_setup(&self, id: ChargeId, pending: bool) -> Result<(), Failure> {
        self.write(move |tx| {
            Box::pin(async move {
                let written = query(
                    "UPDATE charges
                        SET setup_pending = $2
                      WHERE id = $1 AND status = 'processing' AND setup_pending IS NULL",
                )
                .bind(id.to_string())
                .bind(pending)
                .execute(tx)
                .await?;
                one_row(written, "charges", &id)
            })
        })
        .await
    }
}

/// The contradiction that no repair may apply: the payment behind a charge is not exchanged.
const ANOTHER_PAYMENT: &str = "another_payment";

/// The order of a charge's life, against what is said of it now.
pub(in crate::store) fn compare(before: &ChargeRow, said: &ChargeOutcome) -> Compared {
    use ChargeStatus::{
        Canceled, Declined, Processing, RequiresAction, RequiresCapture, Succeeded,
    };
    use Compared::{Contradiction, Details, More, Nothing};
    if let (Some(known), Some(named)) = (&before.payment, &said.payment)
        && known != named
    {
        // One that is over and took nothing is none that anybody has to look for.
        return if matches!(said.status, Canceled | Declined) {
            Nothing
        } else {
            Contradiction(ANOTHER_PAYMENT)
        };
    }
    match (before.status, said.status) {
        (Succeeded, Succeeded) if before.captured != said.captured => {
            Contradiction("captured_amount_differs")
        }
        // The page on which the shopper authenticates may change.
        (RequiresAction, RequiresAction) if before.redirect_url != said.redirect_url => More,
        (Processing, Processing) if before.payment != said.payment && said.payment.is_some() => {
            More
        }
        // Without its payment this is only what was supposed before.
        (RequiresAction, Processing) if said.payment.is_none() => Nothing,
        (was, is) if was == is && says_more(&before.details, &said.details) => Details,
        (was, is) if was == is => Nothing,
        (Processing, _)
        | (RequiresCapture, Succeeded | Canceled)
        | (RequiresAction, Processing | Succeeded | RequiresCapture | Declined | Canceled) => More,
        (Canceled, Succeeded) => Contradiction("captured_after_canceled"),
        (Declined, Succeeded) => Contradiction("captured_after_declined"),
        (Succeeded, Canceled) => Contradiction("canceled_after_succeeded"),
        (Succeeded, Declined) => Contradiction("declined_after_succeeded"),
        (RequiresCapture, Declined) => Contradiction("declined_after_authorized"),
        // Said late: this is where the charge was before. Or no money is in it: a payment that is
        // given up after it was declined, or declined after it was given up.
        (_, Processing | RequiresAction)
        | (Succeeded | Canceled | Declined | RequiresCapture, RequiresCapture)
        | (Declined | Canceled, Canceled | Declined)
        | (Succeeded, Succeeded) => Nothing,
    }
}

/// Whether something is said that was not known. What is known already stays.
fn says_more(known: &DetailsRow, said: &DetailsRow) -> bool {
    let more = |known: &Option<String>, said: &Option<String>| known.is_none() && said.is_some();
    more(&known.network_transaction_id, &said.network_transaction_id)
        || more(&known.cvc_check, &said.cvc_check)
        || more(&known.postal_code_check, &said.postal_code_check)
}

/// Writes down what was said late of a payment whose charge stands as it stood. Whoever reads the
/// charge sees it; nothing has happened that would be announced.
async fn add_details(
    tx: &mut Connection,
    before: &ChargeRow,
    outcome: &ChargeOutcome,
) -> Result<(), Failure> {
    let details = &outcome.details;
    let written = query(
        "UPDATE charges
            SET network_transaction_id = COALESCE(network_transaction_id, $2),
                cvc_check = COALESCE(cvc_check, $3),
                postal_code_check = COALESCE(postal_code_check, $4),
                version = version + 1,
                updated_at_ms = $5
          WHERE id = $1",
    )
    .bind(before.id.to_string())
    .bind(details.network_transaction_id.as_deref())
    .bind(details.cvc_check.as_deref())
    .bind(details.postal_code_check.as_deref())
    .bind(outcome.at.unix_ms())
    .execute(tx)
    .await?;
    one_row(written, "charges", &before.id)
}

/// Whether another worker than `mine` holds the charge.
fn is_held_by_another(before: &ChargeRow, mine: Option<i64>, at: Timestamp) -> bool {
    let held = before.lease_until.is_some_and(|until| until > at);
    held && before.lease_token.is_some() && before.lease_token != mine
}

/// The lease of an open charge after an outcome: put off, or left to who has it.
fn lease_after(
    (before, mine): (&ChargeRow, Option<i64>),
    outcome: &ChargeOutcome,
) -> (Option<Timestamp>, Option<i64>) {
    if is_held_by_another(before, mine, outcome.at) {
        return (before.lease_until, before.lease_token);
    }
    match outcome.status {
        ChargeStatus::Processing => {
            let until = outcome.retry_at.or(before.lease_until);
            (until.or(Some(outcome.at)), None)
        }
        // Past a day only the processor's event ends it.
        ChargeStatus::RequiresAction => (outcome.retry_at, None),
        ChargeStatus::Succeeded
        | ChargeStatus::RequiresCapture
        | ChargeStatus::Declined
        | ChargeStatus::Canceled => (None, None),
    }
}

/// Whether the operation under way is still to be done after an outcome: only a cancellation is,
/// while the payment could take money yet.
fn is_still_to_do(before: &ChargeRow, outcome: &ChargeOutcome) -> bool {
    let cancels = |row: &OperationRow| row.operation == ChargeOperation::Cancel;
    before.operation.as_ref().is_some_and(cancels)
        && matches!(
            outcome.status,
            ChargeStatus::RequiresAction | ChargeStatus::RequiresCapture
        )
}

/// Writes the outcome. An operation is over when it has brought the charge to its end; a
/// contradiction, when it was repaired.
async fn settle(
    tx: &mut Connection,
    environment: Environment,
    (before, mine): (&ChargeRow, Option<i64>),
    (outcome, repair): (&ChargeOutcome, bool),
) -> Result<ChargeRow, Failure> {
    let key = before.id.to_string();
    let decline = outcome.decline.as_ref();
    let goes_on = is_still_to_do(before, outcome);
    let (until, token) = match outcome.status {
        _ if goes_on => (before.lease_until, before.lease_token),
        ChargeStatus::Processing | ChargeStatus::RequiresAction => {
            lease_after((before, mine), outcome)
        }
        ChargeStatus::Succeeded
        | ChargeStatus::RequiresCapture
        | ChargeStatus::Declined
        | ChargeStatus::Canceled => (None, None),
    };
    let (payment_proof, redirect_proof) =
        proof::of_outcome(tx.orders(), environment, (before, outcome))?;
    let details = &outcome.details;
    let row: Option<Row> = query(concat!(
        "UPDATE charges
            SET status = $2,
                payment = COALESCE(payment, $3),
                captured = $4,
                decline_code = $5,
                decline_advice = $6,
                decline_retryable = $7,
                redirect_url = $8,
                redirect_proof = $18,
                network_transaction_id = COALESCE($9, network_transaction_id),
                cvc_check = COALESCE($10, cvc_check),
                postal_code_check = COALESCE($11, postal_code_check),
                payment_proof = COALESCE(payment_proof, $17),
                security_code_token = CASE WHEN $2 = 'processing' THEN security_code_token END,
                operation = CASE WHEN $15 THEN operation END,
                operation_amount = NULL,
                contradiction = CASE WHEN $16 THEN NULL ELSE contradiction END,
                contradicted_at_ms = CASE WHEN $16 THEN NULL ELSE contradicted_at_ms END,
                lease_until_ms = $12,
                lease_token = $13,
                version = version + 1,
                updated_at_ms = $14
          WHERE id = $1
      RETURNING ",
        row::columns!()
    ))
    .bind(&key)
    .bind(outcome.status.name())
    .bind(outcome.payment.as_deref())
    .bind(outcome.captured)
    .bind(decline.map(|decline| decline.code.as_str()))
    .bind(decline.and_then(|decline| decline.advice.as_deref()))
    .bind(decline.map(|decline| decline.retryable))
    .bind(outcome.redirect_url.as_deref())
    .bind(details.network_transaction_id.as_deref())
    .bind(details.cvc_check.as_deref())
    .bind(details.postal_code_check.as_deref())
    .bind(until.map(Timestamp::unix_ms))
    .bind(token)
    .bind(outcome.at.unix_ms())
    .bind(goes_on)
    .bind(repair)
    .bind(payment_proof)
    .bind(redirect_proof)
    .optional(tx)
    .await?;
    let reading = Reading::new("charges", &key, environment);
    reading.found("status", row)?.read(environment)
}

/// Nothing new: an open charge is put off until it is asked about again, and one on which an
/// operation is under way stays leased.
async fn retry_later(
    tx: &mut Connection,
    environment: Environment,
    (before, mine): (&ChargeRow, Option<i64>),
    outcome: &ChargeOutcome,
) -> Result<ChargeRow, Failure> {
    let key = before.id.to_string();
    let waits = matches!(
        before.status,
        ChargeStatus::Processing | ChargeStatus::RequiresAction
    );
    let keep = !waits || before.operation.is_some() || before.status != outcome.status;
    let (until, token) = if keep {
        (before.lease_until, before.lease_token)
    } else {
        lease_after((before, mine), outcome)
    };
    let row: Option<Row> = query(concat!(
        "UPDATE charges
            SET lease_until_ms = $2, lease_token = $3
          WHERE id = $1
      RETURNING ",
        row::columns!()
    ))
    .bind(&key)
    .bind(until.map(Timestamp::unix_ms))
    .bind(token)
    .optional(tx)
    .await?;
    let reading = Reading::new("charges", &key, environment);
    reading.found("id", row)?.read(environment)
}

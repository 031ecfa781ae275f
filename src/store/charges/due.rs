//! Open charges that are due: whoever takes one has its lease.

use super::row::{self, ChargeRow};
use super::{authenticate, check, forged, sealed_of, was_asked_before};
use crate::audit::Event;
use crate::store::connection::Connection;
use crate::store::events::record;
use crate::store::orders::{self, Authentic};
use crate::store::owed::{self, Lease, Take};
use crate::store::parse::Reading;
use crate::store::sealed::{self, Kept, SealedRow};
use crate::store::{Failure, Store};
use crate::token::{Account, ChargeId, Environment, TokenStatus};

/// An open charge with the lease of it.
#[derive(Debug)]
pub struct DueCharge {
    /// The right to end it.
    pub lease: Lease,
    /// The charge.
    pub charge: Authentic<ChargeRow>,
    /// The sealed value of its token, where the payment is not known and must be asked for by it.
    pub sealed: Option<SealedRow>,
    /// As [`ChargeWork`](super::ChargeWork) has it.
    pub asked_before: bool,
}

/// Open charges that are the caller's until their leases run out.
#[derive(Debug, Default)]
pub struct DueCharges {
    /// Those that can be read.
    pub charges: Vec<DueCharge>,
    /// Those that do not mean anything, for the alarm: they are leased too, and stand in no
    /// other's way.
    pub unreadable: Vec<Failure>,
}

impl Store {
    /// A charge that somebody who may has ordered; one that nobody has is quarantined.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn ordered_charge(
        &self,
        account: &Account,
        id: ChargeId,
    ) -> Result<Option<Authentic<ChargeRow>>, Failure> {
        let (environment, account) = (self.environment, account.clone());
        self.write(move |tx| {
            Box::pin(async move {
                match row::find(tx, environment, &account, &id.to_string()).await? {
                    Some(charge) => authenticate(tx, environment, charge).await,
                    None => Ok(None),
                }
            })
        })
        .await
    }

    /// The value that an ordered charge is asked for with once more, with the event of its opening.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn sealed_for_charge(
        &self,
        charge: &Authentic<ChargeRow>,
        opened: Event,
    ) -> Result<Option<SealedRow>, Failure> {
        let (environment, charge) = (self.environment, ChargeRow::clone(charge));
        self.write(move |tx| {
            Box::pin(async move {
                let (account, token) = (&charge.account, charge.token);
                match sealed::find_to_charge(tx, environment, account, token).await? {
                    Kept::Sealed(sealed) if sealed.status != TokenStatus::Deleting => {
                        record(tx, opened);
                        Ok(Some(sealed))
                    }
                    Kept::Sealed(_) | Kept::Erased | Kept::Nowhere => Ok(None),
                }
            })
        })
        .await
    }

    /// Takes an account's charges about which the processor is to be asked and that nobody is
    /// working on, and writes for each value that will be opened the event of its opening.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn take_due_charges<E>(
        &self,
        take: Take,
        mut event_of: E,
    ) -> Result<DueCharges, Failure>
    where
        E: FnMut(&ChargeRow) -> Event + Clone + Send + Sync + 'static,
    {
        let environment = self.environment;
        if !self.is_due(&owed::CHARGES, &take).await? {
            return Ok(DueCharges::default());
        }
        self.write(move |tx| {
            Box::pin(async move {
                let mut due = DueCharges::default();
                for (id, lease) in owed::CHARGES.take(tx, &take).await? {
                    match open(tx, environment, (&id, &take.scope), &lease).await {
                        Ok(None) => {}
                        Ok(Some((charge, sealed))) => {
                            let mut asked_before = false;
                            if sealed.is_some() {
                                record(tx, event_of(&charge));
                                asked_before = was_asked_before(tx, environment, &charge).await?;
                            }
                            due.charges.push(DueCharge {
                                lease,
                                charge,
                                sealed,
                                asked_before,
                            });
                        }
                        Err(failure @ Failure::Inconsistent { .. }) => due.unreadable.push(failure),
                        Err(failure) => return Err(failure),
                    }
                }
                Ok(due)
            })
        })
        .await
    }
}

/// The charge that is due, where it was ordered; else it is set aside.
async fn open(
    tx: &mut Connection,
    environment: Environment,
    (id, scope): (&str, &str),
    lease: &Lease,
) -> Result<Option<(Authentic<ChargeRow>, Option<SealedRow>)>, Failure> {
    let reading = Reading::new("charges", id, environment);
    let account: Account = reading.account(scope.to_owned())?;
    let charge = row::find(tx, environment, &account, id).await?;
    let charge = reading.found("id", charge)?;
    let charge = match check(tx, environment, charge) {
        Ok(charge) => charge,
        Err(charge) => {
            let work = (&owed::CHARGES, scope, lease.token());
            orders::set_aside(tx, (id, work), &forged(charge)).await?;
            return Ok(None);
        }
    };
    let sealed = match charge.payment {
        Some(_) => None,
        None => Some(sealed_of(tx, environment, &charge).await?),
    };
    Ok(Some((charge, sealed)))
}

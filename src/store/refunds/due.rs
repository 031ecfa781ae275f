//! Open refunds that are due: whoever takes one has its lease.

use super::{RefundWork, earlier, proof, row};
use crate::store::charges;
use crate::store::connection::Connection;
use crate::store::orders;
use crate::store::owed::{self, Lease, Take};
use crate::store::parse::Reading;
use crate::store::{Failure, Store};
use crate::token::{Account, Environment};

/// Open refunds that are the caller's until their leases run out.
#[derive(Debug, Default)]
pub struct DueRefunds {
    /// Those that can be read.
    pub refunds: Vec<RefundWork>,
    /// Those that do not mean anything, for the alarm.
    pub unreadable: Vec<Failure>,
}

impl Store {
    /// Takes an account's refunds about which the processor is to be asked and that nobody is
    /// working on.
    ///
    /// # Errors
    /// As every operation: [`Failure`].
    pub async fn take_due_refunds(&self, take: Take) -> Result<DueRefunds, Failure> {
        if !self.is_due(&owed::REFUNDS, &take).await? {
            return Ok(DueRefunds::default());
        }
        let environment = self.environment;
        self.write(move |tx| {
            Box::pin(async move {
                let mut due = DueRefunds::default();
                for (id, lease) in owed::REFUNDS.take(tx, &take).await? {
                    match open(tx, environment, (&id, &take.scope), lease).await {
                        Ok(work) => due.refunds.extend(work),
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

async fn open(
    tx: &mut Connection,
    environment: Environment,
    (id, account): (&str, &str),
    lease: Lease,
) -> Result<Option<RefundWork>, Failure> {
    let reading = Reading::new("refunds", id, environment);
    let account: Account = reading.account(account.to_owned())?;
    let refund = row::find(tx, environment, &account, id).await?;
    let refund = reading.found("id", refund)?;
    let key = refund.charge.to_string();
    let charge = charges::find(tx, environment, &account, &key).await?;
    let charge = reading.found("charge_id", charge)?;
    match proof::check(tx, environment, (refund, charge)) {
        Ok((refund, charge)) => {
            let of = (&*refund, &charge);
            let asked_before = earlier::was_asked_before(tx, environment, of).await?;
            Ok(Some(RefundWork {
                lease,
                refund,
                charge,
                asked_before,
            }))
        }
        Err(forged) => {
            let work = (&owed::REFUNDS, account.as_str(), lease.token());
            orders::set_aside(tx, (id, work), &forged).await?;
            Ok(None)
        }
    }
}

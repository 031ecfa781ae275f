//! What the processor says against a charge: kept on its row while it is said.

use super::row::ChargeRow;
use super::settle::ChargeOutcome;
use crate::clock::Timestamp;
use crate::store::Failure;
use crate::store::connection::Connection;
use crate::store::parse::one_row;
use crate::store::sql::query;

/// Keeps that the processor contradicts a final state; whether that was known before.
pub(in crate::store) async fn contradict(
    tx: &mut Connection,
    before: &ChargeRow,
    code: &'static str,
    at: Timestamp,
) -> Result<bool, Failure> {
    if let Some(known) = &before.contradiction
        && known.code == code
    {
        return Ok(true);
    }
    let written = query(
        "UPDATE charges
            SET contradiction = $2,
                contradicted_at_ms = $3,
                version = version + 1,
                updated_at_ms = $3
          WHERE id = $1",
    )
    .bind(before.id.to_string())
    .bind(code)
    .bind(at.unix_ms())
    .execute(tx)
    .await?;
    one_row(written, "charges", &before.id)?;
    Ok(false)
}

/// Whether what is said is of another payment than the charge's own.
pub(super) fn is_of_another(before: &ChargeRow, said: &ChargeOutcome) -> bool {
    before.payment.is_some() && said.payment.is_some() && before.payment != said.payment
}

/// Takes back that the processor contradicts a charge in that way: it does not any more.
pub(in crate::store) async fn end_contradiction(
    tx: &mut Connection,
    before: &ChargeRow,
    code: &'static str,
    at: Timestamp,
) -> Result<(), Failure> {
    query(
        "UPDATE charges
            SET contradiction = NULL,
                contradicted_at_ms = NULL,
                version = version + 1,
                updated_at_ms = $3
          WHERE id = $1 AND contradiction = $2",
    )
    .bind(before.id.to_string())
    .bind(code)
    .bind(at.unix_ms())
    .execute(tx)
    .await?;
    Ok(())
}

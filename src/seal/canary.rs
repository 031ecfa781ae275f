//! Canaries: known values, sealed when a key comes into service, opened at each start.
//!
//! A process with the wrong key would otherwise learn of it at the first charge. It opens the
//! canary instead, and does not become ready.

use super::data_key::KekId;
use super::{Context, Opener, Refused, SealFailed, SealedValue, Sealer};
use crate::token::Environment;

const TABLE: &str = "key_canaries";
const COLUMN: &str = "sealed";
const SAYS: &[u8] = b"cloakroom/canary/v1";

/// A known value under a data key of its own, wrapped to the key-encryption key it vouches for.
#[derive(Clone, Debug)]
pub struct Canary {
    /// The key-encryption key it vouches for.
    pub kek: KekId,
    /// The known value.
    pub value: SealedValue,
}

impl Sealer {
    /// A canary for the store, to be written when this key comes into service.
    ///
    /// # Errors
    /// [`SealFailed`] when the provider gives no data key.
    pub async fn canary(&self) -> Result<Canary, SealFailed> {
        let kek = self.kek().clone();
        let value = self
            .seal_alone(&place(self.environment(), &kek), SAYS)
            .await?;
        Ok(Canary { kek, value })
    }
}

impl Opener {
    /// Shows that this process holds the key that `canary` vouches for.
    ///
    /// # Errors
    /// [`Refused`] where it is another key's canary, or does not open, or says another thing.
    pub async fn check_canary(&self, canary: &Canary) -> Result<(), Refused> {
        if !self.holds(&canary.kek) {
            return Err(Refused::Value);
        }
        let opened = self
            .open(
                &place(self.environment(), &canary.kek),
                &canary.value.sealed,
                &canary.value.data_key,
            )
            .await?;
        if opened.expose() == SAYS {
            Ok(())
        } else {
            Err(Refused::Value)
        }
    }
}

/// A canary belongs to no account.
fn place(environment: Environment, kek: &KekId) -> Context<'_> {
    Context {
        environment,
        account: "",
        table: TABLE,
        row: kek.as_str(),
        column: COLUMN,
        customer_ref: None,
        usage: "",
    }
}

//! Status: an operator looks at how the service is, and the audit log says who looked.

use super::grant::{Granted, StatusRead};
use super::{Internal, Refusal};
use crate::audit::Action;
use crate::store::StoreFigures;

impl Internal {
    /// The store's figures. Nothing of them is answered before the look is recorded.
    ///
    /// # Errors
    /// What the store refuses.
    pub async fn read_status(
        &self,
        granted: &Granted<StatusRead>,
    ) -> Result<StoreFigures, Refusal> {
        let figures = self.common.store.figures(self.common.now()).await?;
        self.common
            .witness_read(granted, Action::StatusRead, "*".to_owned())
            .await?;
        Ok(figures)
    }
}

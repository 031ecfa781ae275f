//! `[process]`: what the process gives up once it serves.

use figment::value::magic::RelativePathBuf;
use serde::Deserialize;

use crate::confinement::Insistence;
use crate::token::Environment;

/// What the process gives up once it serves.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessSettings {
    /// `require`: without Landlock and seccomp the process does not start. `prefer`: what the kernel
    /// has is used, and the rest is said. `off`: nothing is confined, which is said. Without it,
    /// `require` in the live environment and `prefer` in the test environment.
    pub confinement: Option<Insistence>,
    /// Files and directories that are read besides those that this configuration names: those of a
    /// PKCS#11 module, say.
    pub read_also: Vec<RelativePathBuf>,
    /// Directories that are written to besides the embedded database's.
    pub write_also: Vec<RelativePathBuf>,
    /// TCP ports that are connected to besides the processor's, the database's and the webhooks'.
    pub connect_ports_also: Vec<u16>,
}

impl ProcessSettings {
    /// How much is insisted on.
    #[must_use]
    pub fn insistence(&self, environment: Environment) -> Insistence {
        self.confinement.unwrap_or(match environment {
            Environment::Live => Insistence::Require,
            Environment::Test => Insistence::Prefer,
        })
    }
}

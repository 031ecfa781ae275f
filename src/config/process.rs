//! `[process]`: what the process gives up once it serves.

use figment::value::magic::RelativePathBuf;
use schemars::JsonSchema;
use serde::Deserialize;

use crate::confinement::Insistence;
use crate::token::Environment;

/// What the process gives up once it serves.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields, default)]
pub struct ProcessSettings {
    /// `require`: the process does not start without Landlock and seccomp. `prefer`: what the
    /// kernel has is used, and what is missing is reported. `off`: nothing is confined, and that is
    /// reported. Default: `require` in the live environment, `prefer` in the test environment.
    #[schemars(extend("x-default" = "by environment"))]
    pub confinement: Option<Insistence>,
    /// Further files and directories that may be read, for example those of a PKCS #11 module.
    #[schemars(with = "Vec<String>")]
    pub read_also: Vec<RelativePathBuf>,
    /// Further directories that may be written to.
    #[schemars(with = "Vec<String>")]
    pub write_also: Vec<RelativePathBuf>,
    /// Further TCP ports that may be connected to.
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

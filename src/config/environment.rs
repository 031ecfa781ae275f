//! `CLOAKROOM__SECTION__KEY`: overrides of the file, for containers.

use std::collections::BTreeSet;

use figment::providers::{Env, Serialized};
use figment::{Error, Figment};

use super::Config;

const PREFIX: &str = "CLOAKROOM__";
const SEPARATOR: &str = "__";

/// Reads a configuration of a file and the environment. A variable has no type: `7` is read as a
/// number first, and as the text that it is where the key takes a text (a node, an account).
pub(super) fn extract(file: Figment) -> Result<Config, Box<Error>> {
    let mut figment = file.merge(Env::prefixed(PREFIX).split(SEPARATOR));
    let mut as_text = BTreeSet::new();
    loop {
        let error = match figment.extract() {
            Ok(config) => return Ok(config),
            Err(error) => error,
        };
        let key = error.path.join(".");
        let text = text_of(&error.path).filter(|_| as_text.insert(key.clone()));
        let Some(text) = text else {
            return Err(error.into());
        };
        figment = figment.merge(Serialized::default(&key, text));
    }
}

/// What stands in the environment for a key.
fn text_of(path: &[String]) -> Option<String> {
    let name = PREFIX.to_owned() + &path.join(SEPARATOR).to_uppercase();
    Env::var(&name)
}

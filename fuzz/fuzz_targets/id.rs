//! Ids: what is read is written back the same, and belongs to the environment it was asked for.

#![no_main]

use cloakroom::token::{ChargeId, Environment, TokenId};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    for environment in [Environment::Test, Environment::Live] {
        if let Ok(id) = TokenId::parse(text, environment) {
            assert_eq!(id.to_string(), text);
            assert!(
                ChargeId::parse(text, environment).is_err(),
                "two kinds have one name"
            );
            let other = match environment {
                Environment::Test => Environment::Live,
                Environment::Live => Environment::Test,
            };
            assert!(
                TokenId::parse(text, other).is_err(),
                "an id is of both environments"
            );
        }
    }
});

//! The configuration: whatever the file says, it is taken or refused, and a capture process that is
//! taken holds nothing that opens.

#![no_main]

use cloakroom::config::Config;
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    if let Ok(config) = Config::parse(text) {
        assert!(config.capture.is_some() || config.internal.is_some());
        assert!(!config.accounts.is_empty());
        if config.internal.is_none() {
            assert!(config.keys.kek_private_file.is_none());
            assert!(config.keys.kek_passphrase_file.is_none());
            assert!(config.clients.is_empty() || config.webhooks.is_empty());
        }
    }
});

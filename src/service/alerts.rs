//! Who is told of alerts, with their secrets, out of a configuration.

use std::sync::Arc;

use figment::value::magic::RelativePathBuf;

use super::Refused;
use super::assembly::secret_text;
use super::webhooks::secrets;
use crate::alerts::{Destination, MailSettings, Mailer};
use crate::config::{self, AlertWebhookSettings, Config};
use crate::webhooks::{Endpoint, Settings};

/// Milliseconds for one step of an exchange with the mail server.
const MAIL_STEP_TIMEOUT_MS: u32 = 10_000;

/// Every destination that the configuration names.
///
/// # Errors
/// [`Refused::Alerts`] says which one, and what is wrong with it.
pub fn destinations(config: &Config) -> Result<Vec<Destination>, Refused> {
    let webhooks = config.alerts.webhooks.iter().map(webhook);
    let mut destinations = webhooks.collect::<Result<Vec<_>, _>>()?;
    if let Some(settings) = &config.alerts.mail {
        let refuse = |reason: String| Refused::Alerts {
            name: "mail".to_owned(),
            reason,
        };
        let mailer = mailer(settings).map_err(refuse)?;
        for to in &settings.to {
            let destination = Destination::mail(Arc::clone(&mailer), to);
            destinations.push(destination.map_err(|refused| refuse(refused.to_string()))?);
        }
    }
    Ok(destinations)
}

fn webhook(webhook: &AlertWebhookSettings) -> Result<Destination, Refused> {
    let refuse = |reason: String| Refused::Alerts {
        name: webhook.name.clone(),
        reason,
    };
    let settings = Settings {
        name: webhook.name.clone(),
        url: webhook.url.clone(),
        secrets: secrets(&webhook.secret_files).map_err(refuse)?,
        allow_private_addresses: webhook.allow_private_addresses,
        ca_file: webhook.ca_file.as_ref().map(RelativePathBuf::relative),
        request_timeout_ms: webhook.request_timeout_ms,
        connect_timeout_ms: webhook.connect_timeout_ms,
    };
    let endpoint = Endpoint::new(settings).map_err(|refused| refuse(refused.to_string()))?;
    Ok(Destination::Webhook(Box::new(endpoint)))
}

/// The mail server of a configuration.
///
/// # Errors
/// Says what is wrong with its settings.
pub fn mailer(mail: &config::MailSettings) -> Result<Arc<Mailer>, String> {
    let credentials = match (&mail.user, &mail.password_file) {
        (Some(user), Some(file)) => {
            let password = secret_text(&file.relative())?;
            Some((user.clone(), password.trim().to_owned().into()))
        }
        _ => None,
    };
    let settings = MailSettings {
        host: mail.host.clone(),
        port: mail.port,
        security: mail.security,
        credentials,
        ca_file: mail.ca_file.as_ref().map(RelativePathBuf::relative),
        from: mail.from.clone(),
        step_timeout_ms: MAIL_STEP_TIMEOUT_MS.min(mail.timeout_ms),
        timeout_ms: mail.timeout_ms,
    };
    let mailer = Mailer::new(settings).map_err(|refused| refused.to_string())?;
    Ok(Arc::new(mailer))
}

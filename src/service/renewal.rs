//! Certificates, authorities and revocation lists are replaced while the service runs.

use std::sync::Arc;
use std::time::Duration;

use figment::value::magic::RelativePathBuf;
use tokio::signal::unix::{SignalKind, signal};

use crate::audit::{Action, Outcome};
use crate::config::{CapturePlane, InternalPlane, OpsPlane};
use crate::http::PlaneName;
use crate::http::tls::{ClientFiles, Files, Live, Reload};
use crate::token::Environment;
use crate::vault::{self, Common};

/// Milliseconds between two looks at the files: so long a revocation takes without SIGHUP.
const LOOK_INTERVAL_MS: u64 = 1_000;

/// In the live environment, a certificate that no browser takes is not taken either.
pub(super) fn capture(plane: &CapturePlane, environment: Environment) -> Files {
    let host = plane.public_url.host_str().map(str::to_owned);
    Files {
        certificate: plane.certificate_file.relative(),
        private_key: plane.private_key_file.relative(),
        host: host.filter(|_| environment == Environment::Live),
        clients: None,
    }
}

pub(super) fn internal(plane: &InternalPlane) -> Files {
    Files {
        certificate: plane.certificate_file.relative(),
        private_key: plane.private_key_file.relative(),
        host: None,
        clients: Some(ClientFiles {
            ca: plane.client_ca_file.relative(),
            revocation_lists: plane
                .client_crl_files
                .iter()
                .map(RelativePathBuf::relative)
                .collect(),
            revoked: plane
                .revoked_clients_file
                .as_ref()
                .map(RelativePathBuf::relative),
        }),
    }
}

pub(super) fn ops(plane: &OpsPlane) -> Files {
    Files {
        certificate: plane.certificate_file.relative(),
        private_key: plane.private_key_file.relative(),
        host: None,
        clients: None,
    }
}

/// Looks at the files every second, and at once on SIGHUP.
pub(super) async fn forever(planes: Vec<(PlaneName, Arc<Live>)>, common: Common) {
    let mut hangup = match signal(SignalKind::hangup()) {
        Ok(hangup) => Some(hangup),
        Err(error) => {
            tracing::warn!(%error, "SIGHUP cannot be heard; files are still looked at every second");
            None
        }
    };
    loop {
        for (plane, live) in &planes {
            look(*plane, live, &common).await;
        }
        let pause = tokio::time::sleep(Duration::from_millis(LOOK_INTERVAL_MS));
        match &mut hangup {
            Some(hangup) => tokio::select! {
                _ = hangup.recv() => tracing::info!("SIGHUP: looking at the files of TLS"),
                () = pause => {}
            },
            None => pause.await,
        }
    }
}

async fn look(plane: PlaneName, live: &Live, common: &Common) {
    let outcome = match live.reload() {
        Reload::Unchanged => return,
        Reload::Renewed => {
            tracing::info!(plane = plane.name(), "the files of TLS are in force");
            Outcome::Success
        }
        Reload::Refused(reason) => {
            tracing::error!(
                plane = plane.name(),
                reason,
                "the files of TLS are not taken; what was in force still is"
            );
            Outcome::Refused
        }
    };
    common.metrics.tls_reloaded(plane, outcome.name());
    // What is in force is in force, whether or not the log takes the event: a revocation does not
    // wait for the database.
    let subject = Some(plane.name().to_owned());
    let event = common.event(&vault::process(), Action::TlsReloaded, outcome, subject);
    if let Err(failure) = common.store.record(event).await {
        tracing::error!(%failure, "the change of TLS files could not be recorded");
    }
}

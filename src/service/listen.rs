//! Puts each plane on its listener: its certificate, its clients, what it may see.

use std::io;
use std::net::{SocketAddr, TcpListener};
use std::sync::Arc;

use super::{Listeners, Refused, Service, renewal};
use crate::config::Config;
use crate::http::{self, Plane, PlaneName, health::Health, tls};
use crate::memory::Hardening;
use crate::vault::grant::{Client, Clients};

impl Service {
    pub(super) fn listen(
        &mut self,
        config: &Config,
        hardening: Hardening,
        listeners: Listeners,
    ) -> Result<(), Refused> {
        let capture = self.live(
            PlaneName::Capture,
            config
                .capture
                .as_ref()
                .map(|plane| renewal::capture(plane, config.environment)),
        )?;
        let internal = self.live(
            PlaneName::Internal,
            config.internal.as_ref().map(renewal::internal),
        )?;
        let ops = self.live(PlaneName::Ops, config.ops.as_ref().map(renewal::ops))?;
        let health = Arc::new(Health {
            common: self.common.clone(),
            capture: self.capture.clone(),
            internal: self.internal.clone(),
            tls: self.tls.clone(),
            hardening,
            metrics: self.common.metrics.clone(),
            drain: self.drain.clone(),
        });
        if let (Some(plane), Some(live), Some(vault)) = (&config.capture, capture, &self.capture) {
            let listener = bound(listeners.capture, plane.listen)?;
            self.addresses.capture = listener.local_addr().ok();
            let settings = self.plane(config, PlaneName::Capture, None);
            let tls = tls::server(&live)?;
            self.servers
                .push(http::capture(listener, tls, settings, Arc::clone(vault))?);
        }
        if let (Some(plane), Some(live), Some(vault)) = (&config.internal, internal, &self.internal)
        {
            let listener = bound(listeners.internal, plane.listen)?;
            self.addresses.internal = listener.local_addr().ok();
            let settings = self.plane(config, PlaneName::Internal, Some(Arc::clone(&live)));
            let tls = tls::server(&live)?;
            let (vault, health) = (Arc::clone(vault), Arc::clone(&health));
            self.servers
                .push(http::internal(listener, tls, settings, vault, health)?);
        }
        if let (Some(plane), Some(live)) = (&config.ops, ops) {
            let tls = tls::server(&live)?;
            let listener = bound(listeners.ops, plane.listen)?;
            self.addresses.ops = listener.local_addr().ok();
            let settings = self.plane(config, PlaneName::Ops, None);
            self.ops = Some(http::ops(listener, tls, settings, health)?);
        }
        Ok(())
    }

    /// Reads the TLS files of a plane that the configuration has.
    fn live(
        &mut self,
        plane: PlaneName,
        files: Option<tls::Files>,
    ) -> Result<Option<Arc<tls::Live>>, Refused> {
        let Some(files) = files else {
            return Ok(None);
        };
        let live = tls::Live::read(files, self.common.clock.clone())?;
        self.tls.push((plane, Arc::clone(&live)));
        Ok(Some(live))
    }

    fn plane(&self, config: &Config, name: PlaneName, client_tls: Option<Arc<tls::Live>>) -> Plane {
        let clients = match name {
            PlaneName::Internal => Clients::new(config.clients.iter().map(|client| Client {
                san: client.san.clone(),
                account: client.account.clone(),
                scopes: client.scopes.clone(),
            })),
            PlaneName::Capture | PlaneName::Ops => Clients::default(),
        };
        Plane {
            name,
            environment: self.common.environment,
            clock: self.common.clock.clone(),
            clients,
            client_tls,
            metrics: self.common.metrics.clone(),
            limits: config.limits.clone(),
            common: (name != PlaneName::Ops).then(|| self.common.clone()),
            drain: self.drain.clone(),
        }
    }
}

fn bound(
    listener: Option<io::Result<TcpListener>>,
    address: SocketAddr,
) -> Result<TcpListener, Refused> {
    listener
        .unwrap_or_else(|| TcpListener::bind(address))
        .map_err(|source| Refused::Listener { address, source })
}

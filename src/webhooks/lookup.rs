//! From a receiver's name to the addresses that a connection is made to.
//!
//! The check is here, where the addresses of this very connection pass through, and not before it:
//! a name that is asked twice may answer twice differently (DNS rebinding).

use std::future::Future;
use std::io;
use std::net::{IpAddr, SocketAddr};
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::vec;

use hyper_util::client::legacy::connect::dns::Name;
use tower_service::Service;

use super::address::is_public;

/// Asks for a name's addresses.
pub(super) type Ask = Arc<dyn Fn(String) -> Work<io::Result<Vec<IpAddr>>> + Send + Sync>;
pub(super) type Work<T> = Pin<Box<dyn Future<Output = T> + Send>>;

/// The resolver of one endpoint's connections.
#[derive(Clone)]
pub(super) struct Lookup {
    pub(super) ask: Ask,
    pub(super) allow_private_addresses: bool,
}

/// Why there is no address to connect to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, thiserror::Error)]
pub(super) enum NotLookedUp {
    #[error("the name has no address")]
    Unknown,
    #[error("the name has an address that is not public")]
    NotPublic,
}

/// Asks the system.
pub(super) fn system() -> Ask {
    Arc::new(|name| {
        Box::pin(async move {
            let addresses = tokio::net::lookup_host((name, 0)).await?;
            Ok(addresses.map(|address| address.ip()).collect())
        })
    })
}

impl Lookup {
    /// One address that is not public condemns the name: which of several a connection is made to
    /// depends on which of them answers.
    fn check(self, addresses: Vec<IpAddr>) -> Result<vec::IntoIter<SocketAddr>, NotLookedUp> {
        if addresses.is_empty() {
            return Err(NotLookedUp::Unknown);
        }
        if !self.allow_private_addresses && !addresses.iter().copied().all(is_public) {
            return Err(NotLookedUp::NotPublic);
        }
        // The connector puts the port of the URL in place of this one.
        let addresses = addresses.into_iter().map(|ip| SocketAddr::new(ip, 0));
        Ok(addresses.collect::<Vec<_>>().into_iter())
    }
}

impl Service<Name> for Lookup {
    type Response = vec::IntoIter<SocketAddr>;
    type Error = NotLookedUp;
    type Future = Work<Result<Self::Response, Self::Error>>;

    fn poll_ready(&mut self, _context: &mut Context<'_>) -> Poll<Result<(), Self::Error>> {
        Poll::Ready(Ok(()))
    }

    fn call(&mut self, name: Name) -> Self::Future {
        let this = self.clone();
        Box::pin(async move {
            let found = (this.ask)(name.as_str().to_owned()).await;
            this.check(found.map_err(|_| NotLookedUp::Unknown)?)
        })
    }
}

//! What is in force: a plane's certificate and key, and who is let in by certificate.
//!
//! The files are looked at every second, and at once on SIGHUP. What was read is put in the place
//! of what is in force only when all of it holds together: the key belongs to the certificate,
//! which is valid now. Otherwise what is in force stays, and readiness and the log say why.

use std::fmt;
use std::path::PathBuf;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, PoisonError, RwLock, RwLockReadGuard};
use std::time::Duration;

use rustls::pki_types::{CertificateDer, UnixTime};
use rustls::server::danger::ClientCertVerified;
use rustls::server::{ClientHello, ResolvesServerCert};
use rustls::sign::CertifiedKey;

use super::clients::Clients;
use super::files::{self, Refused};
use crate::clock::{Clock, Timestamp};
use crate::net::Stamp;

/// The files of a plane.
#[derive(Clone, Debug)]
pub struct Files {
    /// Certificate chain, PEM, the server's own first.
    pub certificate: PathBuf,
    /// Its private key, PEM, readable by its owner only.
    pub private_key: PathBuf,
    /// The host that callers know the plane by; a certificate that does not name it is not taken.
    /// Where none is configured, nobody knows.
    pub host: Option<String>,
    /// Who is let in; without it anybody is, and shows no certificate.
    pub clients: Option<ClientFiles>,
}

/// The files that say whose certificate is taken.
#[derive(Clone, Debug)]
pub struct ClientFiles {
    /// The authorities, PEM.
    pub ca: PathBuf,
    /// Their revocation lists, PEM.
    pub revocation_lists: Vec<PathBuf>,
    /// Names and certificates that are revoked by hand.
    pub revoked: Option<PathBuf>,
}

/// What is in force, and what it was read from.
pub struct Live {
    files: Files,
    clock: Clock,
    present: RwLock<Present>,
    /// Counts replacements, so that a connection knows that its certificate must be looked at again.
    generation: AtomicU64,
}

struct Present {
    stamp: Stamp,
    certified: Arc<CertifiedKey>,
    ends_at: Timestamp,
    clients: Option<Arc<Clients>>,
    /// Why the files as they are now were not taken.
    refused: Option<String>,
}

/// What a look at the files came to.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Reload {
    /// They are as they were.
    Unchanged,
    /// What they say is in force.
    Renewed,
    /// They do not hold together, and what was in force still is.
    Refused(String),
}

/// When something of a plane's TLS ends.
#[derive(Clone, Copy, Debug)]
pub struct Ends {
    /// The certificate.
    pub certificate: Timestamp,
    /// The first of the revocation lists, where there are any.
    pub revocation_lists: Option<Timestamp>,
}

impl Live {
    /// Reads the files for the first time.
    ///
    /// # Errors
    /// [`Refused`] names the file and what is wrong with it.
    pub fn read(files: Files, clock: Clock) -> Result<Arc<Self>, Refused> {
        let present = Present::read(&files, clock.now())?;
        Ok(Arc::new(Self {
            files,
            clock,
            present: RwLock::new(present),
            generation: AtomicU64::new(1),
        }))
    }

    /// Looks at the files, and takes what they say if they have changed and hold together.
    pub fn reload(&self) -> Reload {
        let stamp = Stamp::of(self.files.all());
        let is_as_read = {
            let present = self.present();
            // What was refused is read again: a certificate's time may have come meanwhile.
            present.stamp == stamp && present.refused.is_none()
        };
        if is_as_read {
            return Reload::Unchanged;
        }
        let read = Present::read(&self.files, self.clock.now());
        let mut present = self.present.write().unwrap_or_else(PoisonError::into_inner);
        match read {
            Ok(read) => {
                *present = read;
                drop(present);
                self.generation.fetch_add(1, Ordering::Release);
                Reload::Renewed
            }
            Err(refused) => {
                let why = Some(refused.to_string());
                let is_known = present.refused == why && present.stamp == stamp;
                present.stamp = stamp;
                present.refused = why;
                if is_known {
                    Reload::Unchanged
                } else {
                    Reload::Refused(refused.to_string())
                }
            }
        }
    }

    /// Whether callers must show a certificate.
    #[must_use]
    pub const fn asks_for_clients(&self) -> bool {
        self.files.clients.is_some()
    }

    /// How often what is in force was replaced, and once for the start.
    #[must_use]
    pub fn generation(&self) -> u64 {
        self.generation.load(Ordering::Acquire)
    }

    /// When what is in force ends.
    #[must_use]
    pub fn ends(&self) -> Ends {
        let present = self.present();
        Ends {
            certificate: present.ends_at,
            revocation_lists: present
                .clients
                .as_ref()
                .and_then(|clients| clients.lists_end_at),
        }
    }

    /// Why the files as they are now are not in force.
    #[must_use]
    pub fn refused(&self) -> Option<String> {
        self.present().refused.clone()
    }

    /// Whether the holder of this chain, the leaf first, is let in now.
    #[must_use]
    pub fn lets_in(&self, chain: &[CertificateDer<'static>]) -> bool {
        let seconds = u64::try_from(self.clock.now().unix_ms().div_euclid(1_000)).unwrap_or(0);
        let now = UnixTime::since_unix_epoch(Duration::from_secs(seconds));
        chain
            .split_first()
            .is_some_and(|(leaf, rest)| self.verify_client(leaf, rest, now).is_ok())
    }

    pub(super) fn verify_client(
        &self,
        end_entity: &CertificateDer<'_>,
        intermediates: &[CertificateDer<'_>],
        now: UnixTime,
    ) -> Result<ClientCertVerified, rustls::Error> {
        let clients = self.present().clients.clone();
        let clients = clients.ok_or_else(|| {
            rustls::Error::General("this plane takes no client certificates".to_owned())
        })?;
        clients.verify(end_entity, intermediates, now)
    }

    /// Nothing that holds this lock can leave it half-changed, so a poisoned lock is only a lock.
    fn present(&self) -> RwLockReadGuard<'_, Present> {
        self.present.read().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Files {
    fn all(&self) -> impl Iterator<Item = &PathBuf> {
        let clients = self.clients.iter().flat_map(|clients| {
            std::iter::once(&clients.ca)
                .chain(&clients.revocation_lists)
                .chain(&clients.revoked)
        });
        [&self.certificate, &self.private_key]
            .into_iter()
            .chain(clients)
    }
}

impl Present {
    fn read(files: &Files, now: Timestamp) -> Result<Self, Refused> {
        let stamp = Stamp::of(files.all());
        let chain = files::certificates(&files.certificate)?;
        let (starts_at, ends_at) = chain
            .first()
            .and_then(|first| files::validity(first))
            .ok_or_else(|| {
                Refused::unreadable(&files.certificate, "it is not an X.509 certificate")
            })?;
        if now < starts_at || now >= ends_at {
            return Err(Refused::unreadable(
                &files.certificate,
                format!(
                    "the certificate is valid from {} to {}, and not now",
                    starts_at.rfc3339(),
                    ends_at.rfc3339()
                ),
            ));
        }
        if let Some(host) = &files.host {
            files::require_host(&files.certificate, host)?;
        }
        let key = files::private_key(&files.private_key)?;
        let provider = rustls::crypto::aws_lc_rs::default_provider();
        // It also refuses a key that is not the certificate's.
        let certified = CertifiedKey::from_der(chain, key, &provider)
            .map_err(|error| Refused::unreadable(&files.private_key, error))?;
        let clients = files.clients.as_ref().map(Clients::read).transpose()?;
        Ok(Self {
            stamp,
            certified: Arc::new(certified),
            ends_at,
            clients: clients.map(Arc::new),
            refused: None,
        })
    }
}

impl ResolvesServerCert for Live {
    fn resolve(&self, _: ClientHello<'_>) -> Option<Arc<CertifiedKey>> {
        Some(Arc::clone(&self.present().certified))
    }
}

impl fmt::Debug for Live {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Live")
            .field("files", &self.files)
            .finish_non_exhaustive()
    }
}

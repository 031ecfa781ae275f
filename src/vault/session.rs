//! Capture sessions: a merchant backend asks for one, its shopper's browser spends it, on a card or on
//! the security code of a saved one.
//!
//! The client secret is shown once. The store keeps only a keyed hash of it, and a replay of the
//! same request shows it again because it is made, not drawn: an HMAC of the session's id under a
//! key that only the internal plane has.

use std::collections::BTreeMap;

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use serde::Serialize;
use zeroize::Zeroizing;

use super::grant::{Granted, Origin, Scope, SessionsCreate};
use super::idempotency::{IdempotencyKey, processor_key};
use super::{Capture, Internal, Refusal, Witness, presentation, processor_of};
use crate::audit::{Action, Actor, Outcome};
use crate::clock::Timestamp;
use crate::seal::mac::MacKey;
use crate::store::{Begun, Forged, NewSession, SessionBegun, SessionRow};
use crate::token::{SessionId, TokenId, Usage};

/// Between the session's id and its secret in a client secret.
const SECRET_MARK: &str = "_secret_";
/// The processor's customer of a session that vaults no card.
const NO_CUSTOMER: &str = "-";

/// What a merchant asks for.
#[derive(Clone, Debug, Serialize)]
pub struct SessionOrder {
    /// The merchant's own name for its customer.
    pub customer_ref: Option<String>,
    /// The origin of the page that will show the card form, as a browser spells it.
    pub origin: Option<String>,
    /// Seconds until the session expires.
    pub expires_in_s: u32,
    /// How the token is going to be charged.
    #[serde(serialize_with = "usage_name")]
    pub usage: Usage,
    /// Whether the merchant has verified the shopper for this session.
    pub shopper_verified: bool,
    /// The merchant's own notes.
    pub metadata: BTreeMap<String, String>,
    /// What the hosted page shows: the text of a JSON object. An order without one is the same as
    /// before there were such.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub presentation: Option<String>,
    /// The saved token whose security code it is to take. An order without one is the same as before
    /// there were such.
    #[serde(skip_serializing_if = "Option::is_none", serialize_with = "id_if_any")]
    pub security_code_of: Option<TokenId>,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde gives a reference")]
pub(super) fn usage_name<S: serde::Serializer>(usage: &Usage, to: S) -> Result<S::Ok, S::Error> {
    to.serialize_str(usage.name())
}

#[expect(clippy::ref_option, reason = "serde gives a reference")]
fn id_if_any<S: serde::Serializer>(id: &Option<TokenId>, to: S) -> Result<S::Ok, S::Error> {
    match id {
        Some(id) => to.collect_str(id),
        None => to.serialize_none(),
    }
}

/// A session with its secret, for the one answer that shows it.
pub struct Issued {
    /// The session.
    pub session: SessionRow,
    /// What the shopper's browser presents.
    pub client_secret: Zeroizing<String>,
    /// Whether an earlier request with the same key made it.
    pub replayed: bool,
}

impl std::fmt::Debug for Issued {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Issued")
            .field("session", &self.session.id)
            .finish_non_exhaustive()
    }
}

impl Internal {
    /// Opens a capture session.
    ///
    /// # Errors
    /// [`Refusal::IdempotencyMismatch`], or what the store or the processor refuses.
    #[tracing::instrument(name = "session.open", skip_all)]
    pub async fn open_session(
        &self,
        granted: &Granted<SessionsCreate>,
        order: SessionOrder,
        key: Option<&IdempotencyKey>,
    ) -> Result<Issued, Refusal> {
        let common = &self.common;
        let (account, customer) = (granted.account(), order.customer_ref.as_deref());
        if order.security_code_of.is_none() {
            common.admit_session(granted.client(), account, customer)?;
        }

        // 1. The same request again is answered from the row that it made the first time.
        let now = common.now();
        let id = SessionId::new(common.environment, now);
        let claim = key.map(|key| common.claim(granted, key, &order));
        if let Some(claim) = &claim {
            match common.store.find_session_claim(claim).await? {
                None => {}
                Some(begun) => return self.answered(begun, id).await,
            }
        }

        // 2. A session of a saved card is of its customer, whether that is named or not.
        let saved = match order.security_code_of {
            Some(token) => {
                let saved = self.saved_token(granted, token, customer).await?;
                common.admit_session(granted.client(), account, saved.customer_ref.as_deref())?;
                Some(saved)
            }
            None => None,
        };

        // 3. A reusable PaymentMethod needs a Customer; asking twice with one key makes one.
        //    A saved card has its customer already.
        let (customer_ref, usage, processor_customer) = match saved {
            None => {
                let customer = order.customer_ref.as_deref();
                let made = self.customer(granted, customer, &id.to_string()).await?;
                (order.customer_ref, order.usage, made)
            }
            Some(saved) => (saved.customer_ref, saved.usage, NO_CUSTOMER.to_owned()),
        };

        // 4. One transaction writes the session, its claim and its audit event.
        let secret = self.secret_of(id);
        let mut new = NewSession {
            id,
            account: granted.account().clone(),
            client: granted.client().to_owned(),
            customer_ref,
            processor_customer,
            origin: order.origin,
            usage,
            metadata: serde_json::to_string(&order.metadata).unwrap_or_default(),
            shopper_verified: order.shopper_verified,
            secret_mac: kept(&self.session_verify_key, &secret),
            owner_mac: [0; 32],
            presentation_mac: None,
            presentation: order.presentation,
            security_code_of: order.security_code_of,
            attempts_max: common.limits.session_attempts_max,
            created_at: now,
            expires_at: now.plus_s(order.expires_in_s),
        };
        new.presentation_mac = presentation::mac(&new, &self.session_verify_key);
        new.owner_mac = Ownership::new(&new).mac(&self.session_verify_key, &secret);
        let witness = Witness::of(granted);
        let subject = Some(id.to_string());
        let event = common.event(&witness, Action::SessionCreated, Outcome::Success, subject);
        let begun = common.store.begin_session(claim, new, event).await?;
        self.answered(begun, id).await
    }

    /// Reads a session, without its secret.
    ///
    /// # Errors
    /// [`Refusal::NotFound`] also for what belongs to another account, or was made by another
    /// client of this one.
    pub async fn read_session(
        &self,
        granted: &Granted<SessionsCreate>,
        id: SessionId,
    ) -> Result<SessionRow, Refusal> {
        let session = self.common.store.session(id).await?;
        let own = |session: &SessionRow| {
            session.account == *granted.account() && session.client == granted.client()
        };
        let session = session.filter(own).ok_or(Refusal::NotFound)?;
        self.common
            .witness_read(granted, Action::SessionRead, id.to_string())
            .await?;
        Ok(session)
    }

    async fn answered(&self, begun: SessionBegun, id: SessionId) -> Result<Issued, Refusal> {
        match begun {
            Begun::New(()) | Begun::Resumed(()) => {
                let session = self.common.store.session(id).await?;
                Ok(self.issued(session.ok_or(Refusal::Internal)?, false))
            }
            Begun::Replayed(session) => Ok(self.issued(*session, true)),
            Begun::InFlight => Err(Refusal::InFlight {
                retry_after_s: super::charge::RETRY_AFTER_S,
            }),
            Begun::Mismatch => Err(Refusal::IdempotencyMismatch),
            Begun::Refused(never) => match never {},
        }
    }

    /// The processor's Customer of a merchant's customer; a guest gets one under the name `guest`.
    pub(super) async fn customer<S: Scope>(
        &self,
        granted: &Granted<S>,
        customer_ref: Option<&str>,
        guest: &str,
    ) -> Result<String, Refusal> {
        let account = granted.account();
        if let Some(customer_ref) = customer_ref
            && let Some(known) = self
                .common
                .store
                .processor_customer(account, customer_ref)
                .await?
        {
            return Ok(known);
        }
        let owner = customer_ref.unwrap_or(guest);
        let parts = [account.as_str().as_bytes(), owner.as_bytes()];
        let key = processor_key(&self.session_issue_key.tag("processor customer", &parts));
        let call = self.common.metrics.processor_call("create_customer");
        let made = processor_of(&self.processors, account)?
            .create_customer(&key, granted.client())
            .await;
        call.ended(made.is_ok());
        let made = made?;
        match customer_ref {
            Some(customer_ref) => Ok(self
                .common
                .store
                .remember_customer(account, customer_ref, &made, self.common.now())
                .await?),
            None => Ok(made),
        }
    }

    fn issued(&self, session: SessionRow, replayed: bool) -> Issued {
        let client_secret = self.secret_of(session.id);
        Issued {
            session,
            client_secret,
            replayed,
        }
    }

    fn secret_of(&self, id: SessionId) -> Zeroizing<String> {
        let name = id.to_string();
        let secret = Zeroizing::new(
            self.session_issue_key
                .tag("session secret", &[name.as_bytes()]),
        );
        let text = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(secret.as_slice()));
        Zeroizing::new([&name, SECRET_MARK, &text].concat())
    }
}

/// What the store keeps of a client secret.
fn kept(verify_key: &MacKey, client_secret: &str) -> [u8; 32] {
    verify_key.tag("session secret check", &[client_secret.as_bytes()])
}

/// Whose session it is, and what for: what nobody who writes to the database may change.
struct Ownership<'a> {
    account: &'a str,
    client: &'a str,
    customer_ref: Option<&'a str>,
    processor_customer: &'a str,
    origin: Option<&'a str>,
    usage: &'a str,
    metadata: &'a str,
    shopper_verified: bool,
    expires_at: Timestamp,
    presentation: Option<&'a str>,
    security_code_of: Option<String>,
}

/// Both forms of a session have the same fields of these names.
macro_rules! ownership {
    ($session:expr) => {
        Ownership {
            account: $session.account.as_str(),
            client: &$session.client,
            customer_ref: $session.customer_ref.as_deref(),
            processor_customer: &$session.processor_customer,
            origin: $session.origin.as_deref(),
            usage: $session.usage.name(),
            metadata: &$session.metadata,
            shopper_verified: $session.shopper_verified,
            expires_at: $session.expires_at,
            presentation: $session.presentation.as_deref(),
            security_code_of: $session.security_code_of.map(|token| token.to_string()),
        }
    };
}

impl<'a> Ownership<'a> {
    fn new(session: &'a NewSession) -> Self {
        ownership!(session)
    }

    fn of(session: &'a SessionRow) -> Self {
        ownership!(session)
    }

    fn mac(&self, verify_key: &MacKey, client_secret: &str) -> [u8; 32] {
        self.with_parts(client_secret, |parts| verify_key.tag(OWNERSHIP, parts))
    }

    fn holds(&self, verify_key: &MacKey, client_secret: &str, mac: Option<&[u8]>) -> bool {
        self.with_parts(client_secret, |parts| {
            mac.is_some_and(|mac| verify_key.verify(OWNERSHIP, parts, mac))
        })
    }

    /// The client secret is one of them, and the database has never seen that.
    fn with_parts<T>(&self, client_secret: &str, run: impl FnOnce(&[&[u8]]) -> T) -> T {
        let given = |value: Option<&str>| [u8::from(value.is_some())];
        let (customer, origin) = (given(self.customer_ref), given(self.origin));
        let expires_at = self.expires_at.unix_ms().to_be_bytes();
        let verified = [u8::from(self.shopper_verified)];
        let mut parts: Vec<&[u8]> = vec![
            client_secret.as_bytes(),
            self.account.as_bytes(),
            self.client.as_bytes(),
            &customer,
            self.customer_ref.unwrap_or_default().as_bytes(),
            self.processor_customer.as_bytes(),
            &origin,
            self.origin.unwrap_or_default().as_bytes(),
            self.usage.as_bytes(),
            self.metadata.as_bytes(),
            &verified,
            &expires_at,
        ];
        // A session without one is bound as before there were such.
        parts.extend(self.presentation.map(str::as_bytes));
        // Two parts more, so that what is bound here is never taken for a presentation.
        if let Some(token) = &self.security_code_of {
            parts.extend([SECURITY_CODE.as_bytes(), token.as_bytes()]);
        }
        run(&parts)
    }
}

/// Before the token whose security code a session takes.
const SECURITY_CODE: &str = "security code of";

/// What a session's [`Ownership`] is tagged for.
const OWNERSHIP: &str = "session ownership 1";

/// The right to what a session is for, held by who presents its secret.
#[derive(Debug)]
pub struct Admitted {
    pub(crate) session: SessionRow,
    pub(crate) witness: Witness,
}

impl Admitted {
    /// The session.
    #[must_use]
    pub const fn session(&self) -> &SessionRow {
        &self.session
    }
}

impl Capture {
    /// Admits who presents a session's client secret. Whether the session can still be spent is
    /// decided when an attempt is claimed, in one statement, and not here.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`], the same for a secret that is malformed, unknown or wrong.
    pub async fn admit(&self, client_secret: &str, origin: Origin) -> Result<Admitted, Refusal> {
        const UNKNOWN: Refusal = Refusal::Unauthenticated("There is no such capture session.");
        let (id, _) = client_secret.split_once(SECRET_MARK).ok_or(UNKNOWN)?;
        let id = SessionId::parse(id, self.common.environment).map_err(|_| UNKNOWN)?;
        let session = self.common.store.session(id).await?.ok_or(UNKNOWN)?;
        let parts = [client_secret.as_bytes()];
        if !self
            .session_verify_key
            .verify("session secret check", &parts, &session.secret_mac)
        {
            return Err(UNKNOWN);
        }
        let ownership = Ownership::of(&session);
        let mac = session.owner_mac.as_deref();
        if !ownership.holds(&self.session_verify_key, client_secret, mac) {
            // Somebody would have the next card: nobody gets it.
            let forged = Forged {
                table: "sessions",
                row: id.to_string(),
            };
            self.common.store.report_forged(forged).await?;
            return Err(UNKNOWN);
        }
        let witness = Witness {
            actor: Actor::Session(id.to_string()),
            account: Some(session.account.clone()),
            origin: origin.address,
            request_id: Some(origin.request_id),
        };
        Ok(Admitted { session, witness })
    }
}

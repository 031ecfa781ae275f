//! Rights as values.
//!
//! A [`Granted<S>`] can be made only here, from a client that the configuration names and that
//! holds the scope `S`. Each verb and each handler that needs the right takes it first, so a
//! signature is its policy, and forgetting to check does not compile.

use std::collections::{BTreeSet, HashMap};
use std::fmt;
use std::marker::PhantomData;
use std::sync::Arc;

use crate::audit::Actor;
use crate::token::Account;

macro_rules! scopes {
    ($($(#[$doc:meta])* $scope:ident = $name:literal,)+) => {
        /// What a client may be granted; the names are those of the configuration.
        #[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, serde::Deserialize, schemars::JsonSchema)]
        pub enum ScopeName {
            $($(#[$doc])* #[serde(rename = $name)] $scope,)+
        }

        impl ScopeName {
            /// Every scope there is.
            pub const ALL: &[Self] = &[$(Self::$scope,)+];

            /// The name in the configuration: `charges:create`.
            #[must_use]
            pub const fn name(self) -> &'static str {
                match self { $(Self::$scope => $name,)+ }
            }
        }

        $(
            $(#[$doc])*
            #[derive(Clone, Copy, Debug)]
            pub enum $scope {}
            impl Scope for $scope {
                const NAME: ScopeName = ScopeName::$scope;
            }
        )+
    };
}

/// A scope as a type, so that a grant of one cannot pass for another.
pub trait Scope: 'static {
    /// Its name.
    const NAME: ScopeName;
}

scopes! {
    /// Make capture sessions.
    SessionsCreate = "sessions:create",
    /// Make tokens of what the browser vaulted at the processor itself.
    TokensAttach = "tokens:attach",
    /// Read what the world may know of a token.
    TokensRead = "tokens:read",
    /// Delete tokens.
    TokensDelete = "tokens:delete",
    /// Charge tokens, capture and cancel charges.
    ChargesCreate = "charges:create",
    /// Read charges and refunds.
    ChargesRead = "charges:read",
    /// Give money back.
    RefundsCreate = "refunds:create",
    /// Read the feed of what happened.
    EventsRead = "events:read",
    /// Read what anybody has reported.
    ReportsRead = "reports:read",
    /// Look at the status page.
    StatusRead = "status:read",
    /// Give a custodian's share.
    KeysUnseal = "keys:unseal",
    /// Read whether the keys are sealed.
    KeysStatus = "keys:status",
}

/// A client of the internal plane, as the configuration names it.
#[derive(Clone, Debug)]
pub struct Client {
    /// The subject alternative name of its certificate: its identity.
    pub san: String,
    /// The account to which all it makes belongs.
    pub account: Account,
    /// What it may do.
    pub scopes: BTreeSet<ScopeName>,
}

/// All clients, by the name in their certificates.
#[derive(Clone, Debug, Default)]
pub struct Clients(HashMap<String, Arc<Client>>);

impl Clients {
    /// The clients of a configuration; of two with one name the later stands, which the
    /// configuration refuses beforehand.
    pub fn new(clients: impl IntoIterator<Item = Client>) -> Self {
        Self(
            clients
                .into_iter()
                .map(|client| (client.san.clone(), Arc::new(client)))
                .collect(),
        )
    }

    /// The client whose certificate carries one of these names.
    #[must_use]
    pub fn find<'a>(&self, sans: impl IntoIterator<Item = &'a str>) -> Option<Arc<Client>> {
        sans.into_iter().find_map(|san| self.0.get(san)).cloned()
    }
}

/// Where a request came from, for the audit log (PCI DSS 10.2.2: origination of event).
#[derive(Clone, Debug)]
pub struct Origin {
    /// The peer's address, without its port.
    pub address: String,
    /// The id under which the answer names the request.
    pub request_id: String,
}

/// The right to `S`, held by a client for the time of one request.
pub struct Granted<S> {
    client: Arc<Client>,
    origin: Origin,
    scope: PhantomData<fn() -> S>,
}

impl<S: Scope> Granted<S> {
    /// Grants `S` to a client that holds it, and to nobody else.
    #[must_use]
    pub fn to(client: &Arc<Client>, origin: Origin) -> Option<Self> {
        client.scopes.contains(&S::NAME).then(|| Self {
            client: Arc::clone(client),
            origin,
            scope: PhantomData,
        })
    }

    /// The account in whose name the holder acts.
    #[must_use]
    pub fn account(&self) -> &Account {
        &self.client.account
    }

    /// The name of the holder.
    #[must_use]
    pub fn client(&self) -> &str {
        &self.client.san
    }

    /// The holder, as the audit log names it.
    #[must_use]
    pub fn actor(&self) -> Actor {
        Actor::Client(self.client.san.clone())
    }

    /// Where the request came from.
    #[must_use]
    pub const fn origin(&self) -> &Origin {
        &self.origin
    }
}

impl<S: Scope> fmt::Debug for Granted<S> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Granted({} to {})", S::NAME.name(), self.client.san)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn client(scopes: &[ScopeName]) -> Arc<Client> {
        Arc::new(Client {
            san: "spiffe://test/billing".into(),
            account: Account::try_from("default".to_owned()).unwrap(),
            scopes: scopes.iter().copied().collect(),
        })
    }

    fn origin() -> Origin {
        Origin {
            address: "127.0.0.1".into(),
            request_id: "req".into(),
        }
    }

    #[test]
    fn a_right_is_granted_only_to_who_holds_its_scope() {
        let billing = client(&[ScopeName::ChargesCreate]);
        assert!(Granted::<ChargesCreate>::to(&billing, origin()).is_some());
        assert!(Granted::<TokensDelete>::to(&billing, origin()).is_none());
    }

    #[test]
    fn a_client_is_found_by_exactly_its_name() {
        let clients = Clients::new([client(&[]).as_ref().clone()]);
        assert!(clients.find(["DNS:x", "spiffe://test/billing"]).is_some());
        assert!(clients.find(["spiffe://test/billing2"]).is_none());
        assert!(clients.find(["SPIFFE://test/billing"]).is_none());
    }
}

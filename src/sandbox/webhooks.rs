//! `/v1/webhook_endpoints`: who wants to be told what, and over which trusted connection.
//!
//! Stripe's wire form registers an endpoint whose certificate is issued by an authority of the
//! sandbox's settings; the control plane may bring an authority of its own with the endpoint.

use serde::Deserialize;
use serde_json::{Map, Value, json};
use url::Url;
use zeroize::Zeroizing;

use super::errors::Refusal;
use super::events;
use super::form::Form;
use super::ids;
use super::objects::{self, Object, found};
use super::post::Post;
use super::server::API_VERSION;
use super::state::{Bounded, Call, Outcome, State};

const SECRET_LETTERS: usize = 32;
/// As many endpoints as Stripe allows an account.
pub(super) const ENDPOINTS_MAX: usize = 16;

#[derive(Debug)]
pub(super) struct Endpoint {
    id: String,
    created_s: i64,
    pub(super) url: Url,
    pub(super) secret: Secret,
    enabled_events: Vec<String>,
    enabled: bool,
    description: Option<String>,
    metadata: Map<String, Value>,
    /// A connection with an authority of its own.
    pub(super) post: Option<Post>,
}

/// What events are signed with.
pub(super) struct Secret(pub(super) Zeroizing<String>);

impl std::fmt::Debug for Secret {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Secret(..)")
    }
}

/// An endpoint as the control plane registers it.
#[derive(Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Order {
    url: String,
    #[serde(default)]
    secret: Option<String>,
    /// PEM: the authorities that this endpoint's certificate may come from.
    #[serde(default)]
    ca_pem: Option<String>,
    #[serde(default)]
    enabled_events: Vec<String>,
}

impl State {
    /// The endpoints that want events of that kind.
    pub(super) fn wanting(&self, kind: &str) -> Vec<String> {
        self.endpoints
            .newest()
            .filter(|endpoint| endpoint.enabled)
            .filter(|endpoint| {
                let wanted = &endpoint.enabled_events;
                wanted.iter().any(|wanted| events::matches(wanted, kind))
            })
            .map(|endpoint| endpoint.id.clone())
            .collect()
    }
}

pub(super) fn create(state: &mut State, call: &Call<'_>) -> Outcome {
    let form = call.form;
    form.only(&[
        "url",
        "enabled_events",
        "description",
        "metadata",
        "api_version",
    ])?;
    let enabled_events = events_of(form)?;
    if enabled_events.is_empty() {
        return Err(Refusal::invalid("Missing required param: enabled_events.")
            .code("parameter_missing")
            .param("enabled_events"));
    }
    let endpoint = Endpoint {
        url: https(form.required("url")?)?,
        enabled_events,
        description: form.owned("description"),
        metadata: form.metadata()?,
        ..plain(call)?
    };
    register(state, endpoint)
}

/// An endpoint that the sandbox is started with.
pub(super) fn preset(
    state: &mut State,
    call: &Call<'_>,
    url: &str,
    secret: Zeroizing<String>,
) -> Outcome {
    let endpoint = Endpoint {
        url: https(url)?,
        secret: Secret(secret),
        enabled_events: vec!["*".to_owned()],
        ..plain(call)?
    };
    register(state, endpoint)
}

/// `POST /_sandbox/webhooks`.
pub(super) fn order(state: &mut State, call: &Call<'_>, order: Order) -> Outcome {
    let mut endpoint = Endpoint {
        url: https(&order.url)?,
        enabled_events: order.enabled_events,
        ..plain(call)?
    };
    if endpoint.enabled_events.is_empty() {
        endpoint.enabled_events = vec!["*".to_owned()];
    }
    if let Some(secret) = order.secret {
        endpoint.secret = Secret(Zeroizing::new(secret));
    }
    if let Some(pem) = order.ca_pem {
        let post = Post::trusting_pem(pem.as_bytes());
        let refused = || Refusal::invalid("ca_pem holds no certificate.").param("ca_pem");
        endpoint.post = Some(post.ok_or_else(refused)?);
    }
    register(state, endpoint)
}

/// `POST …/{id}`: another address, other events, on or off.
pub(super) fn update(state: &mut State, call: &Call<'_>) -> Outcome {
    let form = call.form;
    form.only(&[
        "url",
        "enabled_events",
        "disabled",
        "description",
        "metadata",
    ])?;
    let url = form.get("url").map(https).transpose()?;
    let enabled_events = events_of(form)?;
    let (disabled, metadata) = (form.flag("disabled")?, form.metadata()?);
    let endpoint = found::<Endpoint>(state, call.id)?;
    if let Some(url) = url {
        endpoint.url = url;
    }
    if !enabled_events.is_empty() {
        endpoint.enabled_events = enabled_events;
    }
    if let Some(disabled) = disabled {
        endpoint.enabled = !disabled;
    }
    let description = form.owned("description");
    endpoint.description = description.or_else(|| endpoint.description.take());
    endpoint.metadata.extend(metadata);
    Ok(endpoint.show())
}

pub(super) fn remove(state: &mut State, call: &Call<'_>) -> Outcome {
    found::<Endpoint>(state, call.id)?;
    state.endpoints.remove(call.id);
    Ok(json!({ "id": call.id, "object": Endpoint::NAME, "deleted": true }))
}

pub(super) fn list(state: &mut State, call: &Call<'_>) -> Outcome {
    objects::only_filters(call.form, &[])?;
    objects::page(state, call, "/v1/webhook_endpoints", |_: &Endpoint| true)
}

/// An endpoint that nobody has said anything of yet.
fn plain(call: &Call<'_>) -> Result<Endpoint, Refusal> {
    Ok(Endpoint {
        id: ids::new("we_1"),
        created_s: call.now_s(),
        url: https("https://localhost/")?,
        secret: Secret(Zeroizing::new(format!(
            "whsec_{}",
            ids::random(SECRET_LETTERS)
        ))),
        enabled_events: Vec::new(),
        enabled: true,
        description: None,
        metadata: Map::new(),
        post: None,
    })
}

fn register(state: &mut State, endpoint: Endpoint) -> Outcome {
    if state.endpoints.len() >= ENDPOINTS_MAX {
        return Err(Refusal::invalid(
            "You have reached the maximum of 16 webhook endpoints.",
        ));
    }
    let mut shown = endpoint.show();
    if let Some(fields) = shown.as_object_mut() {
        // Told once, as at Stripe.
        fields.insert("secret".to_owned(), endpoint.secret.0.as_str().into());
    }
    state.endpoints.insert(endpoint.id.clone(), endpoint);
    Ok(shown)
}

fn events_of(form: &Form) -> Result<Vec<String>, Refusal> {
    let kinds = form.listed("enabled_events");
    let is_kind = |kind: &&str| {
        kind.bytes()
            .all(|byte| byte.is_ascii_lowercase() || matches!(byte, b'.' | b'_' | b'*'))
    };
    if kinds.iter().all(is_kind) {
        Ok(kinds.into_iter().map(str::to_owned).collect())
    } else {
        Err(Refusal::invalid("Invalid enabled_events.").param("enabled_events"))
    }
}

/// An event may name a card's owner: never in clear.
fn https(text: &str) -> Result<Url, Refusal> {
    Url::parse(text)
        .ok()
        .filter(|url| url.scheme() == "https" && url.host_str().is_some())
        .ok_or_else(|| {
            Refusal::invalid("Invalid URL: webhook endpoints are reached over https.")
                .code("url_invalid")
                .param("url")
        })
}

impl Object for Endpoint {
    const NAME: &'static str = "webhook_endpoint";

    fn all(state: &State) -> &Bounded<Self> {
        &state.endpoints
    }

    fn all_mut(state: &mut State) -> &mut Bounded<Self> {
        &mut state.endpoints
    }

    fn id(&self) -> &str {
        &self.id
    }

    fn created_s(&self) -> i64 {
        self.created_s
    }

    fn show(&self) -> Value {
        json!({
            "id": self.id,
            "object": Self::NAME,
            "api_version": API_VERSION,
            "application": null,
            "created": self.created_s,
            "description": self.description,
            "enabled_events": self.enabled_events,
            "livemode": false,
            "metadata": self.metadata,
            "status": if self.enabled { "enabled" } else { "disabled" },
            "url": self.url.as_str(),
        })
    }
}

//! What the documents say beside what is made from the handlers: servers, tags, how a client proves
//! who it is, the names that a member may have, and the webhooks that are sent.
//!
//! A name that may come in later versions stands beside a plain string (`anyOf`), so that a generated
//! client of today reads it: an enumeration with an open tail.

use serde_json::{Value, json};
use utoipa::openapi::OpenApi;

use crate::problem::Code;
use crate::token::{ChargeStatus, RefundReason, RefundStatus, TokenStatus, Usage};

/// What is documented for whom.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Side {
    /// What browsers reach.
    Capture,
    /// What merchants' servers reach.
    Internal,
}

/// Tags, each with its paths and what it is about.
const TAGS: &[(&str, &str, &str)] = &[
    (
        "Capture sessions",
        "/v1/capture_sessions",
        "The right to take one card, given by a merchant's server to one shopper's browser.",
    ),
    (
        "Tokens",
        "/v1/tokens",
        "Cards at the processor, under opaque ids.",
    ),
    (
        "Security codes",
        "/v1/security_codes",
        "The code of a saved card, given again by its holder and good for one charge.",
    ),
    (
        "Charges",
        "/v1/charges",
        "Money taken from tokens, at once or authorized and captured later.",
    ),
    (
        "Refunds",
        "/v1/refunds",
        "Money given back, whole or in part.",
    ),
    (
        "Events",
        "/v1/events",
        "What happened, in order; webhooks carry the same.",
    ),
    (
        "Reports",
        "/v1/reports",
        "What anybody has reported of a security matter.",
    ),
    ("Keys", "/v1/keys", "Custodians open a sealed service."),
    (
        "Processor",
        "/webhooks",
        "What the processor posts to this service.",
    ),
    (
        "Service",
        "/",
        "Keys to verify receipts with, problems in words, the state of a process.",
    ),
];

/// What is sent of each kind of object.
const EVENTS: &[(&str, &str, &[&str])] = &[
    ("token", "Token", &["created", "updated", "deleted"]),
    ("dispute", "Dispute", &["opened", "updated", "closed"]),
];

/// The document of a side, finished.
pub(super) fn finished(document: &OpenApi, side: Side) -> Value {
    // What utoipa makes can be shown as JSON; the tests compare it with what is printed.
    let mut document = serde_json::to_value(document).unwrap_or_default();
    servers(&mut document, side);
    tags(&mut document);
    if let Some(schemas) = document.pointer_mut("/components/schemas") {
        names(schemas);
    }
    if side == Side::Internal {
        let scheme = json!({
            "type": "mutualTLS",
            "description": "A client certificate of the configured authority, whose name ([[clients]] san) has the operation's scope.",
        });
        put(
            &mut document,
            &["components", "securitySchemes", "client_certificate"],
            scheme,
        );
        put(
            &mut document,
            &["security"],
            json!([{ "client_certificate": [] }]),
        );
        webhooks(&mut document);
    }
    document
}

fn servers(document: &mut Value, side: Side) {
    let (host, description) = match side {
        Side::Capture => ("cards.example", "[capture] public_url"),
        Side::Internal => (
            "cloakroom.internal.example",
            "the address of [internal] listen",
        ),
    };
    let server = json!([{
        "url": "https://{host}",
        "description": description,
        "variables": { "host": { "default": host } },
    }]);
    put(document, &["servers"], server);
}

/// One tag for each operation, by its path, and those that are used in the document's list.
fn tags(document: &mut Value) {
    let mut used = Vec::new();
    for (path, operations) in document.get_mut("paths").into_iter().flat_map(members) {
        let Some(tag) = TAGS.iter().find(|(_, prefix, _)| path.starts_with(prefix)) else {
            continue;
        };
        used.push(tag.0);
        for (_, operation) in members(operations) {
            put(operation, &["tags"], json!([tag.0]));
            let description = operation.get("description").and_then(Value::as_str);
            let described = description.map(|text| text.replace("# Errors\n", "Errors: "));
            if let Some(described) = described {
                put(operation, &["description"], json!(described));
            }
        }
    }
    let used = TAGS.iter().filter(|(name, ..)| used.contains(name));
    let used =
        used.map(|(name, _, description)| json!({ "name": name, "description": description }));
    let used = Value::Array(used.collect());
    put(document, &["tags"], used);
}

/// Puts the names that a member may have beside its description.
fn names(schemas: &mut Value) {
    let of =
        |names: &[&str]| -> Vec<String> { names.iter().map(|&name| name.to_owned()).collect() };
    let statuses = TokenStatus::ALL.iter().map(|status| status.name());
    let statuses: Vec<_> = statuses.chain(["detached"]).collect();
    let charges: Vec<_> = ChargeStatus::ALL.iter().map(|of| of.name()).collect();
    let refunds: Vec<_> = RefundStatus::ALL.iter().map(|of| of.name()).collect();
    let reasons: Vec<_> = RefundReason::ALL.iter().map(|of| of.name()).collect();
    let usages: Vec<_> = Usage::ALL.iter().map(|of| of.name()).collect();
    let codes: Vec<_> = Code::ALL.iter().map(|code| code.name()).collect();
    let brands = [
        "visa",
        "mastercard",
        "amex",
        "discover",
        "diners",
        "jcb",
        "unionpay",
        "unknown",
    ];
    let open = [
        ("Token", "status", of(&statuses)),
        ("Token", "usage", of(&usages)),
        ("SessionStatus", "usage", of(&usages)),
        (
            "SessionStatus",
            "status",
            of(&["open", "completed", "expired", "exhausted"]),
        ),
        ("Card", "brand", of(&brands)),
        (
            "Card",
            "funding",
            of(&["credit", "debit", "prepaid", "unknown"]),
        ),
        ("Charge", "status", of(&charges)),
        ("Refund", "status", of(&refunds)),
        ("Refund", "reason", of(&reasons)),
        ("ProblemDocument", "code", of(&codes)),
        ("Event", "type", kinds().map(|(kind, _)| kind).collect()),
    ];
    for (schema, member, names) in open {
        let properties = schemas
            .get_mut(schema)
            .and_then(|of| of.get_mut("properties"));
        if let Some(member) = properties.and_then(|of| of.get_mut(member)) {
            open_tail(member, &names);
        }
    }
    for (_, schema) in members(schemas) {
        let properties = schema.get_mut("properties").into_iter();
        for (_, member) in properties.flat_map(members) {
            constant(member);
        }
    }
}

/// A string with known values, and any other that a later version may have.
fn open_tail(member: &mut Value, names: &[String]) {
    let Some(members) = member.as_object_mut() else {
        return;
    };
    let may_be_null = members.remove("type").is_some_and(|kind| kind.is_array());
    let mut choices = vec![
        json!({ "type": "string", "enum": names }),
        json!({ "type": "string" }),
    ];
    if may_be_null {
        choices.push(json!({ "type": "null" }));
    }
    members.insert("anyOf".to_owned(), Value::Array(choices));
}

/// "Always `x`." is a constant.
fn constant(member: &mut Value) {
    let described = member.get("description").and_then(Value::as_str);
    let value = described
        .unwrap_or_default()
        .strip_prefix("Always `")
        .and_then(|rest| rest.split_once("`."))
        .map(|(value, _)| value.to_owned());
    if let Some(value) = value {
        put(member, &["const"], json!(value));
    }
}

/// Every kind of event, with the schema of its data.
fn kinds() -> impl Iterator<Item = (String, &'static str)> {
    let charges = ChargeStatus::ALL
        .iter()
        .map(|status| (format!("charge.{}", status.name()), "Charge"));
    let refunds = RefundStatus::ALL
        .iter()
        .map(|status| (format!("refund.{}", status.name()), "Refund"));
    let others = EVENTS.iter().flat_map(|(of, schema, ends)| {
        ends.iter().map(move |end| (format!("{of}.{end}"), *schema))
    });
    others.chain(charges).chain(refunds)
}

/// The messages to `[[webhooks]]`, each with the type of its data.
fn webhooks(document: &mut Value) {
    let header = |name: &str, description: &str| {
        json!({
            "name": name, "in": "header", "required": true,
            "description": description, "schema": { "type": "string" },
        })
    };
    let headers = json!([
        header(
            "webhook-id",
            "The event's id, the same in every attempt: answer 2xx to one that you have handled."
        ),
        header(
            "webhook-timestamp",
            "The time of this attempt, in seconds since 1970."
        ),
        header(
            "webhook-signature",
            "Signatures (Standard Webhooks 1.0) separated by spaces: `v1,` HMAC-SHA256 or `v1a,` Ed25519, base64."
        ),
    ]);
    for (kind, data) in kinds() {
        let event = format!("{data}Event");
        let schema = json!({
            "description": format!("An event whose data is a {}.", data.to_lowercase()),
            "allOf": [
                { "$ref": "#/components/schemas/Event" },
                { "type": "object", "properties": { "data": { "$ref": format!("#/components/schemas/{data}") } } },
            ],
        });
        put(document, &["components", "schemas", &event], schema);
        let webhook = json!({ "post": {
            "operationId": format!("on_{}", kind.replace('.', "_")),
            "summary": format!("`{kind}`, to each endpoint of the account that takes it."),
            "tags": ["Events"],
            "security": [],
            "parameters": headers,
            "requestBody": { "required": true, "content": { "application/json": {
                "schema": { "$ref": format!("#/components/schemas/{event}") },
            } } },
            "responses": {
                "2XX": { "description": "Taken: it is not sent again." },
                "410": { "description": "The endpoint takes no more: nothing is sent to it until the sender's next start." },
            },
        } });
        put(document, &["webhooks", &kind], webhook);
    }
}

/// Puts a member into a document, with the objects on the way to it.
fn put(document: &mut Value, path: &[&str], member: Value) {
    let mut place = document;
    for name in path {
        let Some(members) = place.as_object_mut() else {
            return;
        };
        place = members.entry(*name).or_insert_with(|| json!({}));
    }
    *place = member;
}

/// The members of an object; of anything else, none.
fn members(value: &mut Value) -> impl Iterator<Item = (&String, &mut Value)> {
    value.as_object_mut().into_iter().flatten()
}

//! A request to the service that can be sent again, and how long its sender insists on an answer.

use hyper::Method;
use serde_json::Value;

use crate::support::{Answer, Who};

/// Whether a client comes back when it got no answer.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Patience {
    Insists,
    /// It dies with the request, so to say.
    AsksOnce,
}

/// A request that can be sent again.
#[derive(Clone, Debug)]
pub(crate) struct Call {
    pub(crate) who: Who,
    pub(crate) method: Method,
    pub(crate) path: String,
    pub(crate) key: Option<String>,
    /// The secret of a capture session.
    pub(crate) bearer: Option<String>,
    pub(crate) body: Value,
}

impl Call {
    pub(crate) fn post(who: Who, path: impl Into<String>, key: &str, body: Value) -> Self {
        Self {
            who,
            method: Method::POST,
            path: path.into(),
            key: Some(key.to_owned()),
            bearer: None,
            body,
        }
    }

    pub(crate) fn get(path: String) -> Self {
        Self {
            who: Who::Billing,
            method: Method::GET,
            path,
            key: None,
            bearer: None,
            body: Value::Null,
        }
    }

    pub(crate) fn delete(path: String) -> Self {
        Self {
            who: Who::Admin,
            method: Method::DELETE,
            path,
            key: None,
            bearer: None,
            body: Value::Null,
        }
    }

    /// For the timeline: what is asked, without a card and without a secret.
    pub(crate) fn show(&self) -> String {
        let key = self.key.as_deref().unwrap_or("-");
        let subject = self.body["charge"].as_str().or(self.body["token"].as_str());
        let amount = self.body["amount"].as_i64();
        let parts = [
            subject.map(ToOwned::to_owned),
            amount.map(|amount| amount.to_string()),
        ];
        let body: Vec<String> = parts.into_iter().flatten().collect();
        let (method, path) = (&self.method, &self.path);
        format!("{method} {path} key={key} {}", body.join(" "))
    }
}

/// For the timeline: what an answer says.
pub(crate) fn shown(answer: &Answer) -> String {
    let body = answer.json();
    let of = |name: &str| body[name].as_str().map(ToOwned::to_owned);
    // A problem's `status` is a number.
    let parts = [
        of("id"),
        of("charge"),
        of("status"),
        of("code"),
        of("detail"),
    ];
    let parts: Vec<String> = parts.into_iter().flatten().collect();
    let captured = body["amount_captured"].as_i64();
    let captured = captured.map_or_else(String::new, |captured| format!(" captured {captured}"));
    format!("{} {}{captured}", answer.status, parts.join(" "))
}

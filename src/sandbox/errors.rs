//! Stripe's error envelope.
//!
//! Messages are ours and short; they never repeat a value the caller sent, because that value
//! could be a card number in the wrong field.

use std::borrow::Cow;

use serde_json::{Value, json};

use super::declines::Decline;

/// An answer that is not a 200.
#[derive(Debug)]
pub(super) struct Refusal {
    pub(super) status: u16,
    pub(super) should_retry: Option<bool>,
    pub(super) retry_after_s: Option<u32>,
    /// Whether the endpoint had begun: its answer is kept under the key then.
    pub(super) began: bool,
    details: Box<Details>,
}

#[derive(Debug)]
struct Details {
    kind: &'static str,
    code: Option<&'static str>,
    decline: Option<&'static Decline>,
    message: Cow<'static, str>,
    param: Option<Cow<'static, str>>,
    charge: Option<String>,
    attached: Vec<(&'static str, Value)>,
}

impl Refusal {
    pub(super) fn new(
        status: u16,
        kind: &'static str,
        message: impl Into<Cow<'static, str>>,
    ) -> Self {
        Self {
            status,
            should_retry: None,
            retry_after_s: None,
            began: true,
            details: Box::new(Details {
                kind,
                code: None,
                decline: None,
                message: message.into(),
                param: None,
                charge: None,
                attached: Vec::new(),
            }),
        }
    }

    /// 400 `invalid_request_error`.
    pub(super) fn invalid(message: impl Into<Cow<'static, str>>) -> Self {
        Self::new(400, "invalid_request_error", message)
    }

    /// 400: what was sent is no request of that kind, and nothing was begun.
    pub(super) fn malformed(message: impl Into<Cow<'static, str>>) -> Self {
        let mut refusal = Self::invalid(message);
        refusal.began = false;
        refusal
    }

    /// 404: the object in the path does not exist.
    pub(super) fn missing(what: &'static str) -> Self {
        let mut refusal = Self::missing_parameter(what, what);
        refusal.status = 404;
        refusal
    }

    /// 400: the object named by a parameter does not exist.
    pub(super) fn missing_parameter(what: &'static str, param: &'static str) -> Self {
        Self::invalid(format!("No such {what}."))
            .code("resource_missing")
            .param(param)
    }

    /// 402 for a card that is wrong before any issuer is asked.
    pub(super) fn card(code: &'static str, param: &'static str, message: &'static str) -> Self {
        Self::new(402, "card_error", message)
            .code(code)
            .param(param)
    }

    /// 402 for a card that issuer or fraud rules refuse.
    pub(super) fn declined(decline: &'static Decline) -> Self {
        let mut refusal = Self::new(402, "card_error", decline.message).code(decline.code);
        refusal.details.decline = Some(decline);
        refusal
    }

    /// An answer of `status` that a test asked for.
    pub(super) fn staged(status: u16) -> Self {
        match status {
            429 => Self::new(
                429,
                "invalid_request_error",
                "Request rate limit exceeded.",
            )
            .code("rate_limit"),
            409 => Self::new(
                409,
                "invalid_request_error",
                "This object cannot be accessed right now because another API request or process is accessing it.",
            )
            .code("lock_timeout")
            .should_retry(true),
            400..=499 => Self::new(status, "invalid_request_error", "Staged by the sandbox."),
            _ => Self::new(status, "api_error", "Staged by the sandbox."),
        }
    }

    pub(super) fn code(mut self, code: &'static str) -> Self {
        self.details.code = Some(code);
        self
    }

    pub(super) fn param(mut self, param: impl Into<Cow<'static, str>>) -> Self {
        self.details.param = Some(param.into());
        self
    }

    pub(super) fn charge(mut self, id: Option<String>) -> Self {
        self.details.charge = id;
        self
    }

    /// Puts an object that the error is about beside it: `payment_intent`, `payment_method`.
    pub(super) fn with(mut self, name: &'static str, object: Value) -> Self {
        self.details.attached.push((name, object));
        self
    }

    pub(super) fn should_retry(mut self, should: bool) -> Self {
        self.should_retry = Some(should);
        self
    }

    /// The error without the envelope, as `last_payment_error` holds it.
    pub(super) fn to_json(&self, log_url: &str) -> Value {
        let Details {
            kind,
            code,
            decline,
            message,
            param,
            charge,
            attached,
        } = &*self.details;
        let mut error = json!({ "type": kind, "message": message });
        let mut put = |name: &str, value: Value| {
            if let Some(fields) = error.as_object_mut() {
                fields.insert(name.to_owned(), value);
            }
        };
        if let Some(code) = code {
            put("code", (*code).into());
        }
        if let Some(decline) = decline {
            put("decline_code", decline.reason.into());
            if let Some(advice) = decline.advice {
                put("advice_code", advice.into());
            }
        }
        if let Some(param) = param {
            put("param", param.as_ref().into());
        }
        if let Some(charge) = charge {
            put("charge", charge.as_str().into());
        }
        for (name, object) in attached {
            put(name, object.clone());
        }
        if !log_url.is_empty() {
            put("request_log_url", log_url.into());
        }
        error
    }
}

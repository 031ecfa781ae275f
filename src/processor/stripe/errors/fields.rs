//! What in our caller's request Stripe does not take: one table from its error codes
//! (<https://docs.stripe.com/error-codes>) and parameters to our own JSON pointers.
//!
//! What is not in the table is not blamed on the caller: it stays
//! [`Failure::Rejected`](crate::processor::Failure::Rejected).

use crate::processor::RequestFault;

/// Codes that say by themselves which field it is, and why.
const CODES: [(&str, &str, &str); 10] = [
    // Of a request of ours only the token of a security code is good once.
    ("token_already_used", "/security_code", "used"),
    ("amount_too_small", "/amount", "below_minimum"),
    ("amount_too_large", "/amount", "above_maximum"),
    ("invalid_charge_amount", "/amount", "invalid"),
    ("email_invalid", "/billing_details/email", "invalid"),
    (
        "country_code_invalid",
        "/billing_details/address/country",
        "invalid",
    ),
    (
        "country_unsupported",
        "/billing_details/address/country",
        "unsupported",
    ),
    (
        "postal_code_invalid",
        "/billing_details/address/postal_code",
        "invalid",
    ),
    (
        "state_unsupported",
        "/billing_details/address/state",
        "unsupported",
    ),
    ("currency_not_supported", "/currency", "unsupported"),
];

/// The parameter that names the security code of a charge.
const CVC_TOKEN: &str = "payment_method_options[card][cvc_token]";

/// Parameters that carry a field of our caller's, and the reason where the code says none.
const PARAMS: [(&str, &str, &str); 15] = [
    (CVC_TOKEN, "/security_code", "invalid"),
    ("currency", "/currency", "unsupported"),
    ("description", "/description", "invalid"),
    (
        "statement_descriptor_suffix",
        "/statement_descriptor_suffix",
        "invalid",
    ),
    ("metadata", "/metadata", "invalid"),
    ("billing_details[name]", "/billing_details/name", "invalid"),
    (
        "billing_details[email]",
        "/billing_details/email",
        "invalid",
    ),
    (
        "billing_details[phone]",
        "/billing_details/phone",
        "invalid",
    ),
    (
        "billing_details[address][line1]",
        "/billing_details/address/line1",
        "invalid",
    ),
    (
        "billing_details[address][line2]",
        "/billing_details/address/line2",
        "invalid",
    ),
    (
        "billing_details[address][city]",
        "/billing_details/address/city",
        "invalid",
    ),
    (
        "billing_details[address][state]",
        "/billing_details/address/state",
        "invalid",
    ),
    (
        "billing_details[address][postal_code]",
        "/billing_details/address/postal_code",
        "invalid",
    ),
    (
        "billing_details[address][country]",
        "/billing_details/address/country",
        "invalid",
    ),
    (
        "billing_details[address]",
        "/billing_details/address",
        "invalid",
    ),
];

/// What a code says about a parameter, where it says more than that it is wrong.
const REASONS: [(&str, &str); 6] = [
    ("invalid_characters", "invalid_characters"),
    ("parameter_invalid_empty", "empty"),
    ("parameter_invalid_string_blank", "empty"),
    ("parameter_invalid_string_empty", "empty"),
    ("string_too_long", "too_long"),
    ("too_many_metadata_keys", "too_many"),
];

/// The field of our caller's that a refusal is about.
pub(super) fn fault(code: Option<&str>, param: Option<&str>) -> Option<RequestFault> {
    by_code(code).or_else(|| by_param(code, param))
}

/// The field of a charge that names what Stripe does not know, or does not know any more.
pub(super) fn missing(param: Option<&str>) -> Option<RequestFault> {
    (param == Some(CVC_TOKEN)).then_some(RequestFault {
        pointer: "/security_code",
        reason: "used",
    })
}

/// The field that a code names by itself: such a code is about the request, whatever error it
/// comes in.
pub(super) fn by_code(code: Option<&str>) -> Option<RequestFault> {
    let code = code?;
    let row = CODES.iter().find(|(name, ..)| *name == code);
    row.map(|&(_, pointer, reason)| RequestFault { pointer, reason })
}

fn by_param(code: Option<&str>, param: Option<&str>) -> Option<RequestFault> {
    let param = name(param?)?;
    let row = PARAMS.iter().find(|(name, ..)| *name == param);
    let &(_, pointer, otherwise) = row?;
    let said = REASONS.iter().find(|(name, _)| Some(*name) == code);
    Some(RequestFault {
        pointer,
        reason: said.map_or(otherwise, |(_, reason)| reason),
    })
}

/// A parameter's name, when it is one: what stands in a name is the API's, but the names within
/// `metadata` are the merchant's, and go no further.
pub(super) fn name(param: &str) -> Option<&str> {
    const LENGTH_MAX: usize = 64;
    if param.starts_with("metadata") {
        return Some("metadata");
    }
    let plain = |letter: u8| matches!(letter, b'a'..=b'z' | b'0'..=b'9' | b'_' | b'[' | b']');
    let digits = param.bytes().filter(u8::is_ascii_digit).count();
    let is_name = (1..=LENGTH_MAX).contains(&param.len()) && param.bytes().all(plain);
    (is_name && digits <= 8).then_some(param)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_code_and_parameter_points_at_our_field() {
        for (code, param, expected) in [
            (
                Some("amount_too_small"),
                Some("amount"),
                "/amount below_minimum",
            ),
            (Some("amount_too_large"), None, "/amount above_maximum"),
            (None, Some("currency"), "/currency unsupported"),
            (None, Some("metadata"), "/metadata invalid"),
            (
                Some("too_many_metadata_keys"),
                Some("metadata"),
                "/metadata too_many",
            ),
            (None, Some("metadata[a]b"), "/metadata invalid"),
            (
                Some("token_already_used"),
                Some(CVC_TOKEN),
                "/security_code used",
            ),
            (None, Some(CVC_TOKEN), "/security_code invalid"),
            (
                Some("email_invalid"),
                Some("billing_details[email]"),
                "/billing_details/email invalid",
            ),
            (
                None,
                Some("billing_details[address][country]"),
                "/billing_details/address/country invalid",
            ),
            (
                Some("parameter_invalid_empty"),
                Some("billing_details[address][line2]"),
                "/billing_details/address/line2 empty",
            ),
            (
                Some("invalid_characters"),
                Some("statement_descriptor_suffix"),
                "/statement_descriptor_suffix invalid_characters",
            ),
        ] {
            let found = fault(code, param).map(|fault| fault.to_string());
            assert_eq!(found.as_deref(), Some(expected), "{code:?} {param:?}");
        }
    }

    #[test]
    fn what_is_not_in_the_table_is_nobodys_field() {
        for (code, param) in [
            (None, None),
            (Some("parameter_unknown"), Some("confirm")),
            (Some("payment_intent_unexpected_state"), None),
            (None, Some("payment_method")),
            (None, Some("customer")),
            // How much is left to be refunded is not a matter of form.
            (None, Some("amount")),
        ] {
            assert_eq!(fault(code, param), None, "{code:?} {param:?}");
        }
    }

    #[test]
    fn a_parameters_name_is_a_name_and_carries_nothing_of_the_merchants() {
        assert_eq!(
            name("billing_details[email]"),
            Some("billing_details[email]")
        );
        assert_eq!(name("metadata[4242424242424242]"), Some("metadata"));
        for text in [
            "",
            "two words",
            "card[4242424242424242]",
            "é",
            "A",
            &"a".repeat(65),
        ] {
            assert_eq!(name(text), None, "{text}");
        }
    }
}

//! What a merchant has the hosted page show: whose shop it is, for how much, and in which colours.
//!
//! It is stored as a text and read by the page's script alone, which takes of a theme what
//! `web/theme.js` knows. The same is refused here, so that a merchant hears of it.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

use super::charges::AMOUNT_MAX;
use super::checks::Checks;

/// Characters of a shop's name.
pub(super) const SHOP_NAME_CHARS_MAX: usize = 80;
/// Bytes of a colour, and of a list of fonts.
const COLOR_BYTES_MAX: usize = 64;
const FONTS_BYTES_MAX: usize = 120;

/// What the hosted page shows.
#[derive(Debug, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields)]
pub struct Presentation {
    /// Shown instead of the origin's host; at most 80 characters.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(min_length = 1, max_length = 80, example = "Little Theatre")]
    shop_name: Option<String>,
    /// What the shopper is about to pay, in the minor unit of ISO 4217; with `currency`. It is shown
    /// and not charged: the charge names its own. Without it the button saves a card.
    #[serde(
        default,
        deserialize_with = "super::integer::optional",
        skip_serializing_if = "Option::is_none"
    )]
    #[schema(minimum = 1, maximum = 999_999_999_999_i64, example = 1250)]
    amount: Option<i64>,
    /// ISO 4217 in lower case; with `amount`.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[a-z]{3}$", example = "eur")]
    currency: Option<String>,
    /// Whether the name on the card is asked for.
    #[serde(default)]
    ask_name: bool,
    /// Whether the postal code is asked for.
    #[serde(default)]
    ask_postal_code: bool,
    /// Whose postal codes they are: ISO 3166-1 alpha-2.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(pattern = "^[A-Z]{2}$", example = "DE")]
    country: Option<String>,
    /// Light or dark; the shopper's own choice when not said.
    #[serde(skip_serializing_if = "Option::is_none")]
    scheme: Option<Scheme>,
    /// As `theme` of the card form.
    #[serde(skip_serializing_if = "Option::is_none")]
    theme: Option<Theme>,
}

/// In which scheme a page is drawn.
#[derive(Clone, Copy, Debug, Deserialize, Serialize, ToSchema)]
#[serde(rename_all = "snake_case")]
pub enum Scheme {
    /// Dark on light.
    Light,
    /// Light on dark.
    Dark,
    /// As the shopper has set it.
    Auto,
}

/// The few looks that a merchant may choose: colours as CSS writes them, lengths in `px` or `rem`.
/// Nothing in it can load anything.
#[derive(Debug, Default, Deserialize, Serialize, ToSchema)]
#[serde(deny_unknown_fields, rename_all = "camelCase")]
pub struct Theme {
    /// Of the button and of what has the focus.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64, example = "#0a7d5a")]
    accent: Option<String>,
    /// Behind the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    background: Option<String>,
    /// Of the text.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    text: Option<String>,
    /// Of hints.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    muted: Option<String>,
    /// Of the fields' edges.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    border: Option<String>,
    /// Of what is wrong.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    error: Option<String>,
    /// Of what is done.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 64)]
    success: Option<String>,
    /// Of corners, to 24 px.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10, example = "8px")]
    radius: Option<String>,
    /// Between fields, to 32 px.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10)]
    gap: Option<String>,
    /// 12 to 24 px.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 10)]
    font_size: Option<String>,
    /// Fonts of the shopper's machine.
    #[serde(skip_serializing_if = "Option::is_none")]
    #[schema(max_length = 120)]
    font_family: Option<String>,
}

impl Presentation {
    /// Notes what is wrong with it.
    pub(super) fn check(&self, checks: &mut Checks) {
        checks.optional_text(
            "/presentation/shop_name",
            self.shop_name.as_deref(),
            SHOP_NAME_CHARS_MAX,
        );
        let amount = self.amount.unwrap_or(1);
        let in_range = (1..=AMOUNT_MAX).contains(&amount);
        checks.require(in_range, "/presentation/amount", "out_of_range");
        let missing = match (self.amount, &self.currency) {
            (None, Some(_)) => Some("/presentation/amount"),
            (Some(_), None) => Some("/presentation/currency"),
            (None, None) | (Some(_), Some(_)) => None,
        };
        if let Some(missing) = missing {
            checks.require(false, missing, "required");
        }
        let letters = |text: Option<&str>, count: usize, is_one: fn(&u8) -> bool| {
            text.is_none_or(|text| text.len() == count && text.bytes().all(|byte| is_one(&byte)))
        };
        let currency = letters(self.currency.as_deref(), 3, u8::is_ascii_lowercase);
        checks.require(currency, "/presentation/currency", "not_iso_4217");
        let country = letters(self.country.as_deref(), 2, u8::is_ascii_uppercase);
        checks.require(country, "/presentation/country", "not_iso_3166_alpha_2");
        if let Some(theme) = &self.theme {
            checks.require(theme.is_plain(), "/presentation/theme", "not_valid");
            let holds_card = theme.values().any(crate::card::scan::stored::contains);
            checks.require(!holds_card, "/presentation/theme", "card_number");
        }
    }

    /// As it is stored.
    pub(super) fn text(&self) -> String {
        serde_json::to_string(self).unwrap_or_default()
    }
}

impl Theme {
    fn colors(&self) -> [Option<&str>; 7] {
        [
            self.accent.as_deref(),
            self.background.as_deref(),
            self.text.as_deref(),
            self.muted.as_deref(),
            self.border.as_deref(),
            self.error.as_deref(),
            self.success.as_deref(),
        ]
    }

    fn others(&self) -> [Option<&str>; 4] {
        [
            self.radius.as_deref(),
            self.gap.as_deref(),
            self.font_size.as_deref(),
            self.font_family.as_deref(),
        ]
    }

    fn values(&self) -> impl Iterator<Item = &str> {
        self.colors().into_iter().chain(self.others()).flatten()
    }

    /// Whether each member is what `web/theme.js` takes.
    fn is_plain(&self) -> bool {
        let length = |value: &str, least: f64, most: f64| {
            pixels(value).is_some_and(|px| (least..=most).contains(&px))
        };
        let [radius, gap, font_size, fonts] = self.others();
        self.colors().into_iter().flatten().all(is_color)
            && radius.is_none_or(|value| length(value, 0.0, 24.0))
            && gap.is_none_or(|value| length(value, 0.0, 32.0))
            && font_size.is_none_or(|value| length(value, 12.0, 24.0))
            && fonts.is_none_or(are_fonts)
    }
}

/// What can be a colour and cannot load anything; whether it is one, the browser says.
fn is_color(value: &str) -> bool {
    const FORBIDDEN: [&str; 5] = ["url", "var", "env", "attr", "image"];
    let lower = value.to_ascii_lowercase();
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"#(),.%/ -".contains(&byte);
    (1..=COLOR_BYTES_MAX).contains(&value.len())
        && value.bytes().all(inside)
        && !FORBIDDEN.iter().any(|word| lower.contains(word))
}

fn are_fonts(value: &str) -> bool {
    let inside = |byte: u8| byte.is_ascii_alphanumeric() || b"_ ,\"'-".contains(&byte);
    (1..=FONTS_BYTES_MAX).contains(&value.len()) && value.bytes().all(inside)
}

/// A length of at most two digits before its point, in pixels of a browser that nobody has changed.
fn pixels(value: &str) -> Option<f64> {
    let (number, each) = match value.strip_suffix("rem") {
        Some(number) => (number, 16.0),
        None => (value.strip_suffix("px")?, 1.0),
    };
    let (whole, part) = number.split_once('.').unwrap_or((number, "0"));
    let digits = |text: &str, most: usize| {
        (1..=most).contains(&text.len()) && text.bytes().all(|byte| byte.is_ascii_digit())
    };
    let holds = digits(whole, 2) && digits(part, 4);
    Some(number.parse::<f64>().ok().filter(|_| holds)? * each)
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::{Value, json};

    fn refused(presentation: Value) -> Vec<String> {
        let presentation: Presentation = serde_json::from_value(presentation).unwrap();
        let mut checks = Checks::default();
        presentation.check(&mut checks);
        let Err(problem) = checks.verdict() else {
            return vec![];
        };
        let body: Value = serde_json::from_str(&problem.body("r")).unwrap();
        let errors = body["errors"].as_array().unwrap();
        let told = |error: &Value| {
            let at = error["pointer"].as_str().unwrap();
            let at = at.strip_prefix("/presentation/").unwrap();
            format!("{at} {}", error["reason"].as_str().unwrap())
        };
        errors.iter().map(told).collect()
    }

    #[test]
    fn what_a_page_can_show_is_taken() {
        for taken in [
            json!({}),
            json!({ "shop_name": "Bücher & Söhne", "amount": 1250, "currency": "eur" }),
            json!({ "amount": 1e3, "currency": "jpy", "country": "DE", "scheme": "dark" }),
            json!({ "theme": { "accent": "#0a7", "text": "rgb(1 2 3 / 40%)", "radius": "1.5rem",
                "gap": "0px", "fontSize": "12px", "fontFamily": "Inter, 'Open Sans', serif" } }),
        ] {
            assert_eq!(refused(taken.clone()), [""; 0], "{taken}");
        }
    }

    #[test]
    fn what_it_cannot_show_is_refused_at_its_place() {
        for (given, told) in [
            (json!({ "shop_name": "" }), "shop_name empty"),
            (json!({ "shop_name": "x".repeat(81) }), "shop_name too_long"),
            (
                json!({ "shop_name": "a\nb" }),
                "shop_name control_character",
            ),
            (
                json!({ "shop_name": "4242 4242 4242 4242" }),
                "shop_name card_number",
            ),
            (
                json!({ "amount": 0, "currency": "eur" }),
                "amount out_of_range",
            ),
            (json!({ "amount": 1 }), "currency required"),
            (json!({ "currency": "eur" }), "amount required"),
            (
                json!({ "amount": 1, "currency": "EUR" }),
                "currency not_iso_4217",
            ),
            (json!({ "country": "de" }), "country not_iso_3166_alpha_2"),
            (
                json!({ "theme": { "accent": "url(x)" } }),
                "theme not_valid",
            ),
            (
                json!({ "theme": { "accent": "red;x:y" } }),
                "theme not_valid",
            ),
            (json!({ "theme": { "radius": "25px" } }), "theme not_valid"),
            (json!({ "theme": { "radius": "8" } }), "theme not_valid"),
            (
                json!({ "theme": { "fontSize": "0.7rem" } }),
                "theme not_valid",
            ),
            (
                json!({ "theme": { "fontFamily": "url(x)" } }),
                "theme not_valid",
            ),
            (
                json!({ "theme": { "fontFamily": "4242424242424242" } }),
                "theme card_number",
            ),
        ] {
            assert_eq!(refused(given.clone()), [told], "{given}");
        }
        for unknown in [
            json!({ "logo": "https://evil.example/x.png" }),
            json!({ "theme": { "--x": "1" } }),
            json!({ "scheme": "sepia" }),
        ] {
            assert!(serde_json::from_value::<Presentation>(unknown).is_err());
        }
    }
}

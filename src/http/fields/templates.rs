//! The pages of the card form: one document each, with its script and its style in it, filled with
//! what the service knows of a session.

use std::sync::LazyLock;

use super::assets::{ASSETS, Asset};

const FORM: &str = include_str!("../../../web/form.html");

/// A page before it is filled, and what may run and style it.
#[derive(Debug)]
pub(super) struct Template {
    text: String,
    pub(super) scripts: Vec<&'static Asset>,
    pub(super) styles: Vec<&'static Asset>,
}

impl Template {
    /// Puts the script, the styles and the form where the page names them.
    fn of(page: &str) -> Self {
        let mut text = page
            .lines()
            .map(str::trim_start)
            .collect::<Vec<_>>()
            .join("\n")
            .replace("{{form}}", FORM);
        let (mut scripts, mut styles) = (Vec::new(), Vec::new());
        for asset in ASSETS.iter() {
            for (element, used) in [("script", &mut scripts), ("style", &mut styles)] {
                let place = format!("<{element}>{{{{{}}}}}</{element}>", asset.name);
                if text.contains(&place) {
                    let stands = format!("<{element}>{}</{element}>", asset.text);
                    text = text.replace(&place, &stands);
                    used.push(asset);
                }
            }
        }
        Self {
            text,
            scripts,
            styles,
        }
    }

    /// The page with the caller's values in their places, as text.
    fn filled(&self, values: &[(&str, &str)]) -> String {
        let mut page = self.text.clone();
        for (name, value) in values {
            page = page.replace(&["{{", name, "}}"].concat(), &escaped(value));
        }
        page
    }
}

macro_rules! template {
    ($name:literal) => {
        LazyLock::new(|| Template::of(include_str!(concat!("../../../web/", $name))))
    };
}

/// The frame.
pub(super) static FRAME: LazyLock<Template> = template!("frame.html");
/// The hosted page.
pub(super) static PAY: LazyLock<Template> = template!("pay.html");
/// The page of a charge.
pub(super) static CHARGE: LazyLock<Template> = template!("charge.html");
/// The way back from the issuer.
pub(super) static RETURN: LazyLock<Template> = template!("return.html");
/// What stands where there is no open session.
pub(super) static OVER: LazyLock<Template> = template!("over.html");

/// The frame, for a shop of that origin, in the scheme that its page is drawn in. With the brand of a
/// saved card it asks for the security code of that and nothing else.
pub(super) fn frame(origin: &str, scheme: &str, saved: &str) -> String {
    FRAME.filled(&[("origin", origin), ("scheme", scheme), ("saved", saved)])
}

/// The hosted page, with what the merchant has it show, a JSON object, and where its script reports.
pub(super) fn pay(origin: &str, session: &str, shown: &str, reports: &str) -> String {
    PAY.filled(&[
        ("origin", origin),
        ("host", host(origin)),
        ("session", session),
        ("shown", shown),
        ("reports", reports),
    ])
}

/// The page of a charge.
pub(super) fn charge(charge: &str) -> String {
    CHARGE.filled(&[("charge", charge)])
}

/// The way back to the shop.
pub(super) fn returning(to: &str, origin: &str, session: &str) -> String {
    RETURN.filled(&[("to", to), ("host", host(origin)), ("session", session)])
}

/// What stands where there is no open session.
pub(super) fn over() -> String {
    OVER.filled(&[])
}

fn host(origin: &str) -> &str {
    origin.split_once("://").map_or(origin, |(_, host)| host)
}

/// Text as markup shows it.
pub(in crate::http) fn escaped(text: &str) -> String {
    text.replace('&', "&amp;")
        .replace('<', "&lt;")
        .replace('>', "&gt;")
        .replace('"', "&quot;")
        .replace('\'', "&#39;")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_place_stays_empty_and_no_value_becomes_markup() {
        for page in [
            frame("https://shop.example", "dark", "amex"),
            pay(
                "https://shop.example",
                "cs_1",
                r#"{"shop_name":"\"><script>"}"#,
                "/fields/v1/reports?page=1",
            ),
            returning(
                "https://shop.example/?a=1&b=\"><script>",
                "https://shop.example",
                "cs_1",
            ),
            over(),
            charge("chg_1"),
        ] {
            assert!(!page.contains("{{"), "{page}");
            assert!(!page.contains("\"><script>"), "{page}");
        }
    }

    #[test]
    fn a_page_is_one_document_whose_script_ends_where_it_should() {
        for (template, scripts) in [
            (&FRAME, 1),
            (&PAY, 1),
            (&RETURN, 1),
            (&CHARGE, 1),
            (&OVER, 0),
        ] {
            let page = &template.text;
            assert_eq!(template.scripts.len(), scripts);
            assert!(!template.styles.is_empty());
            assert_eq!(page.matches("<script").count(), scripts);
            assert_eq!(page.matches("</script").count(), scripts);
            assert_eq!(page.matches("</style").count(), template.styles.len());
            for outside in [" src=", "stylesheet", "import {", "@import", "url(", "<!--"] {
                assert!(!page.contains(outside), "{outside}");
            }
        }
    }
}

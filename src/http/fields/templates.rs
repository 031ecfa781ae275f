//! The pages of the card form, filled with what the service knows: where its files are, their
//! hashes, and the shop's origin.

use super::assets::ASSETS;

const FRAME: &str = include_str!("../../../web/frame.html");
const PAY: &str = include_str!("../../../web/pay.html");
const RETURN: &str = include_str!("../../../web/return.html");
const OVER: &str = include_str!("../../../web/over.html");
const FORM: &str = include_str!("../../../web/form.html");

/// The frame, for a shop of that origin.
pub(super) fn frame(origin: &str) -> String {
    filled(FRAME, &[("origin", origin)])
}

/// The hosted page.
pub(super) fn pay(origin: &str, session: &str) -> String {
    filled(
        PAY,
        &[
            ("origin", origin),
            ("host", host(origin)),
            ("session", session),
        ],
    )
}

/// The way back to the shop.
pub(super) fn returning(to: &str, origin: &str, session: &str) -> String {
    filled(
        RETURN,
        &[("to", to), ("host", host(origin)), ("session", session)],
    )
}

/// What stands where there is no open session.
pub(super) fn over() -> String {
    filled(OVER, &[])
}

fn host(origin: &str) -> &str {
    origin.split_once("://").map_or(origin, |(_, host)| host)
}

/// Puts values in their places: those of files as they are, the caller's as text.
fn filled(template: &str, values: &[(&str, &str)]) -> String {
    let mut page = template
        .lines()
        .map(str::trim_start)
        .collect::<Vec<_>>()
        .join("\n")
        .replace("{{form}}", FORM)
        .replace("{{importmap}}", &ASSETS.import_map())
        .replace("{{base}}", &ASSETS.base());
    for asset in ASSETS.iter() {
        let place = ["{{", asset.name, "}}"].concat();
        page = page.replace(&place, &asset.integrity);
    }
    for (name, value) in values {
        page = page.replace(&["{{", name, "}}"].concat(), &escaped(value));
    }
    page
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
            frame("https://shop.example"),
            pay("https://shop.example", "cs_1"),
            returning(
                "https://shop.example/?a=1&b=\"><script>",
                "https://shop.example",
                "cs_1",
            ),
            over(),
        ] {
            assert!(!page.contains("{{"), "{page}");
            assert!(!page.contains("\"><script>"), "{page}");
        }
    }
}

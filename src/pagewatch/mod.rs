//! Watches payment pages for changes (PCI DSS 6.4.3 and 11.6.1): what scripts a page has, where its
//! forms and frames lead and which security headers it came with, held against a signed baseline.
//!
//! A page is read as it is served, and its scripts are fetched and hashed; nothing is executed. So
//! what a script adds to the page later is not seen here, only that the script has changed. That is
//! what the page's own Content-Security-Policy is for, whose loss is a difference here.

mod baseline;
mod fetch;
mod page;
#[cfg(test)]
mod tests;

pub use baseline::{Baseline, BaselineRefused, Difference};
pub use fetch::{Fetcher, Settings, Unreachable};
pub use page::{Page, Script};

use url::Url;

use page::Found;

/// Scripts of one page that are fetched.
const SCRIPTS_MAX: usize = 200;

/// A page, and what of it could not be had.
#[derive(Debug)]
pub struct Loaded {
    /// The page. A script that could not be had is in it by its source, and nothing is known of its
    /// bytes: a thief's host need not answer whoever watches.
    pub page: Page,
    /// Scripts that could not be had.
    pub unreachable: Vec<Unreachable>,
}

/// Loads a page with its scripts.
///
/// # Errors
/// [`Unreachable`]: the page itself cannot be had as it is, or is too large.
pub async fn load(fetcher: &Fetcher, url: &Url) -> Result<Loaded, Unreachable> {
    let served = fetcher.get(url).await?;
    let headers = page::security_headers(&served.headers);
    if served.is_script() {
        let scripts = vec![Script::new(url.as_str(), &served.body)];
        let page = Page::new(headers, scripts);
        let unreachable = Vec::new();
        return Ok(Loaded { page, unreachable });
    }
    let found = Found::read(&served.body, url);
    let mut scripts = found.inline;
    let mut unreachable = Vec::new();
    for (place, source) in found.sources.iter().enumerate() {
        let script = if place < SCRIPTS_MAX {
            fetcher.get(source).await
        } else {
            Err(Unreachable::new(source, &"is one script too many"))
        };
        scripts.push(match script {
            Ok(script) => Script::new(source.as_str(), &script.body),
            Err(why) => {
                unreachable.push(why);
                Script::unread(source.as_str())
            }
        });
    }
    let page = Page {
        frames: found.frames,
        forms: found.forms,
        ..Page::new(headers, scripts)
    };
    Ok(Loaded { page, unreachable })
}

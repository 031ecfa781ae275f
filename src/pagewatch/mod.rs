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

/// Loads a page with its scripts.
///
/// # Errors
/// [`Unreachable`]: the page or one of its scripts cannot be had as it is, or is too large.
pub async fn load(fetcher: &Fetcher, url: &Url) -> Result<Page, Unreachable> {
    let served = fetcher.get(url).await?;
    let headers = page::security_headers(&served.headers);
    if served.is_script() {
        let scripts = vec![Script::new(url.as_str(), &served.body)];
        return Ok(Page::new(headers, scripts));
    }
    let found = Found::read(&served.body, url);
    if found.sources.len() > SCRIPTS_MAX {
        return Err(Unreachable::new(url, &"has too many scripts"));
    }
    let mut scripts = found.inline;
    for source in &found.sources {
        let script = fetcher.get(source).await?;
        scripts.push(Script::new(source.as_str(), &script.body));
    }
    Ok(Page {
        frames: found.frames,
        forms: found.forms,
        ..Page::new(headers, scripts)
    })
}

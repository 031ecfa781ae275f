//! The page of a charge: a link that a merchant mails to a shopper whose issuer wants to see them,
//! and that holds after a try that failed.
//!
//! The link's secret is made, not drawn, as a session's is: the internal plane can make it again, the
//! database has only keyed hashes. All that the page shows is tagged under that secret, and so is
//! each answer, so that whoever writes to the database sends nobody to another bank.
//!
//! A payment is confirmed again only after the shopper has pressed the button, under a key that is
//! made of the charge's own and of the number of the question: it is the same payment, however often
//! it is asked for.

use base64::Engine as _;
use base64::prelude::BASE64_URL_SAFE_NO_PAD;
use url::Url;
use zeroize::Zeroizing;

use super::charge::RETRY_AFTER_S;
use super::{Capture, Internal, Refusal, process, processor_of};
use crate::audit::{Action, Outcome};
use crate::clock::Timestamp;
use crate::processor::{ChallengeOrder, Effect};
use crate::seal::mac::MacKey;
use crate::store::{
    Asked, Authentic, Authority, ChargeRow, Forged, NewPage, PAGE_QUESTIONS_MAX, PageAnswer,
    PageRow,
};
use crate::token::{ChargeId, ChargeStatus};

/// Between the charge's id and its page's secret in a link.
const SECRET_MARK: &str = "_secret_";
/// What the tags are of.
const SECRET: &str = "charge page secret 1";
const CHECK: &str = "charge page secret check 1";
const SHOWN: &str = "charge page 1";
const ANSWER: &str = "charge page answer 1";
/// Milliseconds after which a question that nobody has answered may be asked again.
const ANSWER_WAIT_MS: u64 = 15_000;
/// Milliseconds after the press for which the shopper is taken to be there: later nothing is
/// confirmed for them.
const PRESENT_MS: u64 = 60_000;
/// Milliseconds before a page's end in which nothing is confirmed any more: longer than a request to
/// the processor takes, so that no confirmation meets the charge's decline.
const LAST_CONFIRMATION_MS: u64 = 60_000;

/// What a merchant asks for with a charge.
#[derive(Clone, Debug, serde::Serialize)]
pub struct PageOrder {
    /// Who asks, as shown.
    pub shop_name: Option<String>,
    /// Seconds for which the shopper may try.
    pub expires_in_s: u32,
}

/// A charge's page, for the answer that made it.
#[derive(Clone)]
pub struct PageLink {
    /// Its address, with the secret behind the `#`.
    pub url: Zeroizing<String>,
    /// Until when it is shown.
    pub expires_at: Timestamp,
}

impl std::fmt::Debug for PageLink {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("PageLink(..)")
    }
}

/// What a page is told.
#[derive(Debug)]
pub struct PageState {
    /// What it shows, and what it was answered last.
    pub page: PageRow,
    /// Whether that answers what it has asked last.
    pub answered: bool,
}

/// What a page shows, as it is tagged.
struct Shown<'a> {
    charge: ChargeId,
    amount: i64,
    currency: &'a str,
    shop_name: Option<&'a str>,
    return_url: Option<&'a str>,
    expires_at: Timestamp,
}

impl Shown<'_> {
    fn with_parts<T>(&self, secret: &str, run: impl FnOnce(&[&[u8]]) -> T) -> T {
        let given = |value: Option<&str>| [u8::from(value.is_some())];
        run(&[
            secret.as_bytes(),
            self.charge.to_string().as_bytes(),
            &self.amount.to_be_bytes(),
            self.currency.as_bytes(),
            &given(self.shop_name),
            self.shop_name.unwrap_or_default().as_bytes(),
            &given(self.return_url),
            self.return_url.unwrap_or_default().as_bytes(),
            &self.expires_at.unix_ms().to_be_bytes(),
        ])
    }
}

fn with_answer<T>(
    secret: &str,
    (asked, status, redirect_url): (i64, &str, Option<&str>),
    run: impl FnOnce(&[&[u8]]) -> T,
) -> T {
    run(&[
        secret.as_bytes(),
        &asked.to_be_bytes(),
        status.as_bytes(),
        &[u8::from(redirect_url.is_some())],
        redirect_url.unwrap_or_default().as_bytes(),
    ])
}

impl Internal {
    /// The page that is written down with a charge.
    pub(super) fn new_page(
        &self,
        charge: ChargeId,
        order: &super::charge::ChargeOrder,
        now: Timestamp,
    ) -> Option<NewPage> {
        let wanted = order.hosted_page.as_ref()?;
        let secret = self.page_secret(charge);
        let shown = Shown {
            charge,
            amount: order.amount,
            currency: &order.currency,
            shop_name: wanted.shop_name.as_deref(),
            return_url: order.return_url.as_deref(),
            expires_at: now.plus_s(wanted.expires_in_s),
        };
        let key = &self.session_verify_key;
        Some(NewPage {
            shop_name: wanted.shop_name.clone(),
            expires_at: shown.expires_at,
            secret_mac: key.tag(CHECK, &[secret.as_bytes()]),
            shown_mac: shown.with_parts(&secret, |parts| key.tag(SHOWN, parts)),
        })
    }

    /// The link to a charge's page, where it has one.
    pub(crate) fn page_link(&self, charge: &ChargeRow) -> Option<PageLink> {
        let expires_at = charge.page_until?;
        let mut url = self.page_url(charge.id)?;
        url.set_fragment(Some(&self.page_secret(charge.id)));
        Some(PageLink {
            url: Zeroizing::new(url.into()),
            expires_at,
        })
    }

    /// The page's address, without the secret.
    pub(super) fn page_url(&self, charge: ChargeId) -> Option<Url> {
        let base = Url::parse(&self.return_url).ok()?;
        base.join(&format!("/pay/charges/{charge}")).ok()
    }

    fn page_secret(&self, charge: ChargeId) -> Zeroizing<String> {
        let name = charge.to_string();
        let secret = Zeroizing::new(self.session_issue_key.tag(SECRET, &[name.as_bytes()]));
        let text = Zeroizing::new(BASE64_URL_SAFE_NO_PAD.encode(secret.as_slice()));
        Zeroizing::new([&name, SECRET_MARK, &text].concat())
    }

    /// Answers what a charge's page has asked, in a review that has just written down how the payment
    /// stands: with the issuer's page, after the shopper has pressed the button. False where the
    /// processor is to be asked again.
    pub(super) async fn answer_page(
        &self,
        charge: &Authentic<ChargeRow>,
        known: ChargeRow,
    ) -> Result<(ChargeRow, bool), Refusal> {
        let Some(until) = charge.page_until else {
            return Ok((known, true));
        };
        let store = &self.common.store;
        let whose = (&charge.account, charge.id);
        let Some((asked, wanted, asked_at)) = store.page_question(whose).await? else {
            return Ok((known, true));
        };
        let now = self.common.now();
        let may_try = wanted == Asked::Challenge
            && now < asked_at.plus_ms(PRESENT_MS)
            && now.plus_ms(LAST_CONFIRMATION_MS) < until
            && known.status == ChargeStatus::RequiresAction
            && known.redirect_url.is_none()
            && known.operation.is_none();
        let known = if may_try {
            match self.challenge(charge, &known, asked).await? {
                Some(after) => after,
                None => return Ok((known, false)),
            }
        } else {
            known
        };
        let status = known.status.name();
        let redirect_url = known.redirect_url.clone();
        let said = (asked, status, redirect_url.as_deref());
        let key = &self.session_verify_key;
        let mac = with_answer(&self.page_secret(charge.id), said, |parts| {
            key.tag(ANSWER, parts)
        });
        let answer = PageAnswer {
            asked,
            status,
            redirect_url,
            mac,
        };
        store.answer_page(charge.id, answer).await?;
        Ok((known, true))
    }

    /// Confirms the payment once more, for a shopper who is there now; as it is `known` where its card
    /// was deleted. Nothing where the processor has not said what became of it.
    async fn challenge(
        &self,
        charge: &Authentic<ChargeRow>,
        known: &ChargeRow,
        asked: i64,
    ) -> Result<Option<ChargeRow>, Refusal> {
        let Some(payment) = charge.payment.as_deref() else {
            return Ok(None);
        };
        // What a custodian has not opened yet waits.
        self.require_unsealed()?;
        let common = &self.common;
        let subject = Some(charge.token.to_string());
        let opened = common.event(&process(), Action::TokenOpened, Outcome::Success, subject);
        let Some(sealed) = common.store.sealed_for_charge(charge, opened).await? else {
            return Ok(Some(known.clone()));
        };
        let reference = self.open(&sealed).await?;
        let return_url = self.way_back(charge);
        let key = format!("{}-challenge-{asked}", charge.processor_key);
        let order = ChallengeOrder {
            payment,
            return_url: &return_url,
            idempotency_key: &key,
            client: &charge.client,
        };
        let call = common.metrics.processor_call("challenge");
        let confirmed = processor_of(&self.processors, &charge.account)?
            .challenge(&reference, &order)
            .await;
        call.ended(confirmed.is_ok());
        let confirmed = match confirmed {
            Ok(confirmed) => confirmed,
            // It stands as it stood, or somebody else has moved it: that is read.
            Err(failure) if failure.effect() == Effect::Final => {
                tracing::warn!(charge = %charge.id, %failure, "a payment could not be confirmed again");
                match self.read_payment(charge, payment).await {
                    Ok(read) => read,
                    Err(_) => return Ok(None),
                }
            }
            Err(failure) => {
                tracing::warn!(charge = %charge.id, %failure, "a payment is to be confirmed again");
                return Ok(None);
            }
        };
        let outcome = self.outcome_of(confirmed, charge);
        let after = self
            .settled(&process(), Authority::Observer, charge, outcome)
            .await?;
        Ok(Some(after))
    }
}

impl Capture {
    /// What a charge's page is told that presents its link's secret, and asks something, or only
    /// whether it was answered.
    ///
    /// # Errors
    /// [`Refusal::Unauthenticated`], the same for a secret that is malformed, unknown, wrong or over.
    pub async fn ask_page(&self, secret: &str, asks: Option<Asked>) -> Result<PageState, Refusal> {
        const UNKNOWN: Refusal = Refusal::Unauthenticated("There is no such page.");
        let (id, _) = secret.split_once(SECRET_MARK).ok_or(UNKNOWN)?;
        let id = ChargeId::parse(id, self.common.environment).map_err(|_| UNKNOWN)?;
        let store = &self.common.store;
        let page = store.charge_page(id).await?.ok_or(UNKNOWN)?;
        let (key, now) = (&self.session_verify_key, self.common.now());
        if !key.verify(CHECK, &[secret.as_bytes()], &page.secret_mac) {
            return Err(UNKNOWN);
        }
        let page = self.authentic(secret, page).await?.ok_or(UNKNOWN)?;
        if page.expires_at <= now {
            return Err(UNKNOWN);
        }
        let page = match asks {
            Some(_) if page.asked >= PAGE_QUESTIONS_MAX => {
                let retry_after_s = RETRY_AFTER_S;
                return Err(Refusal::RateLimited { retry_after_s });
            }
            Some(asks) => {
                let asked = store.ask_for_page(id, asks, (ANSWER_WAIT_MS, now)).await?;
                // It was read anew, and somebody may have written to it meanwhile.
                let asked = asked.ok_or(UNKNOWN)?;
                self.authentic(secret, asked).await?.ok_or(UNKNOWN)?
            }
            None => page,
        };
        let answered = page.answered == page.asked && page.asked > 0;
        Ok(PageState { page, answered })
    }

    /// A page whose every part the internal plane has written; none where not, which is reported.
    async fn authentic(&self, secret: &str, page: PageRow) -> Result<Option<PageRow>, Refusal> {
        if is_authentic(&self.session_verify_key, secret, &page) {
            return Ok(Some(page));
        }
        let (table, row) = ("charge_pages", page.charge.to_string());
        let forged = Forged { table, row };
        self.common.store.report_forged(forged).await?;
        Ok(None)
    }
}

/// Whether what is shown, and what was answered, is what the internal plane has written.
fn is_authentic(key: &MacKey, secret: &str, page: &PageRow) -> bool {
    let shown = Shown {
        charge: page.charge,
        amount: page.amount,
        currency: &page.currency,
        shop_name: page.shop_name.as_deref(),
        return_url: page.return_url.as_deref(),
        expires_at: page.expires_at,
    };
    let is_shown = shown.with_parts(secret, |parts| key.verify(SHOWN, parts, &page.shown_mac));
    let Some(mac) = page.answer_mac.as_deref() else {
        return is_shown
            && page.answered == 0
            && page.status.is_none()
            && page.redirect_url.is_none();
    };
    let status = page.status.as_deref().unwrap_or_default();
    let said = (page.answered, status, page.redirect_url.as_deref());
    is_shown && with_answer(secret, said, |parts| key.verify(ANSWER, parts, mac))
}

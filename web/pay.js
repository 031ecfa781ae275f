/**
 * @file The hosted page: the same form on a page of our own, for shops that want no card field on
 * theirs. The session's secret comes in the fragment, which no server sees; it leaves the address
 * before anything else is done, and this tab keeps it until the card is taken, so that the page may
 * be loaded again.
 */
import { CardForm } from "./form.js";
import { money } from "./money.js";
import { report } from "./report.js";
import { keep, kept, take } from "./storage.js";

const root = document.documentElement;
const session = root.dataset["session"] ?? "";
const place = `cloakroom:${session}:secret`;
const given = location.hash.slice(1);
if (location.hash) history.replaceState(null, "", location.pathname + location.search);
if (given) keep(place, given);
const secret = given || (kept(place) ?? "");
/**
 * What the merchant has it show, checked by the service.
 * @type {{shop_name?: string, amount?: number, currency?: string, ask_name?: boolean, ask_postal_code?: boolean, country?: string, scheme?: string, theme?: Record<string, string>}}
 */
const shown = JSON.parse(root.dataset["shown"] ?? "{}");

/** @param {string} id */
const part = (id) => /** @type {HTMLElement} */ (document.getElementById(id));

const back = /** @type {HTMLAnchorElement} */ (part("back"));
const save = part("save");
const title = part("title");
const query = new URLSearchParams(location.search);
const home = new URL(root.dataset["origin"] ?? "");
const to = new URL(query.get("return") ?? "/", home);
const returnPath = to.origin === home.origin ? to.pathname + to.search : "/";
back.href = home.origin + returnPath;

report();

const form = new CardForm({
  submit: pay,
  change: () => {},
  dropped: () => {},
});
const locale = (query.get("locale") ?? navigator.language).slice(0, 35);
form.update({
  locale,
  scheme: shown.scheme ?? "auto",
  name: shown.ask_name === true,
  postalCode: shown.ask_postal_code === true,
  country: shown.country,
  theme: shown.theme ?? {},
});
title.textContent = document.title = form.texts.title;
save.textContent = form.texts.save;
if (shown.shop_name) part("shop").textContent = shown.shop_name;
if (shown.amount && shown.currency) {
  const amount = money(shown.amount, shown.currency, locale);
  part("amount").textContent = amount;
  part("amount").hidden = false;
  save.textContent = form.texts.pay.replace("{amount}", () => amount);
}
if (shown.theme?.["accent"]) write(save);
if (secret.startsWith(`${session}_secret_`)) {
  save.hidden = false;
  form.focus();
} else form.fail("go_back");

// Back from the issuer's page: what this page was in the middle of is over.
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());

/** Words on the merchant's colour: black or white, which of the two stands out more. @param {HTMLElement} button */
function write(button) {
  const parts = /^rgba?\((\d+), (\d+), (\d+)/.exec(getComputedStyle(button).backgroundColor);
  if (!parts) return;
  const linear = (/** @type {number} */ of) => {
    const part = Number(parts[of]) / 255;
    return part <= 0.04045 ? part / 12.92 : ((part + 0.055) / 1.055) ** 2.4;
  };
  const luminance = 0.2126 * linear(1) + 0.7152 * linear(2) + 0.0722 * linear(3);
  root.style.setProperty("--on-accent", luminance > 0.179 ? "#000" : "#fff");
}

let running = false;
async function pay() {
  if (running || save.hidden) return;
  running = true;
  save.setAttribute("aria-disabled", "true");
  try {
    const made = /** @type {import("./courier.js").Made} */ (await form.tokenize(secret, {}, returnPath));
    take(place);
    if (made.redirectUrl) {
      keep(`cloakroom:${session}`, made.token);
      location.assign(made.redirectUrl);
      return;
    }
    const done = new URL(back.href);
    done.searchParams.set("cloakroom_session", session);
    done.searchParams.set("cloakroom_token", made.token);
    location.replace(done);
  } catch (thrown) {
    const { code } = /** @type {import("./courier.js").Fault} */ (thrown);
    running = false;
    save.removeAttribute("aria-disabled");
    // Nothing but the shop can begin anew.
    if (["session_over", "too_many", "verification_required"].includes(code)) {
      take(place);
      save.hidden = true;
      form.fail("go_back");
    }
  }
}

/**
 * @file The hosted page: the same form on a page of our own, for shops that want no card field on
 * theirs. The session's secret comes in the fragment, which no server sees; it leaves the address
 * before anything else is done, and this tab keeps it until the card is taken, so that the page may
 * be loaded again.
 */
import { CardForm } from "./form.js";
import { keep, kept, take } from "./storage.js";

const root = document.documentElement;
const session = root.dataset["session"] ?? "";
const place = `cloakroom:${session}:secret`;
const given = location.hash.slice(1);
if (location.hash) history.replaceState(null, "", location.pathname + location.search);
if (given) keep(place, given);
const secret = given || (kept(place) ?? "");

const back = /** @type {HTMLAnchorElement} */ (document.getElementById("back"));
const save = /** @type {HTMLButtonElement} */ (document.getElementById("save"));
const title = /** @type {HTMLElement} */ (document.getElementById("title"));
const query = new URLSearchParams(location.search);
const home = new URL(root.dataset["origin"] ?? "");
const to = new URL(query.get("return") ?? "/", home);
const returnPath = to.origin === home.origin ? to.pathname + to.search : "/";
back.href = home.origin + returnPath;

/** A page that has a secret in its address names no place to report to: it reports by itself. */
let reported = 0;
document.addEventListener("securitypolicyviolation", ({ effectiveDirective, blockedURI, sourceFile }) => {
  if ((reported += 1) > 5) return;
  const report = { "effective-directive": effectiveDirective, "blocked-uri": blockedURI, "source-file": sourceFile };
  void fetch("/fields/v1/reports", {
    method: "POST",
    headers: { "Content-Type": "application/csp-report" },
    body: JSON.stringify({ "csp-report": report }),
    credentials: "omit",
  }).catch(() => {});
});

const form = new CardForm({
  submit: pay,
  change: () => {},
  dropped: () => {},
});
form.update({ locale: (query.get("locale") ?? navigator.language).slice(0, 35), scheme: "auto" });
title.textContent = document.title = form.texts.title;
save.textContent = form.texts.save;
if (secret.startsWith(`${session}_secret_`)) {
  save.hidden = false;
  form.focus();
} else form.fail("go_back");

// Back from the issuer's page: what this page was in the middle of is over.
addEventListener("pageshow", ({ persisted }) => persisted && location.reload());

let running = false;
async function pay() {
  if (running || save.hidden) return;
  running = true;
  save.setAttribute("aria-disabled", "true");
  try {
    const made = await form.tokenize(secret, {}, returnPath);
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

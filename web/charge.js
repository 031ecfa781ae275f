/**
 * @file The page of a charge that waits for its shopper: it says how the charge stands, and takes the
 * shopper to the issuer's page, as often as it takes. The link's secret comes in the fragment, which
 * no server sees; it leaves the address first, and this tab keeps it, because the issuer's page leads
 * back here.
 */
import { wordsOf } from "./charge_words.js";
import { money } from "./money.js";
import { report } from "./report.js";
import { keep, kept } from "./storage.js";

const root = document.documentElement;
const charge = root.dataset["charge"] ?? "";
const place = `cloakroom:${charge}:secret`;
const given = location.hash.slice(1);
const locale = (new URLSearchParams(location.search).get("locale") ?? navigator.language).slice(0, 35);
// What the processor adds to the way back goes too: it means nothing here.
history.replaceState(null, "", location.pathname);
if (given) keep(place, given);
const secret = given || (kept(place) ?? "");
report();

const REQUEST_MS = 20_000;
const POLL_MS = 700;
/** After that the shopper is told to try again. */
const ANSWER_MS = 30_000;

/** @typedef {{amount: number, currency: string, shop_name: string | null, back: string | null, answered: boolean, status: string | null, redirect_url: string | null}} Told */

/** @param {string} id */
const part = (id) => /** @type {HTMLElement} */ (document.getElementById(id));
const words = wordsOf(locale);
root.lang = words.lang;
root.dir = words.dir;
part("title").textContent = document.title = words.title;

/** @param {string} text @param {string} [button] */
function say(text, button) {
  part("say").textContent = text;
  part("go").textContent = button ?? "";
  part("go").hidden = !button;
  part("go").removeAttribute("aria-disabled");
}

/** @param {"look" | "challenge" | null} ask @returns {Promise<Told>} */
async function post(ask) {
  const answer = await fetch(location.pathname, {
    method: "POST",
    headers: { "Authorization": `Bearer ${secret}`, "Content-Type": "application/json" },
    body: JSON.stringify(ask ? { ask } : {}),
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
    signal: AbortSignal.timeout(REQUEST_MS),
  });
  if (answer.status === 401) throw new Error("gone");
  if (!answer.ok) throw new Error("unavailable");
  return answer.json();
}

/** Asks, and waits for the answer. @param {"look" | "challenge"} what @returns {Promise<Told>} */
async function asked(what) {
  const until = Date.now() + ANSWER_MS;
  let told = await post(what);
  show(told);
  while (!told.answered) {
    if (Date.now() > until) throw new Error("unavailable");
    await new Promise((resolve) => setTimeout(resolve, POLL_MS));
    told = await post(null);
  }
  return told;
}

/** @param {Told} told */
function show({ amount, currency, shop_name, back }) {
  part("amount").textContent = money(amount, currency, locale);
  part("shop").textContent = shop_name ?? "";
  if (!back) return;
  const link = /** @type {HTMLAnchorElement} */ (part("back"));
  link.href = back;
  link.textContent = shop_name ?? new URL(back).host;
  part("leave").hidden = false;
}

/** What is said of each state, and what can be done. @param {Told} told */
function state({ status, redirect_url }) {
  switch (status) {
    case "requires_action":
      return redirect_url ? say(words.asks, words.go) : say(words.unconfirmed, words.again);
    case "succeeded":
    case "requires_capture":
      return say(words.paid);
    case "processing":
      return say(words.pending);
    default:
      return say(words.over);
  }
}

/** @param {unknown} thrown @param {() => void} again */
function failed(thrown, again) {
  // Of money nothing is said: it may have been paid before the link ended.
  if (thrown instanceof Error && thrown.message === "gone") return say(words.gone);
  say(words.unavailable, words.again);
  part("go").onclick = again;
}

async function look() {
  say(words.wait);
  try {
    state(await asked("look"));
    part("go").onclick = go;
  } catch (thrown) {
    failed(thrown, look);
  }
}

let running = false;
async function go() {
  if (running) return;
  running = true;
  part("go").setAttribute("aria-disabled", "true");
  part("say").textContent = words.leaving;
  try {
    const told = await asked("challenge");
    if (told.redirect_url && /^https:\/\//.test(told.redirect_url)) return location.assign(told.redirect_url);
    state(told);
  } catch (thrown) {
    failed(thrown, go);
  }
  running = false;
}

addEventListener("pageshow", ({ persisted }) => persisted && location.reload());
if (secret.startsWith(`${charge}_secret_`)) void look();
else say(words.link);

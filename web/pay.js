/**
 * @file The hosted page: the same form on a page of our own, for shops that want no card field on
 * theirs. The session's secret comes in the fragment, which no server sees, and leaves the bar.
 */
import { CardForm } from "./form.js";

const root = document.documentElement;
const back = /** @type {HTMLAnchorElement} */ (document.getElementById("back"));
const save = /** @type {HTMLButtonElement} */ (document.getElementById("save"));
const session = root.dataset["session"] ?? "";
const query = new URLSearchParams(location.search);
const path = query.get("return") ?? "/";
const home = new URL(root.dataset["origin"] ?? "");
const to = new URL(path, home);
const returnPath = to.origin === home.origin ? to.pathname + to.search : "/";
back.href = home.origin + returnPath;

const secret = location.hash.slice(1);
history.replaceState(null, "", location.pathname + location.search);

const form = new CardForm({
  submit: pay,
  change: () => {},
  dropped: () => {},
});
await form.update({ locale: query.get("locale") ?? navigator.language, scheme: "auto" });
const texts = form.texts;
for (const id of ["title"]) (/** @type {HTMLElement} */ (document.getElementById(id))).textContent = texts.title;
document.title = texts.title;
save.textContent = texts.save;
save.hidden = false;
if (!secret.startsWith(`${session}_secret_`)) form.fail("session_over");
else form.focus();

let running = false;
async function pay() {
  if (running) return;
  running = true;
  save.setAttribute("aria-disabled", "true");
  try {
    const made = await form.tokenize(secret, {}, returnPath);
    if (made.redirectUrl) {
      sessionStorage.setItem(`cloakroom:${session}`, made.token);
      location.assign(made.redirectUrl);
      return;
    }
    const done = new URL(back.href);
    done.searchParams.set("cloakroom_session", session);
    done.searchParams.set("cloakroom_token", made.token);
    location.replace(done);
  } catch {
    // The form has said what is wrong.
    running = false;
    save.removeAttribute("aria-disabled");
  }
}

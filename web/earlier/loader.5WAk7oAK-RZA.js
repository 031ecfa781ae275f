const HOME = new URL(import.meta.url).origin;
const CONNECT_MS = 8000;
export class CardError extends Error {
constructor({ code, retryable = false, decline, field }) {
super(code);
this.name = "CardError";
this.code = code;
this.retryable = retryable;
this.decline = decline;
this.field = field;
}
}
const sessionOf = (secret) => /^((?:test_)?cs_\w{26})_secret_[\w-]{20,}$/.exec(secret)?.[1];
const here = () => {
const path = location.pathname + location.search;
return path.length <= 500 && path[1] !== "/" ? path : "/";
};
const shaped = (data) => (typeof data === "object" && data ? data : {});
export class Card {
#secret;
#options;
#frame;
#port;
#listeners = new Map();
#running;
#answer;
#id = 0;
#ready = false;
#timer = 0;
#hear = (event) => this.#meet(event);
#repaint = () => void this.update({});
#dark = matchMedia("(prefers-color-scheme: dark)");
constructor(secret, options) {
this.#secret = secret;
this.#options = options;
}
mount(target) {
const place = typeof target === "string" ? document.querySelector(target) : target;
if (!place) throw new TypeError(`No element matches ${target}`);
if (this.#frame?.isConnected) {
if (this.#frame.parentNode !== place) place.moveBefore ? place.moveBefore(this.#frame, null) : place.append(this.#frame);
return this;
}
const frame = (this.#frame = document.createElement("iframe"));
frame.src = `${HOME}/fields/v1/frame?session=${sessionOf(this.#secret)}`;
frame.title = this.#options["title"] ?? "Card";
frame.referrerPolicy = "no-referrer";
frame.style.cssText = "border:0;display:block;width:calc(100% + 8px);margin:-4px;height:160px;color:CanvasText";
addEventListener("message", this.#hear);
this.#await(1, CONNECT_MS);
frame.onload = () => this.#port || this.#await(0, 2000);
place.append(frame);
this.#dark.addEventListener("change", this.#repaint);
return this;
}
unmount() {
clearTimeout(this.#timer);
removeEventListener("message", this.#hear);
this.#dark.removeEventListener("change", this.#repaint);
this.#port?.close();
this.#frame?.remove();
this.#frame = this.#port = undefined;
this.#ready = false;
this.#answer?.({ fault: { code: "unmounted" } });
return this;
}
hide = () => this.#display("none");
show = () => this.#display("block");
clear = () => this.#send({ type: "clear" });
focus = () => (this.#frame?.focus(), this.#send({ type: "focus" }));
update(options) {
Object.assign(this.#options, options);
return this.#send({ type: "update", options: this.#wish(options) });
}
on(name, listener) {
const all = this.#listeners.get(name) ?? new Set();
this.#listeners.set(name, all.add(listener));
return () => void all.delete(listener);
}
tokenize(order = {}) {
return (this.#running ??= this.#tokenize(order).finally(() => (this.#running = undefined)));
}
async #tokenize({ billingDetails, returnPath = here(), redirect }) {
if (!this.#ready) throw new CardError({ code: "not_ready", retryable: true });
const id = (this.#id += 1);
const { made, fault } = await new Promise((resolve) => {
this.#answer = resolve;
this.#send({ type: "tokenize", id, billing: billingDetails, returnPath });
});
if (!made) throw new CardError(fault ?? { code: "unavailable" });
if (made.redirectUrl && redirect !== "manual") {
sessionStorage.setItem(`cloakroom:${sessionOf(this.#secret)}`, made.token);
location.assign(made.redirectUrl);
return new Promise(() => {});
}
return made;
}
#display(display) {
if (this.#frame) this.#frame.style.display = display;
return this;
}
#wish({ title, ...options }) {
const frame = this.#frame;
if (!frame) return options;
if (title) frame.title = title;
frame.style.colorScheme = "";
const drawn = getComputedStyle(frame).color === "rgb(0, 0, 0)" ? "light" : "dark";
const scheme = this.#options["scheme"] ?? drawn;
frame.style.colorScheme = scheme === "auto" ? "light dark" : scheme;
return { ...options, scheme };
}
#await(more, ms) {
clearTimeout(this.#timer);
this.#timer = setTimeout(() => {
if (!more) return this.#emit("error", new CardError({ code: "unavailable", retryable: true }));
if (this.#frame) this.#frame.src += "";
this.#await(0, ms);
}, ms);
}
#meet({ source, origin, data }) {
const frame = this.#frame;
if (!frame || source !== frame.contentWindow || origin !== HOME) return;
const { cloakroom, type, nonce } = shaped(data);
if (cloakroom !== 1 || type !== "hello" || typeof nonce !== "string") return;
const { port1, port2 } = new MessageChannel();
this.#port?.close();
this.#answer?.({ fault: { code: "unmounted" } });
this.#port = port1;
port1.onmessage = ({ data }) => this.#take(shaped(data));
frame.contentWindow?.postMessage({ cloakroom: 1, type: "connect", nonce }, HOME, [port2]);
const locale = this.#options["locale"] ?? (document.documentElement.lang || navigator.language);
this.#send({ type: "init", secret: this.#secret, options: { ...this.#wish(this.#options), locale } });
}
#take(message) {
const { type, id, value, complete, empty, brand, error } = message;
if (type === "height" && value > 0 && value < 4000) {
if (this.#frame) this.#frame.style.height = `${value}px`;
} else if (type === "ready") {
clearTimeout(this.#timer);
this.#ready = true;
this.#emit("ready", undefined);
} else if (type === "change") this.#emit("change", { complete, empty, brand, error });
else if (type === "submit") this.#emit("submit", undefined);
else if (type === "answer" && id === this.#id) this.#answer?.(message);
}
#send(message) {
this.#port?.postMessage(message);
return this;
}
#emit(name, detail) {
for (const listener of this.#listeners.get(name) ?? []) listener(detail);
}
}
export async function loadFields({ clientSecret }) {
const session = sessionOf(clientSecret);
if (!session) throw new TypeError("clientSecret is not a session's");
const create = (kind, options = {}) => {
if (kind !== "card") throw new TypeError(kind);
return new Card(clientSecret, { ...options });
};
return { session, create };
}
export function returned() {
const url = new URL(location.href);
const pop = (name) => {
const value = url.searchParams.get(`cloakroom_${name}`);
url.searchParams.delete(`cloakroom_${name}`);
return value;
};
const [session, status, given] = ["session", "status", "token"].map(pop);
if (!session) return null;
const key = `cloakroom:${session}`;
const token = sessionStorage.getItem(key) ?? given;
sessionStorage.removeItem(key);
history.replaceState(history.state, "", url);
return { session, token, status: status ?? "succeeded" };
}
class CardElement extends HTMLElement {
static formAssociated = true;
static observedAttributes = ["client-secret"];
#internals = this.attachInternals();
card;
#token = "";
connectedCallback() {
const secret = this.getAttribute("client-secret") ?? "";
if (this.card || !sessionOf(secret)) return void this.card?.mount(this);
const options = {};
for (const name of ["locale", "layout", "country", "expiry", "title"]) options[name] = this.getAttribute(name) ?? undefined;
this.card = new Card(secret, options);
for (const name of ["ready", "change", "error"]) this.card.on(name, (detail) => this.#tell(name, detail));
this.card.on("submit", () => this.#internals.form?.requestSubmit());
this.card.mount(this);
this.#internals.form?.addEventListener("submit", (event) => this.#submit(event), { capture: true });
}
attributeChangedCallback() {
if (this.isConnected) this.connectedCallback();
}
disconnectedCallback() {
this.card?.unmount();
}
async #submit(event) {
if (this.#token || !this.isConnected) return;
event.preventDefault();
event.stopImmediatePropagation();
try {
const { token } = (await this.card?.tokenize()) ?? { token: "" };
if (this.#token) return;
this.#internals.setFormValue((this.#token = token));
this.#internals.form?.requestSubmit(event.submitter);
} catch (fault) {
this.#tell("error", fault);
}
}
#tell(name, detail) {
this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));
}
}
if (!customElements.get("cloakroom-card")) customElements.define("cloakroom-card", CardElement);
Object.assign(globalThis, { Cloakroom: { loadFields, returned, CardError } });

/**
 * Cloakroom fields: the shop's side. Puts the frame into the page and speaks with it over a private
 * port; what is typed stays in the frame. Guide: docs/checkout.md.
 */

/** @typedef {import("./npm/index.js").Made & import("./npm/index.js").TakenCode} Result of a card, or of a saved one's code */

const HOME = new URL(import.meta.url).origin;
/** A frame that has loaded says so at once; one that says nothing is not ours, or was lost. */
const HELLO_MS = 2_000;
/** A frame that has not even loaded. Before that, a slow line is only slow. */
const LOAD_MS = 60_000;
/** Still here, though the issuer's page was to come. */
const LEAVING_MS = 60_000;

/** Why there is no token; `code` is one of the words in the guide. */
export class CardError extends Error {
  /** @param {{code: string, retryable?: boolean, decline?: string, field?: string}} fault */
  constructor({ code, retryable = false, decline, field }) {
    super(code);
    this.name = "CardError";
    this.code = code;
    this.retryable = retryable;
    this.decline = decline;
    this.field = field;
  }
}

/** @param {string} secret */
const sessionOf = (secret) => /^((?:test_)?cs_\w{26})_secret_[\w-]{20,}$/.exec(secret)?.[1];

/** Where the shopper is, as a way back that the service takes: the query only if it is not too long. */
const here = () => {
  const fits = (/** @type {string} */ path) => path.length <= 500 && /^\/(?!\/)[!-~]*$/.test(path);
  const path = location.pathname.replaceAll("\\", "%5C");
  return [path + location.search.replaceAll("\\", "%5C"), path].find(fits) ?? "/";
};

/** @param {string} name @param {string} value keeps it in this tab, where the browser keeps anything */
const keep = (name, value) => {
  try {
    sessionStorage.setItem(name, value);
  } catch {
    // Cookies are blocked: the shop's backend can ask what became of the session.
  }
};

/** @param {string} name @returns {string | null} what was kept, once */
const take = (name) => {
  try {
    const value = sessionStorage.getItem(name);
    sessionStorage.removeItem(name);
    return value;
  } catch {
    return null;
  }
};

/** @param {Record<string, any> | undefined} value without what frameworks wrap it in, and without what cannot be sent */
const plain = (value) => value && JSON.parse(JSON.stringify(value));

/** @param {string} color @returns {number[]} red, green, blue and how much of it there is, however it is written */
const channels = (color) => {
  const canvas = Object.assign(document.createElement("canvas"), { width: 1, height: 1 }).getContext("2d");
  if (!canvas) return [255, 255, 255, 0];
  canvas.fillStyle = color;
  canvas.fillRect(0, 0, 1, 1);
  return [...canvas.getImageData(0, 0, 1, 1).data];
};

/** @param {Element | ShadowRoot} place @returns {"light" | "dark"} what the page is drawn in there */
const drawn = (place) => {
  for (let at = /** @type {Element | null} */ (place instanceof ShadowRoot ? place.host : place); at; at = at.parentElement) {
    const [red = 0, green = 0, blue = 0, opaque = 0] = channels(getComputedStyle(at).backgroundColor);
    if (opaque > 127) return 0.2126 * red + 0.7152 * green + 0.0722 * blue < 110 ? "dark" : "light";
  }
  // Nobody has painted: the page is as bright as the system's colour for text is dark.
  const probe = document.createElement("i");
  probe.style.color = "CanvasText";
  place.append(probe);
  const [red = 0] = channels(getComputedStyle(probe).color);
  probe.remove();
  return red < 128 ? "light" : "dark";
};

/** @param {unknown} data @returns {Record<string, any>} */
const shaped = (data) => (typeof data === "object" && data ? data : {});

/** Whether each page around this one is of its origin: inside another's the service lets no form be shown. */
const atHome = () => {
  try {
    for (let at = /** @type {Window} */ (window); at !== at.parent; at = at.parent) {
      if (at.parent.location.origin !== location.origin) return false;
    }
    return true;
  } catch {
    return false;
  }
};

/** @param {HTMLIFrameElement} frame @returns {Element | ShadowRoot} */
const placeOf = (frame) => /** @type {Element | ShadowRoot} */ (frame.parentNode ?? document.body);

export class Card {
  /** Vue leaves it as it is: behind a proxy there is no private member. */
  __v_skip = true;
  #secret;
  #options;
  #kind;
  /** @type {HTMLIFrameElement | undefined} */
  #frame;
  /** @type {MessagePort | undefined} */
  #port;
  /** @type {Map<string, Set<(detail: any) => void>>} */
  #listeners = new Map();
  /** @type {Promise<Result> | undefined} */
  #running;
  /** @type {((answer: Record<string, any>) => void) | undefined} */
  #answer;
  #id = 0;
  #ready = false;
  #timer = 0;
  /** Said by the next form as soon as it is there. */
  #told = "";
  /** @type {((persisted: boolean) => void) | undefined} */
  #returned;
  /** @type {(event: MessageEvent) => void} */
  #hear = (event) => this.#meet(event);
  #repaint = () => void this.update({});
  #pageshow = (/** @type {PageTransitionEvent} */ event) => this.#returned?.(event.persisted);
  #dark = matchMedia("(prefers-color-scheme: dark)");

  /** @param {string} secret @param {Record<string, any>} options @param {string} [kind] what the form asks for */
  constructor(secret, options, kind = "card") {
    this.#secret = secret;
    this.#options = options;
    this.#kind = kind;
  }

  /** Shows the form in an element, or in what a selector finds. @param {string | Element | ShadowRoot} target */
  mount(target) {
    const place = typeof target === "string" ? document.querySelector(target) : target;
    if (!place) throw new TypeError(`No element matches ${target}`);
    if (this.#frame?.isConnected) {
      // @ts-ignore: moving keeps what was typed, where the browser can (Chromium 133)
      if (this.#frame.parentNode !== place) place.moveBefore ? place.moveBefore(this.#frame, null) : place.append(this.#frame);
      return this;
    }
    // What a framework or a page's cache has left of an earlier frame is no form.
    if (this.#frame) this.unmount();
    for (const old of place.querySelectorAll(":scope > iframe[data-cloakroom]")) old.remove();
    if (!atHome()) {
      // Said by itself: the browser would show a broken page, and report an attack to the service.
      console.warn("Cloakroom: no card form inside a page of another origin. What to do instead: docs/checkout.md");
      setTimeout(() => this.#emit("error", new CardError({ code: "embedded" })));
      return this;
    }
    const frame = (this.#frame = document.createElement("iframe"));
    frame.dataset["cloakroom"] = "";
    frame.title = this.#options["title"] ?? (this.#kind === "cvc" ? "Security code" : "Card");
    frame.referrerPolicy = "no-referrer";
    // Four pixels around, for the ring of what has the focus.
    frame.style.cssText = "border:0;display:block;width:calc(100% + 8px);margin:-4px;height:160px";
    const scheme = this.#scheme(place);
    frame.src = `${HOME}/fields/v1/frame?session=${sessionOf(this.#secret)}&scheme=${scheme}`;
    addEventListener("message", this.#hear);
    addEventListener("pageshow", this.#pageshow);
    this.#await(1);
    place.append(frame);
    this.#dark.addEventListener("change", this.#repaint);
    return this;
  }

  /** Takes the form away, and with it what was typed. */
  unmount() {
    clearTimeout(this.#timer);
    removeEventListener("message", this.#hear);
    removeEventListener("pageshow", this.#pageshow);
    this.#dark.removeEventListener("change", this.#repaint);
    this.#port?.close();
    this.#frame?.remove();
    this.#frame = this.#port = undefined;
    this.#ready = false;
    this.#answer?.({ fault: { code: "unmounted" } });
    return this;
  }

  /** Nobody can use it, or somebody can again. @param {boolean} disabled */
  disable(disabled) {
    if (this.#frame) {
      this.#frame.inert = disabled;
      this.#frame.style.opacity = disabled ? "0.5" : "";
    }
    return this;
  }

  hide = () => this.#display("none");
  show = () => this.#display("block");
  clear = () => this.#send({ type: "clear" });
  focus = () => (this.#frame?.focus(), this.#send({ type: "focus" }));

  /** @param {Record<string, any>} options locale, theme, layout … */
  update(options) {
    Object.assign(this.#options, options);
    return this.#send({ type: "update", options: this.#wish(options) });
  }

  /** @param {string} name ready, change, submit or error @param {(detail: any) => void} listener @returns {() => void} stops it */
  on(name, listener) {
    const all = this.#listeners.get(name) ?? new Set();
    this.#listeners.set(name, all.add(listener));
    return () => void all.delete(listener);
  }

  /**
   * Hands in the card. While it runs, calling again is the same call.
   * @param {{billingDetails?: Record<string, unknown>, returnPath?: string, redirect?: "auto" | "manual"}} [order]
   * @returns {Promise<Result>} rejects with a CardError
   */
  tokenize(order = {}) {
    return (this.#running ??= this.#tokenize(order).finally(() => (this.#running = undefined)));
  }

  /** @param {{billingDetails?: Record<string, unknown>, returnPath?: string, redirect?: string}} order @returns {Promise<Result>} */
  async #tokenize({ billingDetails, returnPath = here(), redirect }) {
    if (!this.#ready || !this.#frame?.isConnected) throw new CardError({ code: "not_ready", retryable: true });
    const id = (this.#id += 1);
    let watch = 0;
    /** @type {Record<string, any>} */
    const { made, fault } = await new Promise((resolve) => {
      this.#answer = resolve;
      this.#send({ type: "tokenize", id, billing: plain(billingDetails), returnPath });
      // A framework may take the frame away without a word.
      watch = setInterval(() => this.#frame?.isConnected || resolve({ fault: { code: "unmounted" } }), 500);
    });
    clearInterval(watch);
    if (!made) throw new CardError(fault ?? { code: "unavailable" });
    // No frame shows the issuer's page; the pages around this one are the shop's.
    const to = made.redirectUrl && redirect !== "manual" && window.top;
    return to ? this.#leave(made, to) : made;
  }

  /**
   * To the issuer's page. Whoever is here again without its answer, because they went back or it
   * never came, gets a form that says so.
   * @param {Result} made @param {Window} to @returns {Promise<Result>}
   */
  #leave({ token, redirectUrl }, to) {
    const name = `cloakroom:${sessionOf(this.#secret)}`;
    keep(name, token);
    keep(`${name}:at`, to.location.href);
    to.location.assign(redirectUrl ?? "");
    return new Promise((_, reject) => {
      const stay = () => {
        this.#returned = undefined;
        clearTimeout(timer);
        this.#told = "canceled";
        const place = this.#frame && placeOf(this.#frame);
        if (place) this.unmount().mount(place);
        reject(new CardError({ code: "canceled" }));
      };
      const timer = setTimeout(stay, LEAVING_MS);
      this.#returned = (persisted) => persisted && stay();
    });
  }

  /** @param {string} display */
  #display(display) {
    if (this.#frame) this.#frame.style.display = display;
    return this;
  }

  /** @param {Record<string, any>} given */
  #wish({ title, ...options }) {
    const frame = this.#frame;
    if (!frame) return options;
    if (title) frame.title = title;
    return { ...plain(options), scheme: this.#scheme(placeOf(frame)) };
  }

  /** Draws the frame's place as the page, or as the shop wants it. @param {Element | ShadowRoot} place */
  #scheme(place) {
    const asked = this.#options["scheme"];
    const scheme = ["light", "dark", "auto"].includes(asked) ? asked : drawn(place);
    if (this.#frame) this.#frame.style.colorScheme = scheme === "auto" ? "light dark" : scheme;
    return scheme;
  }

  /** Waits for the frame, and fetches it again when it was lost. @param {number} more times that are left */
  #await(more) {
    const frame = this.#frame;
    if (!frame) return;
    const lost = () => {
      clearTimeout(this.#timer);
      if (!more) return this.#emit("error", new CardError({ code: "unavailable", retryable: true }));
      this.#await(more - 1);
      frame.src += "";
    };
    clearTimeout(this.#timer);
    this.#timer = setTimeout(lost, LOAD_MS);
    frame.onload = () => {
      if (this.#port) return;
      clearTimeout(this.#timer);
      this.#timer = setTimeout(lost, HELLO_MS);
    };
  }

  /** @param {MessageEvent} event */
  #meet({ source, origin, data }) {
    const frame = this.#frame;
    if (!frame || source !== frame.contentWindow || origin !== HOME) return;
    const { cloakroom, type, nonce } = shaped(data);
    if (cloakroom !== 1 || type !== "hello" || typeof nonce !== "string") return;
    const { port1, port2 } = new MessageChannel();
    this.#port?.close();
    // The frame is new: what the old one was asked is answered by nobody.
    this.#answer?.({ fault: { code: "unmounted" } });
    this.#port = port1;
    port1.onmessage = ({ data }) => this.#take(shaped(data));
    frame.contentWindow?.postMessage({ cloakroom: 1, type: "connect", nonce }, HOME, [port2]);
    const locale = this.#options["locale"] ?? (document.documentElement.lang || navigator.language);
    this.#send({ type: "init", secret: this.#secret, options: { ...this.#wish(this.#options), locale } });
  }

  /** @param {Record<string, any>} message */
  #take(message) {
    const { type, id, value, complete, empty, brand, error, names, kind } = message;
    if (type === "height" && value > 0 && value < 4000) {
      if (this.#frame) this.#frame.style.height = `${value}px`;
    } else if (type === "ready") {
      clearTimeout(this.#timer);
      if ((kind ?? "card") !== this.#kind) {
        // The session is for something else.
        this.unmount();
        return this.#emit("error", new CardError({ code: "wrong_session" }));
      }
      this.#ready = true;
      if (this.#told) this.#send({ type: "fail", code: this.#told });
      this.#emit("ready", undefined);
    } else if (type === "dropped") {
      console.warn(`Cloakroom: not taken: ${[names].flat().join(", ")}. What the form takes: docs/checkout.md`);
    } else if (type === "change") this.#emit("change", { complete, empty, brand, error });
    else if (type === "submit") this.#emit("submit", undefined);
    else if (type === "answer" && id === this.#id) this.#answer?.(message);
  }

  /** @param {Record<string, unknown>} message */
  #send(message) {
    this.#port?.postMessage(message);
    return this;
  }

  /** @param {string} name @param {unknown} detail */
  #emit(name, detail) {
    for (const listener of this.#listeners.get(name) ?? []) listener(detail);
  }
}

/** @param {{clientSecret: string}} options the secret of a capture session */
export async function loadFields({ clientSecret }) {
  const session = sessionOf(clientSecret);
  if (!session) throw new TypeError("clientSecret is not a session's");
  /** @param {"card" | "cvc"} kind a card, or the security code of a saved one @param {Record<string, any>} [options] */
  const create = (kind, options = {}) => {
    if (kind !== "card" && kind !== "cvc") throw new TypeError(kind);
    return new Card(clientSecret, { ...options }, kind);
  };
  return { session, create };
}

/** What the shopper has come back with from the issuer's page or the hosted page, once. */
export function returned() {
  const url = new URL(location.href);
  /** @param {string} name */
  const pop = (name) => {
    const value = url.searchParams.get(`cloakroom_${name}`);
    url.searchParams.delete(`cloakroom_${name}`);
    return value;
  };
  const [session, status, given] = ["session", "status", "token"].map(pop);
  if (!session) return null;
  const token = take(`cloakroom:${session}`) ?? given;
  // The address that the shopper left, with what was too long for the way back, and its hash.
  const left = take(`cloakroom:${session}:at`);
  const same = left && new URL(left).origin === url.origin && new URL(left).pathname === url.pathname;
  history.replaceState(history.state, "", same ? left : url);
  return { session, token, status: status ?? "succeeded" };
}

const OPTIONS = ["locale", "layout", "scheme", "country", "expiry", "title"];

/** `<cloakroom-card client-secret="…" name="token">`: a form's field whose value is the token. */
class CardElement extends HTMLElement {
  static formAssociated = true;
  static observedAttributes = ["client-secret", ...OPTIONS];
  #internals = this.attachInternals();
  // Its own, so that whoever rewrites the page's elements leaves it alone.
  #place = this.attachShadow({ mode: "open" });
  /** @type {Card | undefined} */
  card;
  #secret = "";
  #token = "";
  #disabled = false;
  /** @type {HTMLFormElement | null} */
  #form = null;
  #submitted = (/** @type {SubmitEvent} */ event) => void this.#submit(event);

  constructor() {
    super();
    // A style attribute would be taken away by morphs, and would show what is hidden.
    const sheet = new CSSStyleSheet();
    sheet.replaceSync(":host(:not([hidden])){display:block}");
    this.#place.adoptedStyleSheets = [sheet];
  }

  connectedCallback() {
    const secret = this.getAttribute("client-secret") ?? "";
    if (secret !== this.#secret) {
      // Another session: another form, and the token of the one before counts no more.
      this.card?.unmount();
      this.card = undefined;
      this.#secret = secret;
      this.#internals.setFormValue((this.#token = ""));
    }
    if (!sessionOf(secret)) return;
    const card = (this.card ??= this.#create(secret));
    card.mount(this.#place).disable(this.#disabled);
  }

  /** @param {string} secret */
  #create(secret) {
    const card = new Card(secret, this.#options(OPTIONS));
    for (const name of ["ready", "change", "error"]) card.on(name, (detail) => this.#tell(name, detail));
    card.on("submit", () => this.#internals.form?.requestSubmit());
    return card;
  }

  /** @param {string[]} names */
  #options = (names) => Object.fromEntries(names.map((name) => [name, this.getAttribute(name) ?? undefined]));

  /** @param {string} name */
  attributeChangedCallback(name) {
    if (!this.isConnected) return;
    if (name === "client-secret") this.connectedCallback();
    else this.card?.update(this.#options([name]));
  }

  disconnectedCallback() {
    this.card?.unmount();
  }

  /** Moved as a whole (`moveBefore`, which morphs use): the frame keeps what was typed. */
  connectedMoveCallback() {}

  /** @param {HTMLFormElement | null} form */
  formAssociatedCallback(form) {
    this.#form?.removeEventListener("submit", this.#submitted, { capture: true });
    this.#form = form;
    form?.addEventListener("submit", this.#submitted, { capture: true });
  }

  /** @param {boolean} disabled */
  formDisabledCallback(disabled) {
    this.#disabled = disabled;
    this.card?.disable(disabled);
  }

  formResetCallback() {
    this.card?.clear();
  }

  /** Whether a card is asked for: not where the field is disabled, inert or not shown. */
  get #asks() {
    const shown = this.checkVisibility?.() ?? this.getClientRects().length > 0;
    return shown && !this.#disabled && !this.closest("[inert]");
  }

  /** @param {SubmitEvent} event */
  async #submit(event) {
    if (this.#token || !this.isConnected || !this.card || !this.#asks) return;
    event.preventDefault();
    event.stopImmediatePropagation();
    const { submitter } = event;
    try {
      const { token } = await this.card.tokenize();
      // A second click may have come in between.
      if (this.#token) return;
      this.#internals.setFormValue((this.#token = token));
      const { form } = this.#internals;
      // The button may have been replaced by one that says "Paying".
      const still = submitter instanceof HTMLElement && /** @type {HTMLButtonElement} */ (submitter).form === form;
      form?.requestSubmit(still ? submitter : null);
    } catch (fault) {
      this.#tell("error", fault);
    }
  }

  /** @param {string} name @param {unknown} detail */
  #tell(name, detail) {
    this.dispatchEvent(new CustomEvent(name, { detail, bubbles: true }));
  }
}

if (!customElements.get("cloakroom-card")) customElements.define("cloakroom-card", CardElement);
Object.assign(globalThis, { Cloakroom: { loadFields, returned, CardError } });

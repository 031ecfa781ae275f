/**
 * @file The card form: what is typed, what is wrong with it and when that is said. Native inputs
 * with labels; what they hold leaves this file in one place, on its way to the service.
 */
import { brandOf, cvcLength, digitsOf, expiryFault, fullYear, longest, numberFault, splitExpiry } from "./card.js";
import { Courier } from "./courier.js";
import { digitsFormat, expiryFormat, neat, numberFormat } from "./field.js";
import { english, textsOf } from "./locales.js";
import { dress } from "./theme.js";

/** @typedef {import("./courier.js").Fault} Fault */
/** @typedef {import("./courier.js").Made} Made */
/** @typedef {import("./courier.js").Taken} Taken */
/** @typedef {{complete: boolean, empty: boolean, brand: string, error: string | null}} State */
/** @typedef {{submit: () => void, change: (state: State) => void, dropped: (names: string[]) => void}} Hooks */
/** @typedef {"name"|"number"|"expiry"|"cvc"|"postal"} Field */

/** After these the session takes no card any more. */
const FINAL = ["session_over", "too_many", "verification_required", "canceled", "go_back"];

/** Postal codes that have a known form; elsewhere anything is one. @type {Record<string, RegExp>} */
const POSTAL = {
  US: /^\d{5}(-?\d{4})?$/,
  CA: /^[a-z]\d[a-z] ?\d[a-z]\d$/i,
  GB: /^[a-z]{1,2}\d[a-z\d]? ?\d[a-z]{2}$/i,
  DE: /^\d{5}$/,
  FR: /^\d{5}$/,
  NL: /^\d{4} ?[a-z]{2}$/i,
};

/** @template {HTMLElement} T @param {string} id @returns {T} */
const part = (id) => /** @type {T} */ (document.getElementById(id));

/** @param {string} id @returns {HTMLInputElement} */
const input = (id) => part(id);

export class CardForm {
  texts = english;
  #hooks;
  #courier = new Courier();
  #country = "";
  /** The brand of a saved card: then its code is asked for and nothing else. */
  #saved = /** @type {import("./card.js").Brand | ""} */ (document.documentElement.dataset["saved"] ?? "");
  #split = false;
  #done = false;
  /** What is shown as wrong. @type {Map<Field, string>} */
  #shown = new Map();
  #told = "";
  /** What is to be said next, and whether it is one error of several. */
  #saying = { text: "", first: false };

  /** @param {Hooks} hooks */
  constructor(hooks) {
    this.#hooks = hooks;
    const form = part("card");
    const formats = /** @type {const} */ ([
      ["name", digitsFormat(0), "name"],
      ["number", numberFormat, "number"],
      ["expiry", expiryFormat, "expiry"],
      ["month", digitsFormat(2), "expiry"],
      ["year", digitsFormat(4), "expiry"],
      ["cvc", digitsFormat(4), "cvc"],
      ["postal", digitsFormat(0), "postal"],
    ]);
    for (const [id, format, field] of formats) {
      input(id).setAttribute("enterkeyhint", "next");
      if (field === "name" || field === "postal") input(id).addEventListener("input", () => this.#typed(field));
      else neat(input(id), format, () => this.#typed(field));
      input(id).addEventListener("blur", (event) => this.#left(field, event.relatedTarget));
    }
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter" || event.isComposing) return;
      event.preventDefault();
      hooks.submit();
    });
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      hooks.submit();
    });
    // Nothing that was typed waits in the back-forward cache for the next person at the machine.
    addEventListener("pagehide", () => this.clear());
  }

  /** @param {Record<string, any>} options read by `protocol.js` @param {string[]} [left] what was left out of them */
  update(options, left = []) {
    const root = document.documentElement;
    if (options["locale"]) this.texts = textsOf(options["locale"]);
    if (options["layout"]) root.dataset["layout"] = options["layout"];
    if (options["scheme"]) root.dataset["scheme"] = options["scheme"];
    if (options["country"]) this.#country = options["country"];
    if (options["expiry"]) this.#split = options["expiry"] === "split";
    const saved = this.#saved !== "";
    if ("name" in options) part("name-field").hidden = saved || !options["name"];
    if ("postalCode" in options) part("postal-field").hidden = saved || !options["postalCode"];
    part("number-field").hidden = saved;
    part("expiry-field").hidden = saved || this.#split;
    part("split-field").hidden = saved || !this.#split;
    const refused = options["theme"] ? dress(root, options["theme"]) : [];
    this.#hooks.dropped([...left, ...refused.map((name) => `theme.${name}`)]);
    const last = this.#fields().at(-1) ?? "cvc";
    for (const each of document.querySelectorAll("input")) each.enterKeyHint = each.id === last ? "done" : "next";
    this.#forget();
    this.#label();
    this.#tell();
  }

  /** @param {string} [field] */
  focus(field) {
    if (this.#done) return;
    const id = field === "expiry" && this.#split ? "month" : field;
    const first = this.#fields()[0] ?? "number";
    input(id && this.#fields().includes(/** @type {Field} */ (field)) ? id : first).focus();
  }

  clear() {
    for (const each of document.querySelectorAll("input")) each.value = "";
    for (const field of [...this.#shown.keys()]) this.#show(field, "");
    this.#typed("number");
  }

  /** Says what went wrong with the whole. @param {string} code */
  fail(code) {
    this.#notice(this.texts[code] ?? this.texts.unavailable, "error");
    if (!FINAL.includes(code)) return;
    this.#done = true;
    this.#lock(true);
  }

  /**
   * @param {string} secret
   * @param {Record<string, any>} billing
   * @param {string} [returnPath]
   * @returns {Promise<Made | Taken>} rejects with a Fault
   */
  async tokenize(secret, billing, returnPath) {
    if (this.#done) throw /** @type {Fault} */ ({ code: "session_over", retryable: false });
    this.#forget();
    const wrong = this.#fields().filter((field) => this.#show(field, this.#fault(field)));
    if (wrong[0]) {
      this.focus(wrong[0]);
      this.#tell();
      throw /** @type {Fault} */ ({ code: "invalid", retryable: false, fields: Object.fromEntries(this.#shown) });
    }
    this.#busy(true);
    // It is seen by the line that runs over the form: a box would push the shop's button away from
    // under the finger.
    if (!this.#saved) this.#notice(this.texts.sending, "sending");
    try {
      const tell = (/** @type {"slow"|"retrying"} */ state) => this.#notice(this.texts[state] ?? "", "busy");
      const made = await this.#courier.deliver(secret, this.#order(billing, returnPath), tell);
      this.#done = true;
      this.clear();
      this.#lock(true);
      if ("card" in made) {
        this.#taken(made.card);
        this.#notice(made.redirectUrl ? this.texts.leaving : this.texts.saved, "success");
      } else this.#notice(this.texts.code_taken, "success");
      return made;
    } catch (thrown) {
      const fault = /** @type {Fault} */ (thrown);
      if (typeof fault.code !== "string") throw { code: "unavailable", retryable: true };
      this.#explain(fault);
      throw fault;
    } finally {
      this.#busy(false);
    }
  }

  /** @param {Record<string, any>} billing @param {string} [returnPath] */
  #order(billing, returnPath) {
    if (this.#saved) return { cvc: input("cvc").value };
    const expiry = this.#expiry();
    const address = { ...billing["address"] };
    if (this.#fields().includes("postal")) {
      address.postal_code = input("postal").value.trim();
      if (this.#country) address.country = this.#country;
    }
    const details = { ...billing };
    if (Object.keys(address).length > 0) details["address"] = address;
    if (this.#fields().includes("name")) details["name"] = input("name").value.trim();
    return {
      card: {
        number: digitsOf(input("number").value),
        exp_month: Number(expiry.month),
        exp_year: fullYear(expiry),
        cvc: input("cvc").value,
      },
      ...(Object.keys(details).length > 0 ? { billing_details: details } : {}),
      ...(returnPath ? { return_path: returnPath } : {}),
    };
  }

  /** @param {Fault} fault */
  #explain(fault) {
    // An error goes where the shopper can see it: a field that is not there shows none.
    for (const field of this.#fields()) {
      const reason = fault.fields?.[field];
      if (reason) this.#show(field, reason);
    }
    if (this.#shown.size > 0) {
      this.#notice("", "");
      this.focus([...this.#shown.keys()][0]);
    } else {
      const own = fault.decline && this.texts[fault.decline];
      this.#notice(own || this.texts[fault.code] || this.texts.unavailable, "error");
      // This session takes no card any more, so the fields stay as they are while one is sent: locked.
      this.#done = FINAL.includes(fault.code);
    }
    this.#tell();
  }

  /** Errors of fields that are there no more. */
  #forget() {
    for (const field of [...this.#shown.keys()]) if (!this.#fields().includes(field)) this.#show(field, "");
  }

  /** Shows the card that was taken, as far as it may be known. @param {Record<string, unknown>} card */
  #taken(card) {
    const [brand, last4] = [String(card?.["brand"]), String(card?.["last4"])];
    if (!/^\d{4}$/.test(last4)) return;
    const known = document.getElementById(`brand-${brand}`) ? brand : "unknown";
    part("taken-brand").setAttribute("href", `#brand-${known}`);
    part("taken-number").textContent = `•••• ${last4}`;
    part("taken").hidden = false;
    part("card").hidden = true;
  }

  /** @returns {Field[]} the fields there are, in their order */
  #fields() {
    if (this.#saved) return /** @type {Field[]} */ (["cvc"]);
    /** @type {Field[]} */
    const fields = ["number", "expiry", "cvc"];
    if (!part("name-field").hidden) fields.unshift("name");
    if (!part("postal-field").hidden) fields.push("postal");
    return fields;
  }

  #expiry() {
    if (!this.#split) return splitExpiry(input("expiry").value);
    return { month: input("month").value.padStart(2, "0"), year: input("year").value };
  }

  /** @param {Field} field @returns {boolean} */
  #empty(field) {
    if (field === "expiry" && this.#split) return input("month").value + input("year").value === "";
    return input(field).value.trim() === "";
  }

  /** @param {Field} field @returns {string} what is wrong with it now */
  #fault(field) {
    if (this.#empty(field)) return "incomplete";
    switch (field) {
      case "number":
        return numberFault(digitsOf(input("number").value));
      case "expiry":
        return expiryFault(this.#expiry(), new Date());
      case "cvc": {
        const { length } = input("cvc").value;
        const brand = this.#brand();
        return length === cvcLength(brand) || (brand === "unknown" && length === 4) ? "" : "incomplete";
      }
      case "postal": {
        const form = POSTAL[this.#country];
        return form && !form.test(input("postal").value.trim()) ? "invalid" : "";
      }
      case "name":
        return "";
    }
  }

  /** @param {Field} field */
  #typed(field) {
    const digits = digitsOf(input("number").value);
    const brand = this.#brand();
    if (field === "number") {
      part("brand").setAttribute("href", `#brand-${brand}`);
      this.#hint(brand);
    }
    const fault = this.#fault(field);
    // An error goes at once; it comes when somebody leaves the field, or cannot type further.
    const full =
      (field === "number" && digits.length === longest(brand)) ||
      (field === "expiry" && fault !== "incomplete" && this.#expiry().year !== "20");
    if (!fault || (full && fault !== "incomplete")) this.#show(field, fault);
    else if (this.#empty(field)) this.#show(field, "");
    else if (this.#shown.has(field) && this.#shown.get(field) !== fault) this.#show(field, "");
    if (field === "number" && this.#shown.has("cvc") && !this.#fault("cvc")) this.#show("cvc", "");
    if (part("notice").dataset["kind"] === "error") this.#notice("", "");
    this.#tell();
  }

  /** @param {Field} field @param {EventTarget | null} next */
  #left(field, next) {
    if (this.#empty(field) || part("card").ariaBusy === "true") return;
    // Between month and year nobody has left the date yet.
    if (field === "expiry" && this.#split && (next === input("year") || next === input("month"))) return;
    this.#show(field, this.#fault(field));
    this.#tell();
  }

  /** @param {Field} field @param {string} fault @returns {boolean} whether something is wrong */
  #show(field, fault) {
    const split = field === "expiry" && this.#split;
    const before = this.#shown.get(field) ?? "";
    if (fault) this.#shown.set(field, fault);
    else this.#shown.delete(field);
    const text = fault ? (this.texts[`${field}_${fault}`] ?? this.texts[`${field}_invalid`] ?? "") : "";
    part(split ? "split-error" : `${field}-error`).textContent = text;
    for (const id of split ? ["month", "year"] : [field]) input(id).setAttribute("aria-invalid", String(fault !== ""));
    if (fault && fault !== before) this.#say(text, true);
    return fault !== "";
  }

  /** @param {string} text @param {string} kind */
  #notice(text, kind) {
    part("notice").textContent = text;
    part("notice").dataset["kind"] = kind;
    if (text) this.#say(text);
  }

  /** @param {string} text @param {boolean} [first] of several errors the first one is said, where the focus goes */
  #say(text, first = false) {
    const live = part("live");
    if (first && this.#saying.first) return;
    const isNew = this.#saying.text === "";
    this.#saying = { text, first };
    if (!isNew) return;
    // The same words again are news only when they were gone in between.
    live.textContent = "";
    setTimeout(() => {
      live.textContent = this.#saying.text;
      this.#saying = { text: "", first: false };
    }, 50);
  }

  /** @param {boolean} busy */
  #busy(busy) {
    part("card").ariaBusy = String(busy);
    if (!this.#done) this.#lock(busy);
  }

  /** @param {boolean} locked */
  #lock(locked) {
    for (const each of document.querySelectorAll("input")) each.readOnly = locked;
  }

  #label() {
    const { texts } = this;
    const root = document.documentElement;
    root.lang = texts.lang;
    root.dir = texts.dir;
    document.title = texts.title;
    const american = this.#country === "US";
    const labels = { name: texts.name, number: texts.number, expiry: texts.expiry, cvc: texts.cvc, postal: american ? texts.zip : texts.postal };
    for (const [id, text] of Object.entries(labels)) {
      const label = document.querySelector(`label[for=${id}]`);
      if (label) label.textContent = text;
    }
    const legend = document.querySelector("legend");
    if (legend) legend.textContent = texts.expiry;
    input("month").ariaLabel = texts.month;
    input("year").ariaLabel = texts.year;
    [input("month").placeholder = "", input("year").placeholder = ""] = texts.hint.split(" / ");
    input("expiry").placeholder = texts.hint;
    input("number").placeholder = "1234 1234 1234 1234";
    this.#hint(this.#brand());
    input("postal").inputMode = american || this.#country === "DE" || this.#country === "FR" ? "numeric" : "text";
    for (const [field, fault] of [...this.#shown]) {
      this.#shown.delete(field);
      this.#show(field, fault);
    }
  }

  /** @returns {import("./card.js").Brand} */
  #brand() {
    return this.#saved || brandOf(digitsOf(input("number").value));
  }

  /** Shows where the code is and how long. @param {import("./card.js").Brand} brand */
  #hint(brand) {
    input("cvc").maxLength = brand === "unknown" ? 4 : cvcLength(brand);
    const front = brand === "amex";
    part("code").setAttribute("href", front ? "#code-front" : "#code-back");
    input("cvc").placeholder = front ? "1234" : "123";
  }

  /** Tells the shop's page what it may know, when it has changed. */
  #tell() {
    const fields = this.#fields();
    const [first] = this.#shown;
    const state = {
      complete: fields.every((field) => !this.#fault(field)),
      empty: fields.every((field) => this.#empty(field)),
      brand: this.#brand(),
      error: first ? first.join("_") : null,
    };
    const told = JSON.stringify(state);
    if (told === this.#told) return;
    this.#told = told;
    this.#hooks.change(state);
  }
}

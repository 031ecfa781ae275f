/**
 * @file The form's words: English here, twelve other languages in files of their own. What is said to a shopper is short, calm and blames nobody.
 */
import { words as ar } from "./locales/ar.js";
import { words as da } from "./locales/da.js";
import { words as de } from "./locales/de.js";
import { words as es } from "./locales/es.js";
import { words as fr } from "./locales/fr.js";
import { words as he } from "./locales/he.js";
import { words as it } from "./locales/it.js";
import { words as ja } from "./locales/ja.js";
import { words as nl } from "./locales/nl.js";
import { words as pl } from "./locales/pl.js";
import { words as pt } from "./locales/pt.js";
import { words as sv } from "./locales/sv.js";

const NAMES =
  "title|number|expiry|hint|month|year|cvc|name|postal|zip|save" +
  "|number_incomplete|number_invalid|expiry_incomplete|expiry_invalid|expiry_past" +
  "|cvc_incomplete|cvc_incorrect|name_incomplete|postal_incomplete|postal_invalid" +
  "|sending|slow|retrying|network|declined|insufficient_funds|session_over|too_many|unavailable|saved|leaving" +
  "|verification_required|canceled|go_back|pay|code_taken";

const ENGLISH = `Card details|Card number|Expiry date|MM / YY|Month|Year|Security code|Name on card|Postal code|ZIP code|Save card
|Enter the full card number.|This card number is not right.|Enter the full expiry date.|This expiry date is not right.|This card has expired.
|Enter the full security code.|This security code is not right.|Enter the name on the card.|Enter the postal code.|This postal code is not right.
|Sending your card …|This takes longer than usual. Please stay on this page.|The connection was lost. Trying again …|No connection. Nothing was lost: please try again.|The card was declined. Please use another card.|The card has insufficient funds.|This form has expired. Please reload the page.|Too many attempts. Please start again.|This does not work right now. Please try again.|Card saved.|Your bank asks you to confirm. Taking you there …
|One more check is needed. Please start the payment again.|You came back without your bank’s answer. Please reload the page.|Please go back to the shop and start again.|Pay {amount}|Security code received.`;

/** @type {Record<string, string>} */
const OTHERS = { ar, da, de, es, fr, he, it, ja, nl, pl, pt, sv };
const RIGHT_TO_LEFT = ["ar", "he"];

/** @typedef {Record<string, string> & Record<"lang"|"dir"|"title"|"number"|"expiry"|"hint"|"month"|"year"|"cvc"|"name"|"postal"|"zip"|"save"|"pay"|"sending"|"unavailable"|"saved"|"leaving"|"declined"|"code_taken", string>} Texts */

/** @param {string} lang @param {string} words @returns {Texts} */
function texts(lang, words) {
  const all = words.replaceAll("\n", "").split("|");
  const named = Object.fromEntries(NAMES.split("|").map((name, place) => [name, all[place] ?? ""]));
  return /** @type {Texts} */ ({ ...named, lang, dir: RIGHT_TO_LEFT.includes(lang) ? "rtl" : "ltr" });
}

export const english = texts("en", ENGLISH);

/** @param {string} locale a BCP 47 tag @returns {Texts} in its language, or in English */
export function textsOf(locale) {
  const asked = locale.toLowerCase().split(/[-_]/)[0] ?? "";
  // Hebrew's old code.
  const lang = asked === "iw" ? "he" : asked;
  const words = Object.hasOwn(OTHERS, lang) ? OTHERS[lang] : undefined;
  return words ? texts(lang, words) : english;
}

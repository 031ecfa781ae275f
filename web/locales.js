/**
 * @file The form's words: English here, twelve other languages in files of their own, of which a
 * shopper loads one. What is said to a shopper is short, calm and blames nobody.
 */

const NAMES =
  "title|number|expiry|hint|month|year|cvc|name|postal|zip|save" +
  "|number_incomplete|number_invalid|expiry_incomplete|expiry_invalid|expiry_past" +
  "|cvc_incomplete|cvc_incorrect|name_incomplete|postal_incomplete|postal_invalid" +
  "|sending|slow|retrying|network|declined|insufficient_funds|session_over|too_many|unavailable|saved|leaving";

const ENGLISH = `Card details|Card number|Expiry date|MM / YY|Month|Year|Security code|Name on card|Postal code|ZIP code|Save card
|Enter the full card number.|This card number is not right.|Enter the full expiry date.|This expiry date is not right.|This card has expired.
|Enter the full security code.|This security code is not right.|Enter the name on the card.|Enter the postal code.|This postal code is not right.
|Sending your card …|This takes longer than usual. Please stay on this page.|The connection was lost. Trying again …|No connection. Nothing was lost: please try again.|The card was declined. Please use another card.|The card has insufficient funds.|This form has expired. Please reload the page.|Too many attempts. Please start again.|This does not work right now. Please try again.|Card saved.|Your bank wants to see you. Taking you there …`;

const OTHERS = ["ar", "da", "de", "es", "fr", "he", "it", "ja", "nl", "pl", "pt", "sv"];
const RIGHT_TO_LEFT = ["ar", "he"];

/** @typedef {Record<string, string> & Record<"lang"|"dir"|"title"|"number"|"expiry"|"hint"|"month"|"year"|"cvc"|"name"|"postal"|"zip"|"save"|"sending"|"unavailable"|"saved"|"leaving", string>} Texts */

/** @param {string} lang @param {string} words @returns {Texts} */
function texts(lang, words) {
  const all = words.replaceAll("\n", "").split("|");
  const named = Object.fromEntries(NAMES.split("|").map((name, place) => [name, all[place] ?? ""]));
  return /** @type {Texts} */ ({ ...named, lang, dir: RIGHT_TO_LEFT.includes(lang) ? "rtl" : "ltr" });
}

export const english = texts("en", ENGLISH);

/** @param {string} locale a BCP 47 tag @returns {Promise<Texts>} in its language, or in English */
export async function textsOf(locale) {
  const asked = locale.toLowerCase().split(/[-_]/)[0] ?? "";
  // Hebrew's old code.
  const lang = asked === "iw" ? "he" : asked;
  if (!OTHERS.includes(lang)) return english;
  try {
    return texts(lang, (await import(`./locales/${lang}.js`)).default);
  } catch {
    return english;
  }
}

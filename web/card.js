/**
 * @file What a card number, an expiry date and a security code can be, and how people write them.
 * Knows no page; the service's own table is `src/card/brand.rs`, and a test holds both together.
 */

/** @typedef {"visa"|"mastercard"|"amex"|"discover"|"diners"|"jcb"|"unionpay"|"maestro"|"unknown"} Brand */

/** First and last of the first six digits, and whose they are. @type {[number, number, Brand][]} */
const RANGES = [
  [222100, 272099, "mastercard"],
  [300000, 305999, "diners"],
  [309500, 309599, "diners"],
  [340000, 349999, "amex"],
  [352800, 358999, "jcb"],
  [360000, 369999, "diners"],
  [370000, 379999, "amex"],
  [380000, 399999, "diners"],
  [400000, 499999, "visa"],
  [500000, 509999, "maestro"],
  [510000, 559999, "mastercard"],
  [560000, 589999, "maestro"],
  [601100, 601199, "discover"],
  [620000, 629999, "unionpay"],
  [630000, 639999, "maestro"],
  [644000, 659999, "discover"],
  [670000, 679999, "maestro"],
  [810000, 817199, "unionpay"],
];

/** Lengths that a number of a brand can have. @type {Record<Brand, number[]>} */
const LENGTHS = {
  visa: [16, 19],
  mastercard: [16],
  amex: [15],
  discover: [16, 17, 18, 19],
  diners: [14, 15, 16, 17, 18, 19],
  jcb: [16, 17, 18, 19],
  unionpay: [16, 17, 18, 19],
  maestro: [16, 17, 18, 19],
  unknown: [16, 17, 18, 19],
};

/** The zeros of the scripts whose digits people type or paste. */
const ZEROS = [0x30, 0x660, 0x6f0, 0x966, 0x9e6, 0xe50, 0xff10];

/** @param {string} text @returns {string} the text with every script's digits as ASCII */
export function ascii(text) {
  return text.replace(/\p{Nd}/gu, (letter) => {
    const point = letter.codePointAt(0) ?? 0;
    const zero = ZEROS.find((zero) => point >= zero && point < zero + 10);
    return zero === undefined ? "" : String(point - zero);
  });
}

/** @param {string} text @returns {string} its digits */
export const digitsOf = (text) => ascii(text).replace(/\D/g, "");

/** @param {string} digits as many as have been typed @returns {Brand} */
export function brandOf(digits) {
  if (digits === "") return "unknown";
  const lead = digits.slice(0, 6);
  const [low, high] = [Number(lead.padEnd(6, "0")), Number(lead.padEnd(6, "9"))];
  const range = RANGES.find(([first, last]) => first <= low && high <= last);
  return range ? range[2] : "unknown";
}

/** @param {Brand} brand @returns {number} the most digits that it has */
export const longest = (brand) => LENGTHS[brand][LENGTHS[brand].length - 1] ?? 19;

/** @param {Brand} brand @returns {number} */
export const cvcLength = (brand) => (brand === "amex" ? 4 : 3);

/** @param {string} digits @returns {boolean} whether Luhn's check (ISO/IEC 7812-1, annex B) holds */
export function luhn(digits) {
  let sum = 0;
  for (let place = 1; place <= digits.length; place += 1) {
    const digit = Number(digits[digits.length - place]);
    const twice = digit * 2;
    sum += place % 2 ? digit : twice > 9 ? twice - 9 : twice;
  }
  return sum % 10 === 0;
}

/** @param {string} digits @returns {string} grouped as it is embossed */
export function group(digits) {
  const brand = brandOf(digits);
  const short = brand === "amex" || (brand === "diners" && digits.length <= 14);
  const cut = short ? /^(\d{0,4})(\d{0,6})(\d*)$/ : /^(\d{0,4})(\d{0,4})(\d{0,4})(\d{0,4})(\d*)$/;
  return (cut.exec(digits) ?? []).slice(1).filter(Boolean).join(" ");
}

/** @param {string} digits @returns {""|"incomplete"|"invalid"} what is wrong with the number */
export function numberFault(digits) {
  const brand = brandOf(digits);
  if (LENGTHS[brand].includes(digits.length)) return luhn(digits) ? "" : "invalid";
  return digits.length < longest(brand) ? "incomplete" : "invalid";
}

/** @typedef {{month: string, year: string}} Expiry as typed: one or two, and up to four digits */

/** @param {string} text @returns {Expiry} however it is written: 12/34, 12-2034, 2034-12, 1234 */
export function splitExpiry(text) {
  const plain = ascii(text).trim();
  const turned = /^(\d{4})\D+(\d{1,2})$/.exec(plain);
  if (turned) return { month: (turned[2] ?? "").padStart(2, "0"), year: turned[1] ?? "" };
  const parts = plain.split(/\D+/).filter(Boolean);
  if (parts.length > 1 && (parts[0] ?? "").length <= 2) {
    return { month: (parts[0] ?? "").padStart(2, "0"), year: parts.slice(1).join("").slice(0, 4) };
  }
  const digits = parts.join("");
  // A slash says that the month is over.
  if (/^\d\D/.test(plain) && parts.length === 1) return { month: `0${digits}`, year: "" };
  // Nobody is born in the 13th month: 3 is March, and 13 begins with January.
  const one = /^[2-9]/.test(digits) || /^1[3-9]/.test(digits);
  const month = one ? `0${digits.slice(0, 1)}` : digits.slice(0, 2);
  return { month, year: digits.slice(one ? 1 : 2).slice(0, 4) };
}

/** @param {Expiry} expiry @returns {number} the year with its century, 0 while it is not one */
export function fullYear({ year }) {
  if (year.length === 2) return 2000 + Number(year);
  return year.length === 4 ? Number(year) : 0;
}

/**
 * @param {Expiry} expiry
 * @param {Date} now
 * @returns {""|"incomplete"|"invalid"|"past"} what is wrong with it
 */
export function expiryFault(expiry, now) {
  const month = Number(expiry.month);
  if (expiry.month.length === 2 && (month < 1 || month > 12)) return "invalid";
  const year = fullYear(expiry);
  if (expiry.month.length < 2 || year === 0) return "incomplete";
  const months = (year - now.getFullYear()) * 12 + month - now.getMonth() - 1;
  if (months < 0) return "past";
  // No issuer dates a card further ahead: a slip of the finger.
  return months > 50 * 12 ? "invalid" : "";
}

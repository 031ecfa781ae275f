/**
 * @file An amount as the shopper writes amounts. The service counts in the minor unit of ISO 4217;
 * how many digits that has stands here, because browsers take it from another table, in which the
 * Serbian dinar and some others have none.
 */

const NO_DIGITS = "bif clp djf gnf isk jpy kmf krw pyg rwf ugx uyi vnd vuv xaf xof xpf";
const THREE_DIGITS = "bhd iqd jod kwd lyd omr tnd";
const FOUR_DIGITS = "clf uyw";

/**
 * @param {number} amount in the minor unit
 * @param {string} currency ISO 4217, lower case
 * @param {string} locale what is no BCP 47 tag counts as the browser's own
 * @returns {string}
 */
export function money(amount, currency, locale) {
  const digits = NO_DIGITS.includes(currency) ? 0 : THREE_DIGITS.includes(currency) ? 3 : FOUR_DIGITS.includes(currency) ? 4 : 2;
  /** @type {Intl.NumberFormatOptions} */
  const as = { style: "currency", currency, minimumFractionDigits: digits, maximumFractionDigits: digits };
  const value = amount / 10 ** digits;
  try {
    return new Intl.NumberFormat(locale, as).format(value);
  } catch {
    return new Intl.NumberFormat(undefined, as).format(value);
  }
}

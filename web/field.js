/**
 * @file Text that is written neatly while it is typed: spaces come and go, the caret stays beside
 * the digit it was beside. The value is touched only when it differs, so that undo keeps working.
 */
import { ascii, brandOf, digitsOf, group, longest, splitExpiry } from "./card.js";

/** @typedef {(text: string, erasing: boolean) => string} Format */

/** @type {Format} */
export function numberFormat(text) {
  const digits = digitsOf(text);
  return group(digits.slice(0, longest(brandOf(digits))));
}

/** @type {Format} */
export function expiryFormat(text, erasing) {
  const plain = ascii(text).trim();
  if (!/\d/.test(plain)) return "";
  // While something is taken away, nothing is put in its place.
  if (erasing && /^\d{0,2}\D*$/.test(plain)) return plain.replace(/\D/g, "");
  if (/^[01]$/.test(plain)) return plain;
  const { month, year } = splitExpiry(plain);
  return year || !erasing ? `${month} / ${year}` : month;
}

/** @param {number} most @returns {Format} */
export const digitsFormat = (most) => (text) => digitsOf(text).slice(0, most);

/**
 * @param {HTMLInputElement} input
 * @param {Format} format
 * @param {() => void} changed
 */
export function neat(input, format, changed) {
  input.addEventListener("beforeinput", (event) => {
    // Backspace right after a space takes the digit before the space, not the space.
    const at = input.selectionStart ?? 0;
    const { value } = input;
    if (at !== input.selectionEnd) return;
    const [back, ahead] = [/\d\D+$/.exec(value.slice(0, at)), /^\D+\d/.exec(value.slice(at))];
    if (event.inputType === "deleteContentBackward" && back) input.setRangeText("", back.index, at, "end");
    else if (event.inputType === "deleteContentForward" && ahead) input.setRangeText("", at, at + ahead[0].length, "end");
    else return;
    event.preventDefault();
    write(input, format(input.value, true));
    changed();
  });
  input.addEventListener("input", (event) => {
    const kind = /** @type {InputEvent} */ (event).inputType ?? "";
    write(input, format(input.value, kind.startsWith("delete")));
    changed();
  });
}

/** @param {HTMLInputElement} input @param {string} neatly */
function write(input, neatly) {
  const { value } = input;
  if (value === neatly) return;
  const at = input.selectionStart ?? value.length;
  const before = digitsOf(value.slice(0, at)).length;
  input.value = neatly;
  if (document.activeElement !== input) return;
  let caret = at >= value.length ? neatly.length : 0;
  for (let seen = 0; seen < before && caret < neatly.length; caret += 1) {
    if (/\d/.test(neatly[caret] ?? "")) seen += 1;
  }
  input.setSelectionRange(caret, caret);
}

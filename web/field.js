/**
 * @file Text that is written neatly while it is typed: spaces come and go, the caret stays beside
 * the digit it was beside. The value is touched only when it differs, so that undo keeps working,
 * and never while an input method composes: what is composed is not there yet.
 */
import { ascii, brandOf, digitsOf, group, longest, splitExpiry } from "./card.js";

/** @typedef {(text: string, erasing: boolean, caret: number) => string} Format */

/** @type {Format} */
export function numberFormat(text) {
  const digits = digitsOf(text);
  return group(digits.slice(0, longest(brandOf(digits))));
}

/** @type {Format} */
export function expiryFormat(text, erasing, caret) {
  // Somebody is at work on one part of a date that has two: the other one stays as it is, and the
  // month is not completed before it is left.
  const parts = caret < text.length && /^(\d*)(\D+)(\d*)$/.exec(ascii(text));
  if (parts) {
    const [, month = "", , year = ""] = parts;
    const at = month.length;
    return `${caret > at && at === 1 ? `0${month}` : month.slice(0, 2)} / ${year.slice(0, 4)}`;
  }
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
  /** @param {boolean} erasing @param {boolean} typed by hand, and not pasted or filled in */
  const tidy = (erasing, typed) => {
    const { value, selectionStart } = input;
    write(input, format(value, erasing, typed ? (selectionStart ?? value.length) : value.length));
    changed();
  };
  input.addEventListener("beforeinput", (event) => {
    // Backspace right after a space takes the digit before the space, not the space.
    const at = input.selectionStart ?? 0;
    const { value } = input;
    if (event.isComposing || at !== input.selectionEnd) return;
    const [back, ahead] = [/\d\D+$/.exec(value.slice(0, at)), /^\D+\d/.exec(value.slice(at))];
    if (event.inputType === "deleteContentBackward" && back) {
      input.setRangeText("", back.index, back.index + 1, "end");
      input.setSelectionRange(back.index, back.index);
    } else if (event.inputType === "deleteContentForward" && ahead) {
      const end = at + ahead[0].length;
      input.setRangeText("", end - 1, end, "end");
    } else return;
    event.preventDefault();
    tidy(true, true);
  });
  input.addEventListener("input", (event) => {
    const { inputType = "", isComposing } = /** @type {InputEvent} */ (event);
    const erasing = inputType.startsWith("delete");
    if (!isComposing) tidy(erasing, erasing || inputType === "insertText");
  });
  input.addEventListener("compositionend", () => tidy(false, true));
  input.addEventListener("blur", () => write(input, format(input.value, false, input.value.length)));
}

/** @param {HTMLInputElement} input @param {string} neatly */
function write(input, neatly) {
  const { value } = input;
  if (value === neatly) return;
  const at = input.selectionStart ?? value.length;
  // A month that was completed has a digit more before the caret.
  const more = Math.max(0, digitsOf(neatly).length - digitsOf(value).length);
  const before = digitsOf(value.slice(0, at)).length + more;
  input.value = neatly;
  if (document.activeElement !== input) return;
  let caret = at >= value.length ? neatly.length : 0;
  for (let seen = 0; seen < before && caret < neatly.length; caret += 1) {
    if (/\d/.test(neatly[caret] ?? "")) seen += 1;
  }
  input.setSelectionRange(caret, caret);
}

/**
 * @file Looks: the few variables that a shop may set, each with the values it can have. Nothing
 * else of the shop's reaches a style sheet, and none of it can load anything.
 */

/** @param {string} value @returns {boolean} */
const color = (value) =>
  /^[#a-z0-9(),.%\s/-]{1,64}$/i.test(value) && !/url|var|env|attr|image/i.test(value) && CSS.supports("color", value);

/** @param {string} value @returns {number} in pixels of a browser that nobody has changed */
const pixels = (value) => parseFloat(value) * (value.endsWith("rem") ? 16 : 1);

/** @param {number} most pixels @returns {(value: string) => boolean} */
const length = (most) => (value) => /^\d{1,2}(\.\d{1,4})?(px|rem)$/.test(value) && pixels(value) <= most;

/** @type {Record<string, (value: string) => boolean>} */
const ALLOWED = {
  accent: color,
  background: color,
  text: color,
  muted: color,
  border: color,
  error: color,
  success: color,
  radius: length(24),
  gap: length(32),
  fontSize: (value) => length(24)(value) && pixels(value) >= 12,
  fontFamily: (value) => /^[\w ,"'-]{1,120}$/.test(value),
};

/**
 * @param {HTMLElement} root
 * @param {Record<string, string>} theme
 * @returns {string[]} the members that were refused
 */
export function dress(root, theme) {
  const refused = [];
  for (const [name, value] of Object.entries(theme)) {
    const allowed = Object.hasOwn(ALLOWED, name) ? ALLOWED[name] : undefined;
    if (allowed?.(value)) {
      root.style.setProperty(`--${name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`, value);
    } else {
      refused.push(name);
    }
  }
  return refused;
}

/**
 * @file What a tab keeps for its session. Where a browser keeps nothing (cookies blocked), nothing
 * is kept, and nobody is stopped by that.
 */

/** @param {string} name @param {string} value @returns {boolean} whether it is kept */
export function keep(name, value) {
  try {
    sessionStorage.setItem(name, value);
    return true;
  } catch {
    return false;
  }
}

/** @param {string} name @returns {string | null} */
export function kept(name) {
  try {
    return sessionStorage.getItem(name);
  } catch {
    return null;
  }
}

/** @param {string} name @returns {string | null} what was kept, once */
export function take(name) {
  const value = kept(name);
  if (value !== null) sessionStorage.removeItem(name);
  return value;
}

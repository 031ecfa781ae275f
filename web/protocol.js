/**
 * @file What may come over the port, and nothing else: each message is read into a fresh record of
 * known members, each of a known kind and length. What does not fit is no message; of options, what
 * does not fit is left out, because a form with one wrong colour is better than none.
 */

/** @typedef {(value: unknown) => any} Reader answers undefined for what it does not take */

/** Options that are looked at. */
const MEMBERS_MAX = 16;

/** @param {number} most @returns {Reader} */
const text = (most) => (value) => (typeof value === "string" && value.length <= most ? value : undefined);

/** @param {...unknown} choices @returns {Reader} */
const one = (...choices) => (value) => (choices.includes(value) ? value : undefined);

/** @type {Reader} */
const flag = one(true, false);

/** @type {Reader} */
const count = (value) => (Number.isSafeInteger(value) && Number(value) >= 0 ? value : undefined);

/** @type {Reader} */
const path = (value) =>
  typeof value === "string" && value.length <= 500 && /^\/(?!\/)[\x21-\x7e]*$/.test(value) && !value.includes("\\")
    ? value
    : undefined;

/**
 * A plain object with no other members than these, each optional.
 * @param {Record<string, Reader>} members @returns {Reader}
 */
const record = (members) => (value) => {
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) {
    return undefined;
  }
  /** @type {Record<string, unknown>} */
  const read = Object.create(null);
  for (const name of Reflect.ownKeys(value)) {
    if (typeof name !== "string" || !Object.hasOwn(members, name)) return undefined;
    const given = Reflect.get(value, name);
    if (given === undefined) continue;
    const member = members[name]?.(given);
    if (member === undefined) return undefined;
    read[name] = member;
  }
  return read;
};

/**
 * A plain object of which each member is taken or left by itself; what is left is named in `left`.
 * @param {Record<string, Reader>} members @returns {Reader}
 */
const choices = (members) => (value) => {
  if (typeof value !== "object" || value === null || Object.getPrototypeOf(value) !== Object.prototype) {
    return undefined;
  }
  const [read, left] = [Object.create(null), /** @type {string[]} */ ([])];
  for (const name of Reflect.ownKeys(value).slice(0, MEMBERS_MAX)) {
    const given = Reflect.get(value, name);
    if (given === undefined) continue;
    const known = typeof name === "string" && Object.hasOwn(members, name);
    const member = known ? members[name]?.(given) : undefined;
    if (member === undefined) left.push(String(name).slice(0, 40));
    else read[name] = member;
  }
  return { read, left };
};

/** @type {Reader} up to sixteen values by name; `theme.js` decides what they mean */
const theme = (value) => {
  if (typeof value !== "object" || value === null || Object.keys(value).length > MEMBERS_MAX) return undefined;
  const members = Object.fromEntries(Object.keys(value).map((name) => [name, text(120)]));
  return choices(members)(value);
};

const options = choices({
  locale: text(35),
  layout: one("stacked", "inline"),
  expiry: one("single", "split"),
  scheme: one("light", "dark", "auto"),
  name: flag,
  postalCode: flag,
  country: (value) => (typeof value === "string" && /^[a-z]{2}$/i.test(value) ? value.toUpperCase() : undefined),
  theme,
});

const billing = record({
  name: text(200),
  email: text(200),
  phone: text(200),
  address: record({
    line1: text(200),
    line2: text(200),
    city: text(200),
    state: text(200),
    postal_code: text(200),
    country: text(2),
  }),
});

/** @type {Record<string, Record<string, Reader>>} */
const FROM_SHOP = {
  init: { secret: text(200), options },
  update: { options },
  tokenize: { id: count, billing, returnPath: path },
  focus: {},
  clear: {},
  fail: { code: one("canceled") },
};

/**
 * @param {unknown} data
 * @returns {Record<string, any> | undefined} the message, or nothing
 */
export function read(data) {
  if (typeof data !== "object" || data === null || !Object.hasOwn(data, "type")) return undefined;
  const type = Reflect.get(data, "type");
  if (typeof type !== "string" || !Object.hasOwn(FROM_SHOP, type)) return undefined;
  const message = record({ ...FROM_SHOP[type], type: one(type) })(data);
  const whole =
    type === "tokenize" ? message?.["id"] !== undefined : type === "fail" ? message?.["code"] : type !== "init" || message?.["secret"];
  return whole ? message : undefined;
}

/**
 * Cloakroom's card form for pages that are bundled. Nothing of the form is in here: this fetches the
 * loader of the shop's capture plane, which is of the same release as the frame that it shows, and
 * lets the browser refuse every byte that the shop has not named. Guide: docs/checkout.md.
 */

/** A line that is this slow is none. */
const LOAD_MS = 60_000;
/** What was lost is asked for once more, a moment later. */
const AGAIN_MS = 1_000;

/** @param {string} code @returns {import("./index.js").CardError} */
const fault = (code) => /** @type {any} */ (Object.assign(new Error(code), { name: "CardError", code, retryable: true }));

/**
 * The address, if it is one of a loader whose bytes never change and the hash is of the same bytes.
 * @param {import("./index.js").Loader} loader @returns {string}
 */
function checked({ src, integrity }) {
  const name = /^https:\/\/[^/?#]+\/fields\/v1\/loader\.([\w-]{12})\.js$/.exec(src)?.[1];
  if (!name) throw new TypeError("loader.src is not the address that `cloakroom check` prints");
  if (!/^sha384-[A-Za-z0-9+/]{64}$/.test(integrity)) throw new TypeError("loader.integrity is not a sha384 hash");
  const same = integrity.slice(7, 19).replaceAll("+", "-").replaceAll("/", "_") === name;
  if (!same) throw new TypeError("loader.src and loader.integrity are of different releases");
  return src;
}

/** @type {{createScriptURL: (src: string) => any} | undefined} */
let policy;

/** @param {string} src @returns {string} as a page takes it that demands Trusted Types */
function trusted(src) {
  try {
    const { trustedTypes } = /** @type {any} */ (globalThis);
    const rules = { createScriptURL: (/** @type {string} */ url) => url };
    policy ??= trustedTypes?.createPolicy("cloakroom-fields", rules);
  } catch {
    // The page allows no policy of this name: where it demands one, the next line of the caller says so.
  }
  return policy ? policy.createScriptURL(src) : src;
}

/**
 * @param {import("./index.js").Loader} loader
 * @param {string} more what makes a second attempt another module to the browser
 * @returns {Promise<import("./index.js").Cloakroom>}
 */
const fetched = (loader, more = "") =>
  new Promise((resolve, reject) => {
    const script = document.createElement("script");
    const end = (/** @type {boolean} */ loaded) => {
      clearTimeout(timer);
      const { Cloakroom } = /** @type {any} */ (globalThis);
      if (loaded && Cloakroom) return resolve(Cloakroom);
      script.remove();
      reject(fault("unavailable"));
    };
    const timer = setTimeout(end, LOAD_MS, false);
    script.type = "module";
    script.crossOrigin = "anonymous";
    script.integrity = loader.integrity;
    script.onload = () => end(true);
    script.onerror = () => end(false);
    script.src = trusted(checked(loader) + more);
    document.head.append(script);
  });

/** @param {import("./index.js").Loader} loader @returns {Promise<import("./index.js").Cloakroom>} */
async function insisted(loader) {
  try {
    return await fetched(loader);
  } catch (thrown) {
    // What the shop has misspelt is no better a second time.
    if (thrown instanceof TypeError) throw thrown;
    await new Promise((resolve) => setTimeout(resolve, AGAIN_MS));
    return fetched(loader, "#2");
  }
}

/** What is being fetched, or has been. @type {Map<string, Promise<import("./index.js").Cloakroom>>} */
const known = new Map();

/** @type {typeof import("./index.js").loadCloakroom} */
export async function loadCloakroom(loader) {
  // On a server there is no form.
  if (typeof document === "undefined") return null;
  const there = /** @type {any} */ (globalThis).Cloakroom;
  if (there) return there;
  const { src } = loader;
  const loading = known.get(src) ?? insisted(loader);
  known.set(src, loading);
  // What was lost twice is asked for anew when somebody asks anew.
  loading.catch(() => known.delete(src));
  return loading;
}

/** @type {typeof import("./index.js").mountCard} */
export function mountCard(place, { loader, clientSecret, options = {}, on = {} }) {
  let wanted = { ...options };
  let over = false;
  /** @type {import("./index.js").Card | undefined} */
  let card;
  const mounted = async () => {
    const cloakroom = await loadCloakroom(loader);
    const fields = await cloakroom?.loadFields({ clientSecret });
    if (over || !fields) return;
    card = fields.create("card", wanted);
    for (const [name, listener] of Object.entries(on)) if (listener) card.on(/** @type {any} */ (name), listener);
    card.mount(place);
  };
  mounted().catch((thrown) => {
    if (!over) on.error?.(thrown);
  });
  return {
    tokenize: async (order) => {
      if (!card) throw fault(over ? "unmounted" : "not_ready");
      return card.tokenize(order);
    },
    update: (more) => {
      wanted = { ...wanted, ...more };
      card?.update(more);
    },
    focus: () => void card?.focus(),
    clear: () => void card?.clear(),
    unmount: () => {
      over = true;
      card?.unmount();
    },
  };
}

/**
 * @file Takes the card, or the code of a saved one, to the service: one request, repeated under the same key when its outcome
 * is not known, so that however often it is sent there is one token.
 */

/** @typedef {{number: string, exp_month: number, exp_year: number, cvc: string}} Card */
/** @typedef {{code: string, retryable: boolean, decline?: string, fields?: Record<string, string>}} Fault */
/** @typedef {{token: string, card: Record<string, unknown>, status: string, redirectUrl?: string}} Made */
/** @typedef {{securityCode: string, token: string, expiresAt: string}} Taken of a saved card */
/** @typedef {(state: "slow"|"retrying") => void} Tell */

const REQUEST_MS = 60_000;
const SLOW_MS = 6_000;
/** Waits before the repetitions; with a jitter, so that a crowd does not come back at once. */
const WAITS_MS = [800, 2_500];
/** Repetitions of what is still running elsewhere. */
const BUSY_MAX = 8;

/** What each code of the service comes to, in the words that the form has. @type {Record<string, string>} */
const MEANINGS = {
  malformed_request: "unavailable",
  unauthenticated: "session_over",
  card_declined: "declined",
  not_granted: "unavailable",
  verification_required: "verification_required",
  not_found: "unavailable",
  method_not_allowed: "unavailable",
  request_timeout: "unavailable",
  conflict_in_flight: "unavailable",
  token_deleted: "unavailable",
  body_too_large: "unavailable",
  unsupported_media_type: "unavailable",
  invalid_card: "invalid",
  invalid_request: "unavailable",
  idempotency_mismatch: "unavailable",
  rate_limited: "too_many",
  internal: "unavailable",
  processor_unavailable: "unavailable",
  store_unavailable: "unavailable",
  sealed: "unavailable",
};

/** Codes of issuers that point at a field. @type {Record<string, [string, string]>} */
const POINTED = {
  incorrect_number: ["number", "invalid"],
  invalid_number: ["number", "invalid"],
  expired_card: ["expiry", "past"],
  invalid_expiry_month: ["expiry", "invalid"],
  invalid_expiry_year: ["expiry", "invalid"],
  incorrect_cvc: ["cvc", "incorrect"],
  invalid_cvc: ["cvc", "incorrect"],
  incorrect_zip: ["postal", "invalid"],
};

/** @param {number} ms */
const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms * (1 + Math.random() / 4)));

export class Courier {
  /** The key of an attempt whose outcome is not known, and a hash of what it sent. */
  #key = "";
  #hash = "";

  /**
   * @param {string} secret the session's
   * @param {{card: Card, billing_details?: object, return_path?: string} | {cvc: string}} order
   * @param {Tell} tell
   * @returns {Promise<Made | Taken>} rejects with a Fault
   */
  async deliver(secret, order, tell) {
    const body = JSON.stringify(order);
    // The same order is the same attempt, however often it was typed.
    if (this.#key === "" || (await hashOf(this.#key + body)) !== this.#hash) {
      this.#key = crypto.randomUUID();
      this.#hash = await hashOf(this.#key + body);
    }
    const slow = setTimeout(() => tell("slow"), SLOW_MS);
    try {
      const made = await this.#insist("cvc" in order ? "/v1/security_codes" : "/v1/tokens", secret, body, tell);
      this.#key = "";
      return made;
    } finally {
      clearTimeout(slow);
    }
  }

  /** @param {string} path @param {string} secret @param {string} body @param {Tell} tell @returns {Promise<Made | Taken>} */
  async #insist(path, secret, body, tell) {
    for (let lost = 0, busy = 0; ; ) {
      const answer = await post(path, secret, this.#key, body).catch(() => undefined);
      const problem = answer && (await answer.json().catch(() => undefined));
      if (answer?.ok && typeof problem?.id === "string") return made(problem);
      if (answer?.status === 409 && busy < BUSY_MAX) {
        busy += 1;
        await wait(1_000);
        continue;
      }
      const unknown = !answer || answer.status >= 500 || (answer.ok && !problem);
      const again = WAITS_MS[lost];
      if (unknown && again !== undefined) {
        lost += 1;
        tell("retrying");
        await wait(again);
        continue;
      }
      if (!unknown && answer?.status !== 409) this.#key = "";
      throw fault(answer?.status ?? 0, problem);
    }
  }
}

/** @param {string} text @returns {Promise<string>} kept in memory only, and only as long as the attempt */
async function hashOf(text) {
  const hash = await crypto.subtle.digest("SHA-256", new TextEncoder().encode(text));
  return String.fromCharCode(...new Uint8Array(hash));
}

/** @param {string} path @param {string} secret @param {string} key @param {string} body */
const post = (path, secret, key, body) =>
  fetch(path, {
    method: "POST",
    headers: { "Authorization": `Bearer ${secret}`, "Content-Type": "application/json", "Idempotency-Key": key },
    body,
    cache: "no-store",
    credentials: "omit",
    redirect: "error",
    signal: AbortSignal.timeout(REQUEST_MS),
  });

/** @param {any} token or code @returns {Made | Taken} */
function made(token) {
  if (token.object === "security_code") return { securityCode: token.id, token: token.token, expiresAt: token.expires_at };
  const redirectUrl = token.next_action?.redirect_url;
  return {
    token: token.id,
    status: token.status,
    card: token.card,
    ...(typeof redirectUrl === "string" && /^https:\/\//.test(redirectUrl) ? { redirectUrl } : {}),
  };
}

/** @param {number} status @param {any} problem @returns {Fault} */
function fault(status, problem) {
  const retryable = problem?.retryable === true;
  if (status === 0) return { code: "network", retryable: true };
  const meaning = Object.hasOwn(MEANINGS, problem?.code) ? MEANINGS[problem.code] : undefined;
  if (status === 401) return { code: "session_over", retryable: false };
  if (status === 429) return { code: "too_many", retryable: false };
  if (status === 402) {
    const decline = String(problem?.decline?.code ?? "generic_decline");
    const [field, reason] = POINTED[decline] ?? [];
    return { code: "declined", retryable, decline, ...(field && reason ? { fields: { [field]: reason } } : {}) };
  }
  if (status === 422 && problem?.code === "invalid_card") return { code: "invalid", retryable: false, fields: pointed(problem) };
  return { code: meaning ?? "unavailable", retryable: retryable || status >= 500 };
}

/** @param {any} problem @returns {Record<string, string>} which of our fields the service points at */
function pointed(problem) {
  /** @type {Record<string, string>} */
  const fields = {};
  for (const { pointer, reason } of Array.isArray(problem.errors) ? problem.errors : []) {
    const name = String(pointer).replace(/^\/(card\/)?/, "").replace(/^exp_.*/, "expiry");
    if (["number", "expiry", "cvc"].includes(name)) fields[name] = reason === "past" || reason === "expired" ? "past" : "invalid";
  }
  return fields;
}

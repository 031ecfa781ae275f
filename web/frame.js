/**
 * @file The frame: meets the shop's page, whose origin the service has named, and from then on
 * speaks over a private port. What is typed does not go over it, in any form.
 */
import { CardForm } from "./form.js";
import { read } from "./protocol.js";

const root = document.documentElement;
const shop = root.dataset["origin"] ?? "";
const nonce = crypto.randomUUID();
let dropped = 0;
/** @type {MessagePort | undefined} */
let port;
let secret = "";

/** What was not understood is counted, for whoever looks into the frame. */
const drop = (count = 1) => {
  dropped += count;
  root.dataset["dropped"] = String(dropped);
};

/** @param {Record<string, unknown>} message */
const tell = (message) => port?.postMessage(message);

const form = new CardForm({
  submit: () => tell({ type: "submit" }),
  change: (state) => tell({ type: "change", ...state }),
  dropped: (names) => {
    if (names.length === 0) return;
    drop();
    // What the shop's developer has misspelt is said where they look.
    tell({ type: "dropped", names });
  },
});

addEventListener("message", (event) => {
  const { data } = event;
  const meant =
    !port &&
    event.source === window.parent &&
    event.origin === shop &&
    event.ports.length === 1 &&
    typeof data === "object" &&
    data?.cloakroom === 1 &&
    data.type === "connect" &&
    data.nonce === nonce;
  if (!meant) return drop();
  port = event.ports[0];
  if (port) port.onmessage = ({ data }) => take(data);
});

/** @param {unknown} data */
function take(data) {
  const message = read(data);
  // The first thing said is the secret, once; nothing is done before it.
  if (!message || (message["type"] === "init") !== (secret === "")) {
    drop();
    const { type, id } = /** @type {Record<string, unknown>} */ (Object(data));
    // Who waits for an answer gets one.
    if (type === "tokenize" && Number.isSafeInteger(id)) tell({ type: "answer", id, fault: { code: "malformed", retryable: false } });
    return;
  }
  switch (message["type"]) {
    case "init":
      secret = message["secret"];
      update(message["options"]);
      document.body.classList.remove("waiting");
      measure();
      new ResizeObserver(measure).observe(document.body);
      return tell({ type: "ready", kind: root.dataset["saved"] ? "cvc" : "card" });
    case "update":
      return update(message["options"]);
    case "fail":
      return form.fail(message["code"]);
    case "focus":
      return form.focus();
    case "clear":
      return form.clear();
    case "tokenize":
      return void tokenize(message);
  }
}

/** @param {{read: Record<string, any>, left: string[]} | undefined} options */
function update({ read: options, left } = { read: {}, left: [] }) {
  const { read: theme, left: wrong = [] } = options["theme"] ?? {};
  form.update({ ...options, theme }, [...left, ...wrong.map((/** @type {string} */ name) => `theme.${name}`)]);
}

let running = false;

/** @param {Record<string, any>} message */
async function tokenize({ id, billing, returnPath }) {
  if (running) return tell({ type: "answer", id, fault: { code: "busy", retryable: true } });
  running = true;
  try {
    const made = await form.tokenize(secret, billing ?? {}, returnPath);
    tell({ type: "answer", id, made });
  } catch (thrown) {
    const { code, retryable, decline, fields } = /** @type {import("./courier.js").Fault} */ (thrown);
    const field = fields && Object.keys(fields)[0];
    tell({ type: "answer", id, fault: { code, retryable, decline, field } });
  } finally {
    running = false;
  }
}

function measure() {
  tell({ type: "height", value: Math.ceil(document.body.getBoundingClientRect().height) });
}

if (window.parent === window) {
  // In a window of its own the frame has nobody to hand a token to.
  document.body.classList.remove("waiting");
  form.fail("go_back");
} else {
  window.parent.postMessage({ cloakroom: 1, type: "hello", nonce }, shop);
}

// The demo shop's page, as a merchant would write it: asks its own backend for a session, lets the
// frame take the card, and hands the token to its backend, which charges it.
import { loadFields, returned } from "{{loader}}";

const element = (id) => document.getElementById(id);
const [pay, status] = [element("pay"), element("status")];

const say = (text, kind = "") => {
  status.textContent = text;
  status.dataset.kind = kind;
};

const wait = (ms) => new Promise((resolve) => setTimeout(resolve, ms));

/** Asks the shop's backend; a lost line is tried again, because the backend does each order once. */
const post = async (url, body) => {
  for (let attempt = 0; ; attempt += 1) {
    try {
      const answer = await fetch(url, {
        method: "POST",
        headers: { "Content-Type": "application/json" },
        body: JSON.stringify(body),
        signal: AbortSignal.timeout(60_000),
      });
      if (answer.status < 500) return await answer.json();
    } catch {
      // The outcome is not known; the next attempt asks for it.
    }
    if (attempt === 2) throw new Error("no answer");
    await wait(1_000 * 2 ** attempt);
  }
};

const ANOTHER = "The card was declined. Please use another card.";
const LATER = "Your bank could not answer. Please try again in a moment.";
const LIMIT = "The card has reached its limit. Please use another card.";

/**
 * What a shopper is told of a decline. The code is for the shop's own eyes: who has stolen a card
 * does not learn that it is known to be stolen.
 */
const DECLINED = {
  generic_decline: ANOTHER,
  fraudulent: ANOTHER,
  lost_card: ANOTHER,
  stolen_card: ANOTHER,
  insufficient_funds: "The card has insufficient funds. Please use another card.",
  expired_card: "The card has expired. Please use another card.",
  incorrect_cvc: "The security code is not right. Please check it, or use another card.",
  incorrect_zip: "The postal code is not right. Please check it, or use another card.",
  card_velocity_exceeded: LIMIT,
  withdrawal_count_limit_exceeded: LIMIT,
  processing_error: LATER,
  try_again_later: LATER,
  issuer_not_available: LATER,
  currency_not_supported: "The card cannot pay in this currency. Please use another card.",
  card_detached: "This card cannot be used any more. Please enter it again.",
  authentication_not_supported: "Your bank wants a confirmation that we cannot offer. Please use another card.",
  authentication_required: "Your bank wants to confirm this payment. Please try again.",
  payment_intent_authentication_failure: "Your bank did not confirm this payment. Nothing was charged: please try again.",
};

/** Offers what can be done next, and nothing else. */
const offer = (text, act) => {
  element("again").textContent = text;
  element("again").hidden = false;
  element("again").onclick = (event) => {
    event.preventDefault();
    element("again").hidden = true;
    act();
  };
};

/**
 * Asks the shop's backend to charge an order, or what became of its charge, and shows what it says.
 * Asked again, an order is paid once, however often.
 */
async function settle(url, body) {
  element("form").querySelector("#card").hidden = true;
  pay.hidden = true;
  element("hosted").hidden = true;
  say("Paying …");
  let charged;
  try {
    charged = await post(url, body);
  } catch {
    say("We could not reach the shop. You have not been charged twice: please try again.", "bad");
    return offer("Try again", () => settle(url, body));
  }
  if (!charged) {
    say("No card was taken. Please start again.", "bad");
    return offer("Start again", () => location.assign("/"));
  }
  // A browser that the order was not begun in is told how it stands, and no more.
  element("charge").textContent = charged.id ?? "";
  element("receipt").hidden = !charged.id;
  if (charged.next_action) {
    say("The bank asks for one more confirmation. Taking you there …");
    return location.assign(charged.next_action.redirect_url);
  }
  if (charged.status === "requires_action") {
    say("The bank asks for one more confirmation. Please go on in the browser in which you began.");
    return offer("Look again", () => settle(url, body));
  }
  if (charged.status === "succeeded") {
    say("Thank you! Your ticket is paid.", "good");
    return offer("Buy another ticket", () => location.assign("/"));
  }
  if (charged.status === "processing") {
    say("Your bank is still at work. We will write to you when the ticket is paid.");
    return offer("Look again", () => settle(url, body));
  }
  say(DECLINED[charged.decline?.code] ?? ANOTHER, "bad");
  offer("Use another card", () => location.assign("/"));
}

async function checkout() {
  const { client_secret: clientSecret, id: session, pay: hosted } = await post("/session", {});
  element("hosted").href = `${hosted}?return=/#${clientSecret}`;
  const fields = await loadFields({ clientSecret });
  const card = fields.create("card", { title: "Card details" });
  card.on("ready", () => (pay.disabled = false));
  card.on("error", () => say("The card form could not be loaded. Please reload the page.", "bad"));
  card.on("submit", () => element("form").requestSubmit());
  card.mount("#card");
  element("form").addEventListener("submit", async (event) => {
    event.preventDefault();
    pay.disabled = true;
    say("");
    try {
      const made = await card.tokenize();
      element("summary").textContent = `${made.card.brand} ···· ${made.card.last4}`;
      await settle("/charge", { session });
    } catch (error) {
      // The form has told the shopper why. Where this session takes no card any more, a new one does.
      if (["canceled", "session_over", "too_many"].includes(error.code)) offer("Start again", () => location.assign("/"));
      pay.disabled = false;
    }
  });
}

element("cards").addEventListener("click", (event) => {
  const number = event.target.closest("button")?.dataset.number;
  if (number) navigator.clipboard.writeText(number).then(() => say("Copied. Paste it into the card number."));
});

pay.disabled = true;
const back = returned();
const paid = new URLSearchParams(location.search).get("cloakroom_charge");
if (paid) {
  history.replaceState(null, "", location.pathname);
  await settle("/outcome", { charge: paid });
} else if (back && back.status !== "failed") await settle("/charge", { session: back.session });
else {
  if (back) say("The bank did not confirm the card. Please try again, or use another card.", "bad");
  await checkout().catch(() => {
    say("We could not reach the shop.", "bad");
    offer("Try again", () => location.reload());
  });
}

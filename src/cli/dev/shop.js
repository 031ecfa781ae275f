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

/** What a shopper is told of a decline. The code is for the shop's own eyes. */
const DECLINED = {
  insufficient_funds: "The card has insufficient funds. Please use another card.",
  expired_card: "The card has expired. Please use another card.",
  authentication_required: "Your bank wants to confirm this payment. Please try again.",
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

/** Tells the shop's backend which token to charge for which order, and shows what came of it. */
async function charge(token, session) {
  element("form").querySelector("#card").hidden = true;
  pay.hidden = true;
  element("hosted").hidden = true;
  say("Paying …");
  let charged;
  try {
    charged = await post("/charge", { token, session });
  } catch {
    // Asked again under the same order it is paid once, however often.
    say("We could not reach the shop. You have not been charged twice: please try again.", "bad");
    return offer("Try again", () => charge(token, session));
  }
  element("charge").textContent = charged.id ?? charged.charge ?? "none";
  element("token").textContent = token;
  element("receipt").hidden = false;
  if (charged.next_action) {
    say("The bank asks for one more confirmation. Taking you there …");
    return location.assign(charged.next_action.redirect_url);
  }
  if (charged.status === "succeeded") {
    say("Thank you! Your ticket is paid.", "good");
    return offer("Buy another ticket", () => location.assign("/"));
  }
  if (charged.status === "processing") {
    say("Your bank is still at work. We will write to you when the ticket is paid.");
    return offer("Look again", () => charge(token, session));
  }
  say(DECLINED[charged.decline?.code] ?? "The payment was declined. Please use another card.", "bad");
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
      await charge(made.token, session);
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
if (back?.token && back.status !== "failed") await charge(back.token, back.session);
else {
  // The bank's app may come back in another browser, which does not know the token.
  if (back?.status === "succeeded") say("Your bank has confirmed the card. Please finish in the window where you began, or pay again here.");
  else if (back) say("The bank did not confirm the card. Please try again, or use another card.", "bad");
  await checkout().catch(() => {
    say("We could not reach the shop.", "bad");
    offer("Try again", () => location.reload());
  });
}

// The demo shop's page, as a merchant would write it: asks its own backend for a session, lets the
// frame take the card, and hands the token to its backend, which charges it.
import { loadFields, returned } from "{{loader}}";

const element = (id) => document.getElementById(id);
const [pay, status] = [element("pay"), element("status")];

const say = (text, kind = "") => {
  status.textContent = text;
  status.dataset.kind = kind;
};

const post = async (url, body) => {
  const answer = await fetch(url, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
  return answer.json();
};

/** Tells the shop's backend which token to charge for which order, and shows what came of it. */
async function charge(token, session) {
  element("form").querySelector("#card").hidden = true;
  pay.hidden = true;
  element("hosted").hidden = true;
  say("Charging the token …");
  const charged = await post("/charge", { token, session });
  element("again").hidden = false;
  if (charged.next_action) {
    say("The bank asks for one more confirmation. Taking you there …");
    location.assign(charged.next_action.redirect_url);
  } else if (charged.status === "succeeded") {
    say("Thank you! Your ticket is paid.", "good");
  } else {
    say(charged.decline ? `The charge was declined: ${charged.decline.code}.` : (charged.title ?? `The charge is ${charged.status}.`), "bad");
  }
  element("charge").textContent = charged.id ?? charged.charge ?? "none";
  element("token").textContent = token;
  element("receipt").hidden = false;
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
    } catch {
      // The form has told the shopper why; here it is only tried again.
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
  if (back) say("The bank did not confirm the card. Please try again, or use another card.", "bad");
  await checkout();
}

// The demo shop's page: asks its backend for a session, posts the card to the capture plane, and
// hands the token to its backend. The card never goes to the shop.
const main = document.querySelector("main");
const form = document.querySelector("form");
const button = document.querySelector("button");
const output = document.querySelector("output");
const capture = main.dataset.capture;

const say = (text) => { output.textContent = text; };
const post = (url, body, headers = {}) => fetch(url, {
  method: "POST",
  headers: { "Content-Type": "application/json", ...headers },
  body: JSON.stringify(body),
  credentials: "omit",
});

/** The card as the capture plane takes it; the form's own text is not kept. */
function card() {
  const data = new FormData(form);
  const [month, year] = String(data.get("expiry")).split("/").map((part) => Number(part.trim()));
  return {
    number: data.get("number"),
    exp_month: month || 0,
    exp_year: year < 100 ? 2000 + year : year || 0,
    cvc: data.get("cvc"),
  };
}

/** @param {any} problem an RFC 9457 problem */
function explain(problem) {
  if (problem.decline) return `Declined: ${problem.decline.code}`;
  const fields = (problem.errors ?? []).map((e) => `${e.pointer}: ${e.reason}`).join(", ");
  return [problem.title, problem.detail, fields].filter(Boolean).join(" ");
}

form.addEventListener("submit", async (event) => {
  event.preventDefault();
  button.disabled = true;
  try {
    say("Asking for a session …");
    const session = await (await post("/session", {})).json();
    say("Handing in the card …");
    const made = await post(`${capture}/v1/tokens`, { card: card() }, {
      Authorization: `Bearer ${session.client_secret}`,
    });
    const token = await made.json();
    if (!made.ok) return say(explain(token));
    say(`Token ${token.id}. Charging …`);
    const charged = await post("/charge", { token: token.id });
    const charge = await charged.json();
    if (!charged.ok) return say(explain(charge));
    say(charge.next_action
      ? `${charge.id}: the issuer asks for ${charge.next_action.redirect_url}`
      : `${charge.id}: ${charge.status}. Token ${token.id} (${token.card.brand} ${token.card.last4}).`);
  } catch {
    say("The service could not be reached. Nothing was charged.");
  } finally {
    button.disabled = false;
  }
});

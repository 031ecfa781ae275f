/** A shop in React: a basket, the guide's checkout, and a button that goes back and forth. */
import { StrictMode, useState } from "react";
import { createRoot } from "react-dom/client";
import { Checkout } from "./Checkout";
import { secrets } from "./config.js";

function Shop() {
  const [paying, setPaying] = useState(true);
  const [session, setSession] = useState(0);
  const [token, setToken] = useState("");
  return (
    <main>
      <h1>Shop</h1>
      <button id="toggle" onClick={() => setPaying(!paying)}>Basket</button>
      <button id="another" onClick={() => setSession(session + 1)}>Another session</button>
      {paying && <Checkout clientSecret={secrets[session]} onToken={setToken} />}
      <output>{token}</output>
    </main>
  );
}

createRoot(document.getElementById("app")).render(<StrictMode><Shop /></StrictMode>);

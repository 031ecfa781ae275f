/** The guide's checkout in Svelte. */
import { mount } from "svelte";
import Checkout from "./Checkout.svelte";
import { secrets } from "./config.js";

const onToken = (token) => (document.querySelector("output").textContent = token);
mount(Checkout, { target: document.getElementById("app"), props: { clientSecret: secrets[0], onToken } });

/** A shop in Vue with the guide's checkout; beside it, a card of the loader's own in Vue's state. */
import { createApp, reactive } from "vue";
import { loadCloakroom } from "@cloakroom/fields";
import Shop from "./Shop.vue";
import { loader } from "./config.js";

createApp(Shop).mount("#app");

/** What a shop does that keeps card, theme and address in its state, where Vue wraps them. */
window.hold = async (clientSecret, place) => {
  const cloakroom = await loadCloakroom(loader);
  const state = reactive({ card: null, theme: { radius: "3px" }, details: { name: "A", address: { city: "Oslo" } } });
  state.card = (await cloakroom.loadFields({ clientSecret })).create("card", { theme: state.theme });
  state.card.on("ready", () => (window.holding = true));
  state.card.mount(place);
  window.payHeld = () =>
    state.card.tokenize({ billingDetails: state.details }).then((made) => (window.made = made), (error) => (window.refused = String(error)));
};

/** The card form as a Vue component. On a server it is an empty `<div>`. */
import { defineComponent, h, onBeforeUnmount, onMounted, shallowRef, watch } from "vue";
import { mountCard } from "./index.js";

export const CloakroomCard = defineComponent({
  name: "CloakroomCard",
  props: {
    loader: { type: Object, required: true },
    clientSecret: { type: String, default: undefined },
    options: { type: Object, default: undefined },
  },
  emits: ["ready", "change", "submit", "error"],
  setup(props, { emit, expose }) {
    const place = shallowRef(null);
    /** @type {import("./index.js").MountedCard | undefined} */
    let card;
    const unmount = () => {
      card?.unmount();
      card = undefined;
    };
    const show = () => {
      unmount();
      const { loader, clientSecret, options } = props;
      if (!clientSecret || !place.value) return;
      const tell = (name) => (detail) => emit(name, detail);
      const on = { ready: tell("ready"), change: tell("change"), submit: tell("submit"), error: tell("error") };
      card = mountCard(place.value, { loader, clientSecret, options, on });
    };
    onMounted(show);
    onBeforeUnmount(unmount);
    watch(() => [props.loader.src, props.loader.integrity, props.clientSecret].join(), show, { flush: "post" });
    watch(() => props.options, (options) => card?.update(options ?? {}), { deep: true });
    expose({
      tokenize: async (order) => {
        if (card) return card.tokenize(order);
        throw Object.assign(new Error("not_ready"), { name: "CardError", code: "not_ready", retryable: true });
      },
      focus: () => card?.focus(),
      clear: () => card?.clear(),
    });
    return () => h("div", { ref: place });
  },
});

/** The package used as its types say, and the loader as what they promise. Compiled, never run. */
import { h } from "vue";
import { loadCloakroom, mountCard } from "@cloakroom/fields";
import type { CardError, Cloakroom, Loader } from "@cloakroom/fields";
import { CloakroomCard } from "@cloakroom/fields/vue";
import type { CardHandle } from "@cloakroom/fields/vue";
import type * as served from "./loader.js";

declare const loader: Loader;
declare const clientSecret: string;
declare const place: HTMLElement;
declare const own: typeof served;

/** What is served is what the package says is served. */
export const promised: Cloakroom = own;

export async function used(): Promise<string | undefined> {
  const mounted = mountCard(place, {
    loader,
    clientSecret,
    options: { layout: "inline", theme: { accent: "#0a7d5a" } },
    on: { change: ({ complete, brand }) => void [complete, brand.length], error: ({ message }) => void message },
  });
  // @ts-expect-error: there is no such layout
  mounted.update({ layout: "tabs" });
  // @ts-expect-error: the bytes are not named
  await loadCloakroom({ src: loader.src });
  const cloakroom = await loadCloakroom(loader);
  // @ts-expect-error: on a server there is none
  cloakroom.returned();
  const fields = await cloakroom?.loadFields({ clientSecret });
  const stop = fields?.create("card").on("change", ({ error }) => void error?.length);
  stop?.();
  const code = fields?.create("cvc", { locale: "de" }).mount(place);
  const given = await code?.tokenize();
  void [given?.securityCode, given?.expiresAt];
  // @ts-expect-error: a code alone has no layout
  code?.update({ layout: "inline" });
  try {
    const { token, card, redirectUrl } = await mounted.tokenize({ redirect: "manual", billingDetails: { address: { city: "Oslo" } } });
    return redirectUrl ?? `${token} ${card.last4}`;
  } catch (thrown) {
    const { code, decline } = thrown as CardError;
    return code === "declined" ? decline : undefined;
  }
}

export const shown = h(CloakroomCard, { loader, clientSecret, onChange: (change) => void change.complete });
declare const handle: CardHandle;
export const made = handle.tokenize().then(({ token }) => token);
// @ts-expect-error: which loader is not said
h(CloakroomCard, { clientSecret });

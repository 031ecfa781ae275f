/** Renders both components on a server, where there is no window, and prints what came of it. */
import { createElement, StrictMode } from "react";
import { renderToString } from "react-dom/server";
import { createSSRApp, h } from "vue";
import { renderToString as rendered } from "vue/server-renderer";
import { loadCloakroom } from "@cloakroom/fields";
import { CloakroomCard as InReact } from "@cloakroom/fields/react";
import { CloakroomCard as InVue } from "@cloakroom/fields/vue";

const touched = [];
for (const name of ["window", "document", "location", "matchMedia", "customElements", "HTMLElement"]) {
  // The frameworks look whether there is one; what is ours does not even look while it renders.
  const get = () => void (new Error().stack.includes("@cloakroom") && touched.push(name));
  Object.defineProperty(globalThis, name, { get, configurable: true });
}
const loader = { src: "https://cards.example/fields/v1/loader.AAAAAAAAAAAA.js", integrity: `sha384-${"A".repeat(64)}` };
const props = { loader, clientSecret: "secret", options: { layout: "inline" }, id: "card" };
const react = renderToString(createElement(StrictMode, null, createElement(InReact, props)));
const vue = await rendered(createSSRApp({ render: () => h(InVue, props) }));
const before = [...touched];
process.stdout.write(JSON.stringify({ react, vue, loaded: await loadCloakroom(loader), touched: before }));

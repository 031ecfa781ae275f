/**
 * @file The way back from the issuer's page: to the shop, with the token that the hosted page left
 * in this tab. The service itself does not tell a token to whoever knows a session's name.
 */
import { take } from "./storage.js";

const back = /** @type {HTMLAnchorElement} */ (document.getElementById("back"));
const session = document.documentElement.dataset["session"];
const to = new URL(back.href);
const token = take(`cloakroom:${session}`);
if (token) to.searchParams.set("cloakroom_token", token);
back.href = to.href;
location.replace(to);

/** The libraries that morph pages, as Turbo, Livewire and LiveView use them. */
import { morph } from "@alpinejs/morph";
import * as Turbo from "@hotwired/turbo";
import { Idiomorph } from "idiomorph";
import morphdom from "morphdom";

window.Turbo = Turbo;
window.morphs = {
  alpine: (body) => morph(document.body, body.outerHTML),
  idiomorph: (body) => Idiomorph.morph(document.body, body, { morphStyle: "outerHTML" }),
  morphdom: (body) => morphdom(document.body, body),
};

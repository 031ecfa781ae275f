import type { DefineComponent } from "vue";
import type { CardError, CardOptions, Change, Loader, MountedCard } from "./index.js";

/** What a template ref of the component holds. */
export type CardHandle = Pick<MountedCard, "tokenize" | "focus" | "clear">;

export interface CloakroomCardProps {
  loader: Loader;
  /** Of the session; no form is shown before there is one, and another one is another form. */
  clientSecret?: string | undefined;
  options?: CardOptions | undefined;
  onReady?: (() => void) | undefined;
  onChange?: ((change: Change) => void) | undefined;
  /** Enter in a field. */
  onSubmit?: (() => void) | undefined;
  onError?: ((error: CardError | TypeError) => void) | undefined;
}

export declare const CloakroomCard: DefineComponent<CloakroomCardProps, CardHandle>;

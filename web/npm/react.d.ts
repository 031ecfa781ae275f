import type { ForwardRefExoticComponent, HTMLAttributes, RefAttributes } from "react";
import type { CardError, CardOptions, Change, Loader, MountedCard } from "./index.js";

/** What a `ref` of the component holds. */
export type CardHandle = Pick<MountedCard, "tokenize" | "focus" | "clear">;

/** What is none of these goes to the `<div>` that holds the form. */
export interface CloakroomCardProps extends Omit<HTMLAttributes<HTMLDivElement>, "children" | "onChange" | "onSubmit" | "onError"> {
  loader: Loader;
  /** Of the session; no form is shown before there is one, and another one is another form. */
  clientSecret: string | null | undefined;
  options?: CardOptions | undefined;
  onReady?: (() => void) | undefined;
  onChange?: ((change: Change) => void) | undefined;
  /** Enter in a field. */
  onSubmit?: (() => void) | undefined;
  onError?: ((error: CardError | TypeError) => void) | undefined;
}

export declare const CloakroomCard: ForwardRefExoticComponent<CloakroomCardProps & RefAttributes<CardHandle>>;

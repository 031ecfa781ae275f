/** Which loader: the address and the hash that `cloakroom check` prints. They never change their bytes. */
export interface Loader {
  /** `https://cards.example/fields/v1/loader.….js` */
  src: string;
  /** `sha384-…` */
  integrity: string;
}

/** Colours as CSS writes them; lengths in `px` or `rem`. */
export interface Theme {
  accent?: string;
  background?: string;
  text?: string;
  muted?: string;
  border?: string;
  error?: string;
  success?: string;
  radius?: string;
  gap?: string;
  fontSize?: string;
  fontFamily?: string;
}

export interface CardOptions {
  layout?: "stacked" | "inline";
  /** A BCP 47 tag; else the page's `lang`. */
  locale?: string;
  /** Else what the page is drawn in. */
  scheme?: "light" | "dark" | "auto";
  name?: boolean;
  postalCode?: boolean;
  /** ISO 3166-1 alpha-2, of the postal code. */
  country?: string;
  expiry?: "single" | "split";
  /** Of the frame, for screen readers. */
  title?: string;
  theme?: Theme;
}

export interface Change {
  complete: boolean;
  empty: boolean;
  brand: string;
  /** The first error's name, such as `number_invalid`. */
  error: string | null;
}

export interface BillingDetails {
  name?: string;
  email?: string;
  phone?: string;
  address?: { line1?: string; line2?: string; city?: string; state?: string; postal_code?: string; country?: string };
}

export interface Order {
  billingDetails?: BillingDetails;
  /** Where the shopper comes back to from the issuer's page: a path of this origin; else this page. */
  returnPath?: string;
  /** `manual`: the answer has `redirectUrl`, and going there is yours. */
  redirect?: "auto" | "manual";
}

export interface TakenCard {
  brand: string;
  last4: string;
  exp_month: number;
  exp_year: number;
  funding: string;
  country: string | null;
}

/** The security code of a saved card, for one charge of `token` before `expiresAt`. */
export interface TakenCode {
  /** What the charge names as its `security_code`. */
  securityCode: string;
  token: string;
  /** RFC 3339. */
  expiresAt: string;
}

export interface Made {
  token: string;
  card: TakenCard;
  status: string;
  redirectUrl?: string;
}

export type CardErrorCode =
  | "invalid"
  | "declined"
  | "network"
  | "unavailable"
  | "too_many"
  | "verification_required"
  | "malformed"
  | "canceled"
  | "session_over"
  | "wrong_session"
  | "not_ready"
  | "embedded"
  | "busy"
  | "unmounted";

/** Why there is no token. The form has already told the shopper. */
export interface CardError extends Error {
  name: "CardError";
  code: CardErrorCode;
  retryable: boolean;
  /** The issuer's word. */
  decline?: string;
  /** The first field that is wrong. */
  field?: string;
}

export interface Listeners {
  ready?: () => void;
  change?: (change: Change) => void;
  /** Enter in a field. */
  submit?: () => void;
  /** The form could not be shown: a `CardError`, or a `TypeError` about what it was given. */
  error?: (error: CardError | TypeError) => void;
}

export interface CodeOptions extends Pick<CardOptions, "locale" | "scheme" | "title" | "theme"> {}

/** What a card's form and that of a saved card's security code have in common. */
export interface Form<Options, Orders extends unknown[], Result> {
  mount(target: string | Element | ShadowRoot): this;
  unmount(): this;
  hide(): this;
  show(): this;
  clear(): this;
  focus(): this;
  update(options: Options): this;
  on<Name extends keyof Listeners>(name: Name, listener: NonNullable<Listeners[Name]>): () => void;
  /** Rejects with a `CardError`. */
  tokenize(...order: Orders): Promise<Result>;
}

export interface Card extends Form<CardOptions, [order?: Order], Made> {}

/** Its session is made for the saved card's token. */
export interface SecurityCode extends Form<CodeOptions, [], TakenCode> {}

export interface Fields {
  session: string;
  create(kind: "cvc", options?: CodeOptions): SecurityCode;
  create(kind: "card", options?: CardOptions): Card;
}

export interface Returned {
  session: string;
  token: string | null;
  status: string;
}

/** What the loader gives. */
export interface Cloakroom {
  loadFields(options: { clientSecret: string }): Promise<Fields>;
  /** What the shopper has come back with from the issuer's page, once; else null. */
  returned(): Returned | null;
}

/** Fetches the loader, once for a page; `null` on a server. Rejects with a `CardError` or a `TypeError`. */
export function loadCloakroom(loader: Loader): Promise<Cloakroom | null>;

/** A form in an element of yours. Nothing that was typed outlives `unmount`. */
export interface MountedCard {
  /** Rejects with a `CardError`. */
  tokenize(order?: Order): Promise<Made>;
  update(options: CardOptions): void;
  focus(): void;
  clear(): void;
  unmount(): void;
}

export interface MountOptions {
  loader: Loader;
  clientSecret: string;
  options?: CardOptions | undefined;
  on?: Listeners;
}

/** Shows the form in an element as soon as the loader is there; it may be unmounted before. */
export function mountCard(place: Element | ShadowRoot, options: MountOptions): MountedCard;

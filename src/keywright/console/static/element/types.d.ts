/** What `getAccessToken` is asked for; `expired` after an answer 401. The answer must come within 10 seconds. */
export interface TokenRequest {
  reason: 'initial' | 'expired';
  signal: AbortSignal;
}

export interface KeyName {
  id: string;
  name: string;
}

/** The events of the element: ids and names, never a private key. They bubble, and leave the shadow root. */
export interface KeywrightEvents {
  'keywright-ready': CustomEvent<Record<string, never>>;
  'keywright-created': CustomEvent<KeyName>;
  'keywright-updated': CustomEvent<KeyName>;
  'keywright-rotated': CustomEvent<KeyName>;
  'keywright-revoked': CustomEvent<KeyName>;
  'keywright-deleted': CustomEvent<KeyName>;
  'keywright-selected': CustomEvent<{ id: string; tab: string }>;
  'keywright-auth-required': CustomEvent<Record<string, never>>;
  'keywright-error': CustomEvent<{ code: string; status: number; requestId: string }>;
  'keywright-secret-pending': CustomEvent<{ pending: boolean }>;
}

/** The properties that are attributes as well, by their names as properties. */
export interface KeywrightAttributes {
  apiBase: string;
  view: 'keys' | 'events';
  overlay: 'drawer' | 'inline';
  environment: string;
  features: string;
  headingLevel: number | string;
  pageSize: number;
  reveal: 'shown' | 'masked';
  downloads: 'on' | 'off';
  envName: string;
  selected: string;
  tab: string;
  lang: string;
}

export interface KeywrightKeys extends KeywrightAttributes {}

export class KeywrightKeys extends HTMLElement {
  getAccessToken: ((request: TokenRequest) => Promise<string>) | null;
  messages: Record<string, string | Record<string, string>> | null;
  scopeCatalog: { scope: string; description: string }[] | null;

  /** Reads the list, or the audit log, again. */
  refresh(): Promise<void>;
  /** Opens the dialog of a new key with these values. Resolves to false where another dialog has to stay. */
  openCreate(prefill?: { name?: string; description?: string; scopes?: string[] }): Promise<boolean>;
  /** Closes what is open. Resolves to false while a private key is not saved, or a request for one is under way. */
  close(): Promise<boolean>;

  addEventListener<Name extends keyof KeywrightEvents>(
    type: Name,
    listener: (this: KeywrightKeys, event: KeywrightEvents[Name]) => unknown,
    options?: boolean | AddEventListenerOptions,
  ): void;
  addEventListener(type: string, listener: EventListenerOrEventListenerObject, options?: boolean | AddEventListenerOptions): void;
}

declare global {
  interface HTMLElementTagNameMap {
    'keywright-keys': KeywrightKeys;
  }
}

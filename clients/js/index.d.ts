/**
 * A client for the HTTP API of Keywright: `Verifier` checks keys, `Management` manages those of one organization.
 *
 * Fields of keys and answers have the names of the HTTP API, such as `expires_at`; options of a call are in camel case.
 */

/** Checks presented keys. Every call is one request to the service; nothing is cached. */
export class Verifier {
  /**
   * @param url The address of the service; `http://` only on loopback, unless it is allowed.
   * @param credential A verifier's credential, or an access token with `verify:api_keys`.
   * @throws KeywrightError for a malformed address or credential.
   */
  constructor(url: string, credential: string, options?: ClientOptions);

  /**
   * Check a presented key. A refusal is a verdict; errors are for faults. A text that cannot be a key is `not_found`.
   *
   * Sent a second time when the connection was lost: in the worst case, a use is counted twice on a key's limits.
   *
   * @throws CredentialRefused, ServiceUnavailable, UnexpectedAnswer: there is no verdict; answer 503, never 401.
   */
  verify(key: string, options?: VerifyOptions & CallOptions): Promise<VerifyResponse>;

  /**
   * Check up to 100 keys in one request; the verdicts are in the order of *checks*.
   *
   * @throws As `verify`; KeywrightError for more than 100.
   */
  verifyBatch(checks: readonly (string | KeyCheck)[], options?: CallOptions): Promise<VerifyResponse[]>;
}

/** The API keys of one organization, for the bearer of an access token. */
export class Management {
  /**
   * @param url The address of the service; `http://` only on loopback, unless it is allowed.
   * @param token An access token. Its organization is the one whose keys are seen.
   * @throws KeywrightError for a malformed address or token.
   */
  constructor(url: string, token: string, options?: ManagementOptions);

  /** Create a key. A lost answer is asked for again with the same idempotency key, so that it is created once. */
  create(fields: NewApiKey, options?: IdempotencyOptions & CallOptions): Promise<CreatedApiKeyResponse>;
  /** Give every key, newest first, reading a page of `limit` at a time. */
  list(options?: KeyFilters & PageSize & CallOptions): AsyncGenerator<ApiKeyResponse, void, undefined>;
  /** Read one page of keys. */
  listPage(options?: KeyFilters & PageOptions & CallOptions): Promise<Page<ApiKeyResponse>>;
  /** Read one key. */
  get(id: string, options?: CallOptions): Promise<ApiKeyResponse>;
  /** Replace fields of a key; others stay as they are, and null empties a field. */
  update(id: string, changes: ApiKeyChanges, options?: Condition & CallOptions): Promise<ApiKeyResponse>;
  /** Give a key a new pair; the old one still works for a while. Sent again as `create`. */
  rotate(
    id: string,
    options?: RotateOptions & Condition & IdempotencyOptions & CallOptions,
  ): Promise<CreatedApiKeyResponse>;
  /** Set the end of the replaced pair, in seconds from now; 0 ends it at once. */
  setOverlap(id: string, overlapSeconds: number, options?: CallOptions): Promise<ApiKeyResponse>;
  /** Revoke a key for good. */
  revoke(id: string, options?: { reason?: RevocationReason } & CallOptions): Promise<ApiKeyResponse>;
  /** Delete a key: it stops working and is no longer listed. */
  delete(id: string, options?: CallOptions): Promise<void>;
  /** Read the usage of a key, with one page of its secrets. */
  usage(
    id: string,
    options?: UsageOptions & PageOptions & CallOptions,
  ): Promise<UsageResponse & { next: string | null }>;
  /** Read the receipt of a revocation or deletion. */
  receipt(id: string, options?: CallOptions): Promise<RevocationResponse>;
  /** Give every event of the audit log, newest first. */
  events(options?: EventFilters & PageSize & CallOptions): AsyncGenerator<EventResponse, void, undefined>;
  /** Read one page of events. */
  eventsPage(options?: EventFilters & PageOptions & CallOptions): Promise<Page<EventResponse>>;
  /** Read the environments, scopes and rules for new keys. */
  options(options?: CallOptions): Promise<OptionsResponse>;
}

/** A private key: prints and serializes as its masked display. */
export class PrivateKey {
  private constructor();
  /** Give the text, which the service shows this once. */
  reveal(): string;
  toString(): string;
  toJSON(): string;
}

/** The base of all errors; itself thrown for a value that cannot be sent. The message is a sentence for people. */
export class KeywrightError extends Error {
  constructor(message: string);
  /**
   * Set where a creation or rotation failed. The same call with it gives the first answer if the change was made, and
   * makes the change otherwise. It is as secret as the private key in that answer, and nothing prints it.
   */
  get idempotencyKey(): string | undefined;
}

/** The service refused the request, or failed at it. */
export class Refused extends KeywrightError {
  constructor(answer: {
    code: string;
    status: number;
    detail: string;
    requestId?: string;
    fields?: readonly FieldError[];
    missingScopes?: readonly string[];
    retryAfter?: number;
  });
  /** Stable, for programs, such as `not_found`. */
  readonly code: string;
  readonly status: number;
  /** Finds the request in the service's log. */
  readonly requestId: string | undefined;
  /** All flaws, with `validation_failed`. */
  readonly fields: readonly FieldError[];
  /** The scopes that the token may not give to a key, with `scopes_not_grantable`. */
  readonly missingScopes: readonly string[];
  /** Seconds until a retry makes sense, where the service gave them. */
  readonly retryAfter: number | undefined;
}

/** The service does not accept the credential of this verifier: no verdict on the presented key. */
export class CredentialRefused extends Refused {}

/** The service is unavailable. A requested change may or may not have been made. */
export class ServiceUnavailable extends KeywrightError {
  constructor(detail: string, answer?: { code?: string; status?: number; requestId?: string; retryAfter?: number });
  /** Such as `storage_unavailable`; undefined where no answer of the service arrived. */
  readonly code: string | undefined;
  readonly status: number | undefined;
  readonly requestId: string | undefined;
  /** Seconds until a retry makes sense, where the service gave them. */
  readonly retryAfter: number | undefined;
}

/** The answer is not a Keywright service's; the address is probably wrong. */
export class UnexpectedAnswer extends KeywrightError {}

export interface ClientOptions {
  /** Milliseconds for a request and its answer: 2,000 for a verifier, 10,000 for management. */
  timeout?: number;
  /** Allow `http://` to another machine; only on a network that you trust. `KEYWRIGHT_ALLOW_HTTP=1` does the same. */
  allowHttp?: boolean;
  /** Sends the requests in place of the global `fetch`. */
  fetch?: typeof fetch;
}

export interface ManagementOptions extends ClientOptions {
  /** Seconds before each retry of a creation or rotation; empty for no retry. */
  pauses?: readonly number[];
}

export interface CallOptions {
  /** Ends the call when it is aborted; the call then throws its reason. */
  signal?: AbortSignal;
}

export interface VerifyOptions {
  /** The scopes that the request needs, all of them. */
  scopes?: readonly string[];
  /** The environment that the key must belong to. */
  environment?: string;
  /** The customer's address. Any other text is not sent, and a key that is bound to networks is then refused. */
  clientIp?: string;
  /** How many units of the key's limits the request takes; 0 only reads their state. */
  cost?: number;
  /** Explain a refusal. */
  explain?: boolean;
  /** Have the key's metadata in the verdict. */
  metadata?: boolean;
}

export interface KeyCheck extends VerifyOptions {
  key: string;
}

export interface IdempotencyOptions {
  /** 22 to 255 printable ASCII characters; a new random one unless given. */
  idempotencyKey?: string;
}

export interface Condition {
  /** The `etag` of the key that was read; if it was changed since, `Refused` has the code `precondition_failed`. */
  ifMatch?: string;
}

export interface RotateOptions {
  /** How long the old pair works, 0 to 2,592,000. */
  overlapSeconds?: number;
  /** End the old pair sooner: once it was not used for this long after the first use of the new one. */
  retireWhenIdleSeconds?: number;
}

export interface PageSize {
  /** The most items of a page, 1 to 1,000; 100 unless given. */
  limit?: number;
}

export interface PageOptions extends PageSize {
  /** The `next` of the page before. */
  cursor?: string;
}

export interface Page<Item> {
  items: Item[];
  /** The cursor of the following page; null on the last one. */
  next: string | null;
}

export interface KeyFilters {
  status?: Status | 'expiring';
  /** Part of the name or description, the beginning of the public key, or the end of the private one. */
  q?: string;
  environment?: string;
  externalId?: string;
  /** Keys that existed at this moment and were not used since. */
  unusedSince?: Date | string;
  createdBy?: string;
  createdAfter?: Date | string;
  createdBefore?: Date | string;
  scope?: string;
  sort?: 'created_at' | '-created_at';
}

export interface EventFilters {
  keyId?: string;
  /** Such as `api_key.revoked`. */
  type?: string;
  /** The subject of the access token that made the change. */
  actor?: string;
  since?: Date | string;
  until?: Date | string;
}

export interface UsageOptions {
  period?: 'hour' | 'day';
  since?: Date | string;
}

export interface NewApiKey {
  name: string;
  description?: string | null;
  environment?: string;
  expires_at?: Date | string | null;
  scopes?: readonly string[];
  allowed_ips?: readonly string[];
  rate_limits?: readonly RateLimitResponse[];
  external_id?: string | null;
  metadata?: Record<string, unknown>;
}

export interface ApiKeyChanges extends Partial<NewApiKey> {
  /** False disables the key until true enables it again. */
  enabled?: boolean;
}

export type Status = 'active' | 'disabled' | 'expired' | 'revoked';

export type RevocationReason =
  'unspecified' | 'key_compromise' | 'superseded' | 'cessation_of_operation' | 'privilege_withdrawn';

export type Code =
  | 'valid'
  | 'not_found'
  | 'revoked'
  | 'disabled'
  | 'expired'
  | 'replaced'
  | 'wrong_environment'
  | 'insufficient_scope'
  | 'ip_not_allowed'
  | 'rate_limited';

// The answers below have the names and fields of the schemas of the OpenAPI document; times are texts of RFC 3339.

export interface ApiKeyResponse {
  id: string;
  org_id: string;
  org_external_id: string;
  name: string;
  description: string | null;
  environment: string | null;
  public_key: string;
  private_key_display: string;
  created_at: string;
  expires_at: string | null;
  enabled: boolean;
  is_revoked: boolean;
  revoked_at: string | null;
  last_used_at: string | null;
  status: Status;
  revocation_reason: RevocationReason | null;
  created_by: string;
  revoked_by: string | null;
  scopes: string[];
  allowed_ips: string[];
  rate_limits: RateLimitResponse[];
  external_id: string | null;
  metadata: Record<string, unknown>;
  secrets: SecretResponse[];
  /** The header: the version of the key, for `ifMatch`; absent in a list. */
  etag?: string | null;
}

export interface CreatedApiKeyResponse extends ApiKeyResponse {
  private_key: PrivateKey;
  /** The header: whether this is the answer to an earlier request with the same idempotency key. */
  replayed: boolean;
}

export interface SecretResponse {
  public_key: string;
  private_key_display: string;
  created_at: string;
  first_used_at: string | null;
  last_used_at: string | null;
  retires_at: string | null;
  retire_when_idle_seconds: number | null;
}

export interface RateLimitResponse {
  name: string;
  limit: number;
  window_seconds: number;
}

export interface EventResponse {
  id: string;
  type: string;
  key_id: string;
  occurred_at: string;
  actor: ActorResponse;
  request_id: string;
  address: string | null;
  data: Record<string, unknown>;
  position: number | null;
  hash: string | null;
  erased?: boolean;
}

export interface ActorResponse {
  issuer: string;
  subject: string;
  client_id: string | null;
}

export interface UsageResponse {
  key_id: string;
  last_used_at: string | null;
  period: 'hour' | 'day';
  counts: CountResponse[];
  sources: SourceResponse[];
  secrets: SecretUseResponse[];
  refusals: RefusalResponse[];
}

export interface CountResponse {
  start: string;
  count: number;
  refused: Record<string, number>;
}

export interface SourceResponse {
  public_key: string;
  network: string | null;
  agent: string | null;
  verifier: string;
  first_seen: string;
  last_seen: string;
  count: number;
}

export interface RefusalResponse extends SourceResponse {
  code: 'revoked' | 'disabled' | 'expired' | 'replaced' | 'wrong_environment' | 'insufficient_scope' | 'ip_not_allowed' | 'rate_limited';
}

export interface SecretUseResponse {
  public_key: string;
  private_key_display: string;
  last_used_at: string | null;
  retires_at: string | null;
}

export interface RevocationResponse {
  key_id: string;
  revoked_at: string;
  confirmed: number;
  pending: number;
  may_accept_until: string | null;
  verifiers: VerifierSessionResponse[];
}

export interface VerifierSessionResponse {
  kind: 'server' | 'verifier';
  connected_at: string;
  confirmed_at: string | null;
  may_accept_until: string | null;
}

export interface OptionsResponse {
  environments: string[];
  scopes: ScopeResponse[] | null;
  policy: PolicyResponse;
  permissions?: string[];
  grantable_scopes?: string[] | null;
  client_ip?: string | null;
}

export interface ScopeResponse {
  scope: string;
  description: string;
}

export interface PolicyResponse {
  max_life_seconds: number | null;
  expiry_required: boolean;
  max_active_keys: number | null;
}

export interface VerifyResponse {
  valid: boolean;
  code: Code;
  api_key: VerifiedKey | null;
  rate_limits?: LimitStateResponse[] | null;
  retry_after_seconds?: number | null;
  stale?: boolean;
  explanation?: ExplanationResponse | null;
}

export interface VerifiedKey {
  id: string;
  org_id: string;
  name: string;
  environment: string;
  scopes: string[];
  expires_at: string | null;
  external_id?: string | null;
  org_external_id?: string | null;
  created_by?: string | null;
  metadata?: Record<string, unknown>;
}

export interface LimitStateResponse {
  name: string;
  limit: number;
  window_seconds: number;
  remaining: number;
  reset_seconds: number;
}

export interface ExplanationResponse {
  reason: string;
  would_pass: string;
}

export interface FieldError {
  loc: (string | number)[];
  msg: string;
  type: string;
}

/** Whatever checks keys for a middleware, such as a `Verifier`. */
export type ChecksKeys = Pick<Verifier, 'verify'>;

/** A verdict that a middleware passes on. */
export interface ValidVerdict extends VerifyResponse {
  valid: true;
  code: 'valid';
  api_key: VerifiedKey;
}

export interface GuardOptions {
  /** The scopes that a key must have, all of them. */
  scopes?: readonly string[];
  /** The environment that it must belong to. */
  environment?: string;
  /** How many units of the key's limits each request takes. */
  cost?: number;
  /** Called with the reason when a key could not be checked and the answer is 503; by default, only a refused
   * credential is printed. */
  onTrouble?: (error: KeywrightError) => void;
}

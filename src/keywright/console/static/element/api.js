// The HTTP API of Keywright: tokens, paging, conditions, idempotency, and what went wrong.

const TIMEOUT = 30000;
const TOKEN_TIMEOUT = 10000;

/** What went wrong. `kind`: offline, timeout, session, forbidden, refused, missing, busy, unavailable or server. */
export class ApiError extends Error {
  constructor(kind, { status = 0, body = {}, retryAfter = 0, challenge = '' } = {}) {
    super(kind);
    this.kind = kind;
    this.status = status;
    this.code = body.code ?? kind;
    this.requestId = body.request_id ?? '';
    this.flaws = Array.isArray(body.detail) ? body.detail : [];
    this.missingScopes = body.missing_scopes ?? [];
    this.retryAfter = retryAfter;
    this.permission = /scope="([^"]+)"/.exec(challenge)?.[1] ?? '';
  }

  /** Whether a change may have happened all the same. */
  get uncertain() {
    return ['offline', 'timeout', 'unavailable', 'server'].includes(this.kind) || this.code === 'idempotency_key_in_use';
  }
}

const kindOf = (status) => {
  if (status === 401) return 'session';
  if (status === 403) return 'forbidden';
  if (status === 404 || status === 410) return 'missing';
  if (status === 429) return 'busy';
  if (status === 503) return 'unavailable';
  return status >= 500 ? 'server' : 'refused';
};

/** 32 random bytes as base64url: an `Idempotency-Key` opens the stored answer, so it must not be guessed. */
export const newIdempotencyKey = () =>
  btoa(String.fromCharCode(...crypto.getRandomValues(new Uint8Array(32)))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=/g, '');

const isLoopback = (host) => host === 'localhost' || host.endsWith('.localhost') || host === '[::1]' || host.startsWith('127.');

/** Checks the address of the API; throws for one that would send tokens in clear, or cookies to another origin. */
const checkedBase = (text, hasToken) => {
  const url = new URL(text, document.baseURI);
  const safe = url.protocol === 'https:' || (url.protocol === 'http:' && (isLoopback(url.hostname) || url.origin === location.origin));
  if (!safe) throw new Error('keywright-keys: api-base must be https, or on a loopback host');
  if (!hasToken && url.origin !== location.origin) throw new Error('keywright-keys: set getAccessToken, or use an api-base of this origin');
  return url.href.replace(/\/$/, '');
};

export class Api {
  /**
   * `base`: the address up to `/api/v2`. `getToken({reason, signal})` gives an access token; null for cookies, which go
   * to the page's own origin only.
   */
  constructor(base, getToken) {
    this.base = checkedBase(base, !!getToken);
    this.getToken = getToken;
    this.skew = 0;
    this.asking = null;
  }

  /** The time of the server in ms: the browser's clock may be wrong. */
  now() {
    return Date.now() + this.skew;
  }

  get(path, query, options) {
    return this.send('GET', path, { query, ...options });
  }

  /** Sends a request. Gives `{data, etag, next}`, or throws an ApiError. */
  async send(method, path, { query, body, ifMatch, once, signal } = {}) {
    let answer = await this.#fetch(method, path, { query, body, ifMatch, once, signal }, 'initial');
    if (answer.status === 401 && this.getToken) {
      answer = await this.#fetch(method, path, { query, body, ifMatch, once, signal }, 'expired');
    }
    this.#readClock(answer);
    const data = await this.#bodyOf(answer);
    if (!answer.ok) {
      throw new ApiError(kindOf(answer.status), {
        status: answer.status,
        body: data ?? {},
        retryAfter: Number(answer.headers.get('Retry-After')) || 0,
        challenge: answer.headers.get('WWW-Authenticate') ?? '',
      });
    }
    return {
      data,
      etag: answer.headers.get('ETag'),
      next: this.#nextOf(answer.headers.get('Link')),
    };
  }

  async #fetch(method, path, { query, body, ifMatch, once, signal }, reason) {
    const headers = { Accept: 'application/json' };
    if (this.getToken) headers.Authorization = `Bearer ${await this.#token(reason)}`;
    else headers['X-Keywright-Console'] = '1';
    if (body !== undefined) headers['Content-Type'] = 'application/json';
    if (ifMatch) headers['If-Match'] = ifMatch;
    if (once) headers['Idempotency-Key'] = once;
    const parameters = Object.entries(query ?? {}).filter(([, value]) => value !== undefined && value !== null && value !== '');
    const search = parameters.length ? `?${new URLSearchParams(parameters)}` : '';
    const patience = AbortSignal.timeout(TIMEOUT);
    try {
      return await fetch(`${this.base}${path}${search}`, {
        method,
        headers,
        body: body === undefined ? undefined : JSON.stringify(body),
        credentials: this.getToken ? 'omit' : 'same-origin',
        referrerPolicy: 'no-referrer',
        redirect: 'error',
        cache: 'no-store',
        signal: AbortSignal.any([patience, ...(signal ? [signal] : [])]),
      });
    } catch (error) {
      if (signal?.aborted) throw error;
      throw new ApiError(patience.aborted ? 'timeout' : 'offline');
    }
  }

  // One question to the page at a time, however many requests wait for the answer.
  async #token(reason) {
    if (!this.asking || this.asking.reason !== reason) {
      const signal = AbortSignal.timeout(TOKEN_TIMEOUT);
      const late = new Promise((_, refuse) => {
        signal.addEventListener('abort', () => refuse(new ApiError('session')));
      });
      const asked = Promise.resolve().then(() => this.getToken({ reason, signal }));
      const asking = { reason, answer: Promise.race([asked, late]) };
      this.asking = asking;
      const done = () => {
        if (this.asking === asking) this.asking = null;
      };
      asking.answer.then(done, done);
      late.catch(() => {});
    }
    let token;
    try {
      token = await this.asking.answer;
    } catch {
      throw new ApiError('session');
    }
    if (typeof token !== 'string' || !token) throw new ApiError('session');
    return token;
  }

  async #bodyOf(answer) {
    if (answer.status === 204) return null;
    try {
      return await answer.json();
    } catch {
      // A proxy's own page, or an answer that was cut.
      if (answer.ok) throw new ApiError('offline');
      return null;
    }
  }

  #readClock(answer) {
    const date = Date.parse(answer.headers.get('Date') ?? '');
    // Whole seconds, and the way here takes some: a small difference is none.
    if (date) this.skew = Math.abs(date - Date.now()) > 5000 ? date - Date.now() : 0;
  }

  // The link is relative to the API's own address, which may be another one behind a proxy: only its query is used.
  #nextOf(link) {
    const found = /<[^>?]*\?([^>]*)>;\s*rel="next"/.exec(link ?? '');
    return found ? Object.fromEntries(new URLSearchParams(found[1])) : null;
  }
}

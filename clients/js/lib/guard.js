/**
 * What all middlewares share: finding the key of a request, and the answer to one that is refused.
 *
 * A framework's module reads the headers of its request and writes the answer. All decisions are made here.
 */

import { CredentialRefused, KeywrightError } from './errors.js';

const REALM = 'Bearer realm="api"';
const LONGEST_RETRY_SECONDS = 60;

const REFUSALS = {
  not_found: [401, 'The API key is not known.'],
  revoked: [401, 'The API key was revoked.'],
  disabled: [401, 'The API key is disabled.'],
  expired: [401, 'The API key has expired.'],
  replaced: [401, "The API key's secret was replaced by a new one."],
  wrong_environment: [403, 'The API key belongs to another environment.'],
  insufficient_scope: [403, 'The API key may not do this.'],
  ip_not_allowed: [403, 'The API key may not be used from this address.'],
  rate_limited: [429, 'Too many requests.'],
};
// A newer service may have further codes.
const OTHER_REFUSAL = [403, 'The API key was refused.'];

export class Guard {
  #verifier;
  #options;
  #onTrouble;

  constructor(verifier, { scopes = [], environment, cost, onTrouble = logTrouble } = {}) {
    if (!Array.isArray(scopes)) throw new TypeError('scopes must be an array of strings');
    this.#verifier = verifier;
    this.#options = { scopes, environment, cost };
    this.#onTrouble = onTrouble;
  }

  /**
   * Check the key of a request.
   *
   * Gives `{ verdict, headers }` for a request that may pass, the headers being those to add to its answer, or
   * `{ refusal }`: the status, headers and body of the answer.
   */
  async check({ authorization, apiKey, clientIp }) {
    const keys = presentedKeys(authorization, apiKey);
    if (keys.length === 0) {
      const sentence = 'An API key is required: Authorization: Bearer <key>, or X-API-Key: <key>.';
      return refused(401, 'missing_key', sentence, { 'WWW-Authenticate': REALM });
    }
    // Another program might choose the other one.
    if (keys.length > 1) return refused(400, 'several_keys', 'The request presents two different keys.');
    try {
      const verdict = await this.#verifier.verify(keys[0], { ...this.#options, clientIp });
      return verdict.valid ? { verdict, headers: limitHeaders(verdict) } : refusalOf(verdict, this.#options.scopes);
    } catch (error) {
      if (!(error instanceof KeywrightError)) throw error;
      this.#onTrouble(error);
      return refusedForTrouble(error);
    }
  }
}

/**
 * Find the different keys of a request.
 *
 * Each argument has the values of all headers of its name; some programs join them with commas, which no key has.
 */
function presentedKeys(authorization, apiKey) {
  const values = (headers) => headers.flatMap((header) => header.split(',')).map((value) => value.trim());
  const bearer = values(authorization).flatMap((value) => /^bearer (.*)$/i.exec(value)?.[1].trim() ?? []);
  return [...new Set([...values(apiKey), ...bearer])].filter(Boolean);
}

function refusalOf(verdict, scopes) {
  const [status, sentence] = REFUSALS[verdict.code] ?? OTHER_REFUSAL;
  const headers = limitHeaders(verdict);
  const limited = verdict.code === 'rate_limited';
  if (status === 401) {
    headers['WWW-Authenticate'] = `${REALM}, error="invalid_token", error_description="${sentence}"`;
  } else if (verdict.code === 'insufficient_scope') {
    headers['WWW-Authenticate'] = `${REALM}, error="insufficient_scope", scope="${scopes.join(' ')}"`;
  } else if (verdict.retry_after_seconds != null || (limited && !verdict.rate_limits)) {
    // Without limits, the failure limit of the service refused the caller's network, for a short time.
    headers['Retry-After'] = String(verdict.retry_after_seconds || 1);
  }
  return refused(status, verdict.code, sentence, headers);
}

/** The key is not to blame, so the answer is never 401. The reason goes to the log, not to the caller. */
function refusedForTrouble(error) {
  const seconds = Math.min(Math.max(error.retryAfter ?? 0, 1), LONGEST_RETRY_SECONDS);
  const sentence = 'API keys cannot be checked right now. Try again soon.';
  return refused(503, 'service_unavailable', sentence, { 'Retry-After': String(seconds) });
}

/** As in draft-ietf-httpapi-ratelimit-headers-10, one list item a limit; none for a key without limits. */
function limitHeaders({ rate_limits: states }) {
  if (!states?.length) return {};
  return {
    'RateLimit-Policy': states.map(({ name, limit, window_seconds: w }) => `"${name}";q=${limit};w=${w}`).join(', '),
    RateLimit: states.map(({ name, remaining, reset_seconds: t }) => `"${name}";r=${remaining};t=${t}`).join(', '),
  };
}

function refused(status, code, detail, headers = {}) {
  const body = JSON.stringify({ detail, code });
  return { refusal: { status, headers: { 'Content-Type': 'application/json', ...headers }, body } };
}

/** A refused credential needs an operator; an outage would fill the log with a line for each request. */
function logTrouble(error) {
  if (error instanceof CredentialRefused) {
    console.error("keywright: the service does not accept this verifier's credential: %s", error.message);
  }
}

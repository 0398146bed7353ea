/** Sends requests to a service, and reads its answers. */

import { serviceAddress } from './address.js';
import { ConnectionLost, KeywrightError, Refused, ServiceUnavailable, UnexpectedAnswer } from './errors.js';

export const VERSION = '0.2.0';

// RFC 6750, section 2.1. The error of fetch for any other text would quote it.
const BEARER = /^[\w.~+/-]+=*$/;
// The answers of a gateway in place of an unavailable service.
const UNAVAILABLE = new Set([502, 503, 504]);

export class Service {
  #authorization;
  #base;
  #fetch;
  #timeout;

  constructor(url, credential, { timeout, allowHttp = false, fetch = globalThis.fetch }) {
    this.#base = serviceAddress(url, allowHttp);
    if (!BEARER.test(credential ?? '')) {
      throw new KeywrightError('The token or credential is empty or contains characters that none has.');
    }
    this.#authorization = `Bearer ${credential}`;
    // Called without `this`, as browsers and workers require of their own.
    this.#fetch = (...request) => fetch(...request);
    this.#timeout = timeout;
  }

  /**
   * Send a request and give the answer with the status *expect*: `{ body, headers }`, the body parsed.
   *
   * Throws the error of any other answer. A call that was aborted by *signal* throws its reason.
   */
  async call({ method = 'GET', path, query, body, headers, expect = 200, signal }) {
    const response = await this.#send(`${this.#base}${path}${queryOf(query)}`, {
      method,
      body: body === undefined ? undefined : written(body),
      headers: {
        Authorization: this.#authorization,
        Accept: 'application/json',
        'User-Agent': `keywright-js/${VERSION}`,
        ...(body === undefined ? {} : { 'Content-Type': 'application/json' }),
        ...headers,
      },
      signal,
    });
    if (response.status !== expect) throw errorOf(response);
    return response;
  }

  async #send(address, { signal, ...request }) {
    const limit = AbortSignal.timeout(this.#timeout);
    const send = this.#fetch;
    try {
      const response = await send(address, {
        ...request,
        redirect: 'manual',
        signal: signal ? AbortSignal.any([signal, limit]) : limit,
      });
      const where = new URL(address);
      return {
        address: where.origin + where.pathname,
        status: response.status,
        headers: response.headers,
        body: parsed(await response.text()),
      };
    } catch (error) {
      signal?.throwIfAborted();
      if (limit.aborted) throw new ServiceUnavailable(`${this.#base} did not answer in time.`);
      throw new ConnectionLost(
        `${this.#base} cannot be reached: ${error.cause?.code ?? error.cause?.message ?? error.message}.`,
      );
    }
  }
}

/** Make the error of an answer whose body is not what the contract says. It quotes nothing of the body. */
export function notKeywright({ address, status }) {
  return new UnexpectedAnswer(`${address} answered ${status}, but not as a Keywright service does.`);
}

function errorOf(response) {
  const { status, body, headers } = response;
  const retryAfter = secondsOf(headers.get('Retry-After'));
  if (typeof body?.code !== 'string' || !(typeof body.detail === 'string' || Array.isArray(body.detail))) {
    if (!UNAVAILABLE.has(status)) return notKeywright(response);
    return new ServiceUnavailable('The service is not available right now.', { status, retryAfter });
  }
  const fields = Array.isArray(body.detail) ? body.detail : [];
  const detail = Array.isArray(body.detail) ? fields.map(sentence).join(' ') : body.detail;
  const known = { code: body.code, status, requestId: body.request_id, retryAfter };
  if (UNAVAILABLE.has(status)) return new ServiceUnavailable(detail, known);
  return new Refused({ ...known, detail, fields, missingScopes: body.missing_scopes });
}

function sentence({ loc, msg }) {
  const where = loc.filter((part) => !['body', 'query', 'path'].includes(part)).join('.');
  return where ? `${where}: ${msg}` : msg;
}

/** The other form of `Retry-After`, a date, is of no use without a clock that both share. */
function secondsOf(header) {
  return /^\d{1,9}$/.test(header ?? '') ? Number(header) : undefined;
}

function queryOf(parameters = {}) {
  const query = new URLSearchParams();
  for (const [name, value] of Object.entries(parameters)) {
    if (value === undefined || value === null) continue;
    query.append(name, value instanceof Date ? moment(name, value) : String(value));
  }
  const text = query.toString();
  return text && `?${text}`;
}

function moment(name, date) {
  if (Number.isNaN(date.getTime())) throw new KeywrightError(`${name}: the Date is invalid.`);
  return date.toISOString();
}

/** Write a body as JSON; what JSON would silently leave out or turn into null is an error that names it. */
function written(body) {
  try {
    return JSON.stringify(body, refuseLosses);
  } catch (error) {
    if (error instanceof KeywrightError) throw error;
  }
  // Thrown outside of the handler: the error of JSON.stringify might quote a value.
  throw new KeywrightError('The fields cannot be written as JSON.');
}

function refuseLosses(name, value) {
  const given = this[name];
  if (given instanceof Date) return moment(name, given);
  if (typeof given === 'number' && !Number.isFinite(given)) throw new KeywrightError(`${name}: JSON has no ${given}.`);
  if (['function', 'symbol', 'bigint'].includes(typeof given)) {
    throw new KeywrightError(`${name}: JSON has no ${typeof given}.`);
  }
  return value;
}

function parsed(text) {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

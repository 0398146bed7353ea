/** Checks presented keys: one request to the service for each call. */

import { ipAddress } from './address.js';
import { ConnectionLost, CredentialRefused, KeywrightError, Refused } from './errors.js';
import { Service, notKeywright } from './service.js';

const VERIFY = '/api/v2/api-keys/verify';
const MOST_IN_A_BATCH = 100;
// No key has another form; the service would refuse to read some of these texts, and all others are `not_found` there.
const MAY_BE_A_KEY = /^[\x21-\x7e]{1,255}$/;

export class Verifier {
  #service;

  constructor(url, credential, { timeout = 2000, ...options } = {}) {
    this.#service = new Service(url, credential, { timeout, ...options });
  }

  async verify(key, { signal, ...options } = {}) {
    if (!mayBeAKey(key)) return notFound();
    const response = await this.#ask(VERIFY, bodyOf({ key, ...options }), signal);
    return verdictOf(response.body, response);
  }

  async verifyBatch(checks, { signal } = {}) {
    const given = checks.map((check) => (typeof check === 'string' ? { key: check } : check));
    if (given.length > MOST_IN_A_BATCH) {
      throw new KeywrightError(`A batch has at most ${MOST_IN_A_BATCH} keys; this one has ${given.length}.`);
    }
    const keys = given.filter(({ key }) => mayBeAKey(key)).map(bodyOf);
    const found = keys.length ? await this.#batch(keys, signal) : [];
    return given.map(({ key }) => (mayBeAKey(key) ? found.shift() : notFound()));
  }

  async #batch(keys, signal) {
    const response = await this.#ask(`${VERIFY}/batch`, { keys }, signal);
    const results = response.body?.results;
    if (!Array.isArray(results) || results.length !== keys.length) throw notKeywright(response);
    return results.map((result) => verdictOf(result, response));
  }

  async #ask(path, body, signal) {
    const request = { method: 'POST', path, body, signal };
    try {
      return await this.#service.call(request).catch((error) => {
        // The service may close an idle connection just when it is used again.
        if (error instanceof ConnectionLost) return this.#service.call(request);
        throw error;
      });
    } catch (error) {
      throw isOfTheCredential(error) ? new CredentialRefused({ ...error, detail: error.message }) : error;
    }
  }
}

function isOfTheCredential(error) {
  return error instanceof Refused && (error.status === 401 || error.status === 403);
}

function mayBeAKey(text) {
  return typeof text === 'string' && MAY_BE_A_KEY.test(text);
}

function notFound() {
  return { valid: false, code: 'not_found', api_key: null };
}

function bodyOf({ key, scopes, environment, clientIp, cost, explain, metadata }) {
  return {
    key,
    scopes,
    environment,
    // Without an address, a key that is bound to networks is refused.
    client_ip: ipAddress(clientIp),
    cost,
    explain,
    include: metadata ? ['metadata'] : undefined,
  };
}

function verdictOf(body, response) {
  const { valid, code, api_key: key } = body ?? {};
  if (typeof code !== 'string' || valid !== (code === 'valid') || (valid && !key)) throw notKeywright(response);
  return body;
}

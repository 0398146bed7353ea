/** Manages the keys of one organization, with an access token. */

import { KeywrightError } from './errors.js';
import { PrivateKey } from './private-key.js';
import { PAUSES, sendOnce } from './retries.js';
import { Service, notKeywright } from './service.js';

const KEYS = '/api/v2/api-keys';
const UUID = /^[0-9a-f]{8}-(?:[0-9a-f]{4}-){3}[0-9a-f]{12}$/i;

export class Management {
  #service;
  #pauses;

  constructor(url, token, { timeout = 10_000, pauses = PAUSES, ...options } = {}) {
    this.#service = new Service(url, token, { timeout, ...options });
    this.#pauses = [...pauses];
  }

  async create(fields, { idempotencyKey, signal } = {}) {
    return this.#newPair({ path: KEYS, body: fields, expect: 201 }, idempotencyKey, signal);
  }

  list(options = {}) {
    return everyItem((cursor) => this.listPage({ ...options, cursor }));
  }

  async listPage({ signal, ...options } = {}) {
    return this.#page(KEYS, filtersOfKeys(options), signal);
  }

  async get(id, { signal } = {}) {
    return keyOf(await this.#service.call({ path: pathOf(id), signal }));
  }

  async update(id, changes, { ifMatch, signal } = {}) {
    const request = { method: 'PATCH', path: pathOf(id), body: changes, headers: condition(ifMatch), signal };
    return keyOf(await this.#service.call(request));
  }

  async rotate(id, { overlapSeconds, retireWhenIdleSeconds, ifMatch, idempotencyKey, signal } = {}) {
    const body = { overlap_seconds: overlapSeconds, retire_when_idle_seconds: retireWhenIdleSeconds };
    const request = { path: pathOf(id, '/rotate'), body, headers: condition(ifMatch) };
    return this.#newPair(request, idempotencyKey, signal);
  }

  async setOverlap(id, overlapSeconds, { signal } = {}) {
    const body = { overlap_seconds: overlapSeconds };
    return keyOf(await this.#service.call({ method: 'PUT', path: pathOf(id, '/rotation'), body, signal }));
  }

  async revoke(id, { reason, signal } = {}) {
    const body = reason === undefined ? undefined : { reason };
    return keyOf(await this.#service.call({ method: 'PUT', path: pathOf(id, '/revoke'), body, signal }));
  }

  async delete(id, { signal } = {}) {
    await this.#service.call({ method: 'DELETE', path: pathOf(id), expect: 204, signal });
  }

  async usage(id, { period, since, limit, cursor, signal } = {}) {
    const query = { period, since, limit, cursor };
    const response = await this.#service.call({ path: pathOf(id, '/usage'), query, signal });
    return { ...objectOf(response), next: nextCursor(response) };
  }

  async receipt(id, { signal } = {}) {
    return objectOf(await this.#service.call({ path: pathOf(id, '/revocation'), signal }));
  }

  events(options = {}) {
    return everyItem((cursor) => this.eventsPage({ ...options, cursor }));
  }

  async eventsPage({ keyId, type, actor, since, until, limit, cursor, signal } = {}) {
    const query = { key_id: keyId, type, actor, since, until, limit, cursor };
    return this.#page('/api/v2/api-key-events', query, signal);
  }

  async options({ signal } = {}) {
    return objectOf(await this.#service.call({ path: '/api/v2/api-key-options', signal }));
  }

  async #newPair(request, idempotencyKey, signal) {
    const send = (headers) =>
      this.#service.call({ method: 'POST', ...request, headers: { ...request.headers, ...headers }, signal });
    const response = await sendOnce(send, { idempotencyKey, pauses: this.#pauses, signal });
    const key = keyOf(response);
    if (typeof key.private_key !== 'string') throw notKeywright(response);
    key.private_key = new PrivateKey(key.private_key, key.private_key_display);
    key.replayed = response.headers.get('Idempotency-Replayed') === 'true';
    return key;
  }

  async #page(path, query, signal) {
    const response = await this.#service.call({ path, query, signal });
    if (!Array.isArray(response.body)) throw notKeywright(response);
    return { items: response.body, next: nextCursor(response) };
  }
}

async function* everyItem(readPage) {
  let cursor;
  do {
    const { items, next } = await readPage(cursor);
    yield* items;
    // A cursor that is repeated would never end.
    cursor = next === cursor ? null : next;
  } while (cursor);
}

function filtersOfKeys({ limit, cursor, status, q, environment, scope, sort, ...times }) {
  const { externalId, unusedSince, createdBy, createdAfter, createdBefore } = times;
  return {
    ...{ limit, cursor, status, q, environment, scope, sort, external_id: externalId, unused_since: unusedSince },
    ...{ created_by: createdBy, created_after: createdAfter, created_before: createdBefore },
  };
}

/** Any other text than a UUID could lead to another route. */
function pathOf(id, rest = '') {
  if (!UUID.test(id)) throw new KeywrightError('The id must be a UUID: 8-4-4-4-12 hexadecimal digits.');
  return `${KEYS}/${id}${rest}`;
}

function condition(etag) {
  if (etag === undefined) return {};
  if (!/^[\x21-\x7e]([\x20-\x7e]*[\x21-\x7e])?$/.test(etag ?? '')) {
    throw new KeywrightError('ifMatch must be the etag of a key, or *.');
  }
  return { 'If-Match': etag };
}

function keyOf(response) {
  const key = objectOf(response);
  if (typeof key.id !== 'string') throw notKeywright(response);
  return { ...key, etag: response.headers.get('ETag') };
}

function objectOf(response) {
  const { body } = response;
  if (typeof body !== 'object' || body === null || Array.isArray(body)) throw notKeywright(response);
  return body;
}

/** Only the cursor is taken from the link: following the address itself could carry the token to another host. */
function nextCursor(response) {
  const link = /<([^>]*)>\s*;\s*rel="?next"?/.exec(response.headers.get('Link') ?? '')?.[1];
  if (link === undefined) return null;
  const cursor = new URL(link, response.address).searchParams.get('cursor');
  if (!cursor) throw notKeywright(response);
  return cursor;
}

import assert from 'node:assert/strict';
import { test } from 'node:test';

import { KeywrightError, Management, Refused, ServiceUnavailable } from 'keywright-client';
import { secondsBefore } from '../lib/retries.js';
import { answering, collect, keys, losing, reader, serve, token, url } from './stage.js';

const NO_PAUSES = [0, 0];

test('a key lives through every operation', async () => {
  const expires = new Date(Date.now() + 86_400_000);
  const created = await keys.create({ name: 'Export', expires_at: expires, scopes: ['invoices:read'] });
  assert.equal(new Date(created.expires_at).getTime(), expires.getTime());
  assert.deepEqual([created.status, created.replayed, created.etag], ['active', false, '"1"']);
  assert.equal((await keys.get(created.id)).public_key, created.public_key);
  const updated = await keys.update(created.id, { description: 'Nightly', expires_at: null, enabled: false });
  assert.deepEqual([updated.status, updated.description, updated.expires_at], ['disabled', 'Nightly', null]);
  await keys.update(created.id, { enabled: true });
  const rotated = await keys.rotate(created.id, { retireWhenIdleSeconds: 3600 });
  assert.notEqual(rotated.private_key.reveal(), created.private_key.reveal());
  assert.equal(rotated.secrets.length, 2);
  assert.equal((await keys.setOverlap(created.id, 0)).secrets.length, 1);
  const usage = await keys.usage(created.id, { period: 'hour', limit: 1 });
  assert.deepEqual([usage.period, usage.secrets.length], ['hour', 1]);
  const rest = await keys.usage(created.id, { period: 'hour', limit: 1, cursor: usage.next });
  assert.equal(rest.next, null);
  const revoked = await keys.revoke(created.id, { reason: 'superseded' });
  assert.deepEqual([revoked.is_revoked, revoked.revocation_reason], [true, 'superseded']);
  assert.equal((await keys.receipt(created.id)).key_id, created.id);
  assert.equal(await keys.delete(created.id), undefined);
  await assert.rejects(keys.get(created.id), { name: 'Refused', code: 'not_found', status: 404 });
  const types = (await collect(keys.events({ keyId: created.id, limit: 2 }))).map((event) => event.type);
  assert.deepEqual([types[0], types.at(-1)], ['api_key.deleted', 'api_key.created']);
  assert.ok((await keys.options()).environments.includes('live'));
});

test('every key is listed, page after page, with the filters', async () => {
  const made = [];
  for (let index = 0; index < 5; index += 1) {
    made.unshift((await keys.create({ name: `Number ${index}`, external_id: 'customer-pages' })).id);
  }
  const which = { externalId: 'customer-pages', createdAfter: new Date(0) };
  assert.deepEqual(
    (await collect(keys.list({ ...which, limit: 2 }))).map((key) => key.id),
    made,
  );
  const page = await keys.listPage({ ...which, limit: 2 });
  assert.equal(page.items.length, 2);
  assert.deepEqual(
    (await keys.listPage({ ...which, limit: 10, cursor: page.next })).items.map((key) => key.id),
    made.slice(2),
  );
  assert.deepEqual(await collect(keys.list({ externalId: 'nobody' })), []);
});

test('a link to another host is not followed', async (t) => {
  const other = await answering(t, 200, {}, []);
  const first = await answering(t, 200, { Link: `<${other.url}/elsewhere?cursor=c>; rel="next"` }, []);
  assert.deepEqual(await collect(new Management(first.url, token).list()), []);
  assert.deepEqual([first.requests, other.requests], [2, 0]);
});

test('an update of another version than the one that was read changes nothing', async () => {
  const created = await keys.create({ name: 'Version' });
  const changed = await keys.update(created.id, { name: 'Second' }, { ifMatch: created.etag });
  await assert.rejects(keys.update(created.id, { name: 'Third' }, { ifMatch: created.etag }), {
    name: 'Refused',
    code: 'precondition_failed',
    status: 412,
  });
  await assert.rejects(keys.rotate(created.id, { ifMatch: created.etag }), { code: 'precondition_failed' });
  assert.equal((await keys.get(created.id)).etag, changed.etag);
  await assert.rejects(keys.update(created.id, {}, { ifMatch: 'x\n' }), KeywrightError);
});

test('a creation whose answers are lost is done once', async (t) => {
  const network = await losing(t, 2);
  const client = new Management(network.url, token, { pauses: NO_PAUSES });
  const created = await client.create({ name: 'Lost', external_id: 'customer-lost' });
  assert.equal(created.replayed, true);
  assert.deepEqual([network.delivered, network.idempotencyKeys.size], [3, 1]);
  assert.deepEqual(
    (await collect(keys.list({ externalId: 'customer-lost' }))).map((key) => key.id),
    [created.id],
  );
  assert.equal((await keys.get(created.id)).public_key, created.public_key);
});

test('a rotation whose answer is lost is done once', async (t) => {
  const created = await keys.create({ name: 'Lost' });
  const network = await losing(t, 1);
  const rotated = await new Management(network.url, token, { pauses: NO_PAUSES }).rotate(created.id);
  assert.equal(rotated.replayed, true);
  assert.deepEqual(
    rotated.secrets.map((secret) => secret.public_key),
    [rotated.public_key, created.public_key],
  );
});

test('when every answer is lost, the idempotency key of the error gives the result later', async (t) => {
  const network = await losing(t, 3);
  const client = new Management(network.url, token, { pauses: NO_PAUSES });
  const error = await client.create({ name: 'Later' }).catch((error) => error);
  assert.ok(error instanceof ServiceUnavailable);
  const created = await keys.create({ name: 'Later' }, { idempotencyKey: error.idempotencyKey });
  assert.equal(created.replayed, true);
  await assert.rejects(keys.create({ name: 'Other' }, { idempotencyKey: error.idempotencyKey }), {
    code: 'idempotency_key_reused',
  });
  await assert.rejects(keys.create({ name: 'Short' }, { idempotencyKey: 'short' }), KeywrightError);
});

test('nothing else is sent twice', async (t) => {
  const created = await keys.create({ name: 'Once' });
  const network = await losing(t, 1);
  const client = new Management(network.url, token, { pauses: NO_PAUSES });
  await assert.rejects(client.update(created.id, { name: 'Changed' }), ServiceUnavailable);
  assert.equal(network.delivered, 1);
  assert.equal((await keys.get(created.id)).name, 'Changed');
});

test('a retry comes no sooner than the service asked for, within bounds', () => {
  assert.equal(secondsBefore(0.2, { retryAfter: 5 }), 5);
  assert.equal(secondsBefore(0.2, { retryAfter: 3600 }), 10);
  assert.ok(secondsBefore(0.2, {}) >= 0.2 && secondsBefore(0.2, {}) < 0.3);
});

test('an unavailable service is asked again, and then given up', async (t) => {
  const away = await answering(t, 503, {}, { detail: 'Busy.', code: 'overloaded', request_id: 'r' });
  const creating = new Management(away.url, token, { pauses: NO_PAUSES }).create({ name: 'Away' });
  await assert.rejects(creating, { name: 'ServiceUnavailable', code: 'overloaded', status: 503 });
  assert.equal(away.requests, 3);
});

test('a wait between retries ends with the signal', async (t) => {
  const ending = new AbortController();
  const away = await serve(t, (_request, response) => {
    response.writeHead(503).end(() => ending.abort(new Error('the end')));
  });
  const creating = new Management(away, token, { pauses: [3600] }).create({ name: 'Away' }, { signal: ending.signal });
  await assert.rejects(creating, /the end/);
});

test('refusals have a stable code, the status, the flaws and the request', async () => {
  const error = await keys.create({ name: '', colour: 'red' }).catch((error) => error);
  assert.ok(error instanceof Refused);
  assert.deepEqual([error.code, error.status], ['validation_failed', 422]);
  assert.deepEqual(error.fields.map(({ loc }) => loc.at(-1)).sort(), ['colour', 'name']);
  assert.match(error.message, /name: .+/);
  assert.match(error.requestId, /./);
  await assert.rejects(new Management(url, reader).create({ name: 'No' }), {
    code: 'insufficient_permission',
    status: 403,
  });
});

test('what JSON would lose is refused, and an id is a UUID', async () => {
  for (const fields of [
    { name: 'a', expires_at: new Date(Number.NaN) },
    { name: 'a', metadata: { size: Number.POSITIVE_INFINITY } },
    { name: 'a', metadata: { size: 1n } },
    { name: 'a', scopes: () => [] },
  ]) {
    await assert.rejects(
      keys.create(fields),
      (error) => error instanceof KeywrightError && !(error instanceof Refused),
    );
  }
  await assert.rejects(keys.list({ createdAfter: new Date('never') }).next(), /createdAfter|created_after/);
  for (const id of ['../operator/api-keys', '', undefined]) await assert.rejects(keys.get(id), KeywrightError);
});

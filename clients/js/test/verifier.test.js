import assert from 'node:assert/strict';
import { test } from 'node:test';

import {
  CredentialRefused,
  KeywrightError,
  Refused,
  ServiceUnavailable,
  UnexpectedAnswer,
  Verifier,
} from 'keywright-client';
import { answering, closed, credential, keys, losing, reader, serve, url, verifier } from './stage.js';

const UNAVAILABLE = { detail: 'The database cannot be reached.', code: 'storage_unavailable', request_id: 'a-request' };

test('a key passes until it is revoked', async () => {
  const created = await keys.create({
    name: 'Billing export',
    external_id: 'customer-1742',
    metadata: { plan: 'team' },
  });
  const text = created.private_key.reveal();
  const verdict = await verifier.verify(text, { metadata: true });
  assert.equal(verdict.valid, true);
  assert.equal(verdict.api_key.id, created.id);
  assert.equal(verdict.api_key.external_id, 'customer-1742');
  assert.deepEqual(verdict.api_key.metadata, { plan: 'team' });
  await keys.revoke(created.id, { reason: 'key_compromise' });
  // A revocation takes effect within a second; its receipt says when.
  while ((await keys.receipt(created.id)).pending) continue;
  assert.deepEqual([(await verifier.verify(text)).valid, (await verifier.verify(text)).code], [false, 'revoked']);
});

test('the first rule that refuses is the verdict', async () => {
  const created = await keys.create({ name: 'Bound', scopes: ['invoices:read'], allowed_ips: ['192.0.2.0/24'] });
  const text = created.private_key.reveal();
  const code = async (options) => (await verifier.verify(text, options)).code;
  assert.equal(await code({ scopes: ['invoices:read'], clientIp: '192.0.2.7', environment: 'live' }), 'valid');
  assert.equal(await code({ scopes: ['invoices:write'], clientIp: '192.0.2.7' }), 'insufficient_scope');
  assert.equal(await code({ clientIp: '198.51.100.1' }), 'ip_not_allowed');
  assert.equal(await code({ environment: 'sandbox', clientIp: '192.0.2.7' }), 'wrong_environment');
  assert.equal(await code({}), 'ip_not_allowed');
  const explained = await verifier.verify(text, { explain: true });
  assert.match(explained.explanation.would_pass, /\w/);
});

test('an address that is none is not sent', async () => {
  const created = await keys.create({ name: 'Bound', allowed_ips: ['192.0.2.0/24', '2001:db8::/32'] });
  const text = created.private_key.reveal();
  for (const clientIp of ['2001:db8::7', '::ffff:192.0.2.7']) {
    assert.equal((await verifier.verify(text, { clientIp })).code, 'valid', clientIp);
  }
  for (const clientIp of [
    '',
    'unknown',
    '192.0.2.7:443',
    '192.0.2.',
    '1.2.3',
    'fe80::1%eth0',
    '[2001:db8::7]',
    null,
    ':',
  ]) {
    assert.equal((await verifier.verify(text, { clientIp })).code, 'ip_not_allowed', clientIp);
  }
});

test('the limits of a key are told, and a cost of 0 only reads them', async () => {
  const created = await keys.create({
    name: 'Limited',
    rate_limits: [{ name: 'hour', limit: 5, window_seconds: 3600 }],
  });
  const text = created.private_key.reveal();
  const left = async (cost) => (await verifier.verify(text, { cost })).rate_limits[0].remaining;
  assert.deepEqual([await left(3), await left(0), await left(2)], [2, 2, 0]);
  const refused = await verifier.verify(text);
  assert.equal(refused.code, 'rate_limited');
  assert.ok(refused.retry_after_seconds > 0);
});

test('a text that cannot be a key is not found, without a request', async (t) => {
  const away = await answering(t, 500, {}, {});
  for (const text of ['', 'ü', '\ud800', 'a'.repeat(100_000), 'a b', 'a\n', undefined]) {
    const found = await new Verifier(away.url, credential).verify(text);
    assert.deepEqual(found, { valid: false, code: 'not_found', api_key: null });
  }
  assert.equal(away.requests, 0);
  assert.equal((await verifier.verify('kw_sk_live_nonsense')).code, 'not_found');
});

test('a batch has a verdict for each key, in order', async () => {
  const created = await keys.create({ name: 'Batch', scopes: ['invoices:read'] });
  const key = created.private_key.reveal();
  const verdicts = await verifier.verifyBatch([
    key,
    '\ud800',
    { key, scopes: ['invoices:write'] },
    'kw_sk_unknown',
    key,
  ]);
  assert.deepEqual(
    verdicts.map((verdict) => verdict.code),
    ['valid', 'not_found', 'insufficient_scope', 'not_found', 'valid'],
  );
  assert.deepEqual(await verifier.verifyBatch([]), []);
  assert.equal((await verifier.verifyBatch(Array(100).fill(key))).length, 100);
  await assert.rejects(verifier.verifyBatch(Array(101).fill(key)), KeywrightError);
});

test('a check whose connection was lost is sent once more', async (t) => {
  const created = await keys.create({ name: 'Lost' });
  const text = created.private_key.reveal();
  const once = await losing(t, 1);
  assert.equal((await new Verifier(once.url, credential).verify(text)).valid, true);
  const twice = await losing(t, 2);
  await assert.rejects(new Verifier(twice.url, credential).verify(text), ServiceUnavailable);
  assert.equal(twice.delivered, 2);
});

test('an unavailable service is no verdict', async (t) => {
  const away = await answering(t, 503, { 'Retry-After': '7' }, UNAVAILABLE);
  await assert.rejects(new Verifier(away.url, credential).verify('kw_sk_live_some'), (error) => {
    assert.ok(error instanceof ServiceUnavailable);
    assert.deepEqual(
      [error.code, error.status, error.retryAfter, error.requestId],
      ['storage_unavailable', 503, 7, 'a-request'],
    );
    return true;
  });
  assert.equal(away.requests, 1);
  await assert.rejects(new Verifier(await closed(), credential).verify('kw_sk_live_some'), ServiceUnavailable);
});

test('a service that does not answer in time is unavailable, and a caller may end a call sooner', async (t) => {
  const silent = await serve(t, () => {});
  await assert.rejects(new Verifier(silent, credential, { timeout: 20 }).verify('kw_sk_live_some'), (error) => {
    assert.ok(error instanceof ServiceUnavailable);
    assert.match(error.message, /in time/);
    return true;
  });
  const patient = new Verifier(silent, credential, { timeout: 60_000 });
  const reason = new Error('the customer has gone');
  const ending = new AbortController();
  const check = patient.verify('kw_sk_live_some', { signal: ending.signal });
  ending.abort(reason);
  await assert.rejects(check, reason);
});

test('a refused credential is no verdict', async () => {
  for (const wrong of [`${credential}x`, 'kw_vk_unknown', reader]) {
    await assert.rejects(new Verifier(url, wrong).verify('kw_sk_live_some'), (error) => {
      assert.ok(error instanceof CredentialRefused && error instanceof Refused);
      assert.ok([401, 403].includes(error.status) && error.code && error.requestId);
      return true;
    });
  }
});

test('another server is told apart, and its redirects are not followed', async (t) => {
  for (const [status, body] of [
    [200, '<html>'],
    [200, { valid: true, code: 'revoked' }],
    [200, null],
    [418, {}],
  ]) {
    const other = await answering(t, status, {}, body);
    await assert.rejects(new Verifier(other.url, credential).verify('kw_sk_live_some'), UnexpectedAnswer);
  }
  const target = await answering(t, 200, {}, {});
  const elsewhere = await answering(t, 307, { Location: target.url }, {});
  await assert.rejects(new Verifier(elsewhere.url, credential).verify('kw_sk_live_some'), UnexpectedAnswer);
  assert.equal(target.requests, 0);
});

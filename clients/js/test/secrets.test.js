import assert from 'node:assert/strict';
import { test } from 'node:test';
import { format, inspect } from 'node:util';

import { KeywrightError, Management, PrivateKey, Verifier } from 'keywright-client';
import { credential, keys, losing, token, verifier } from './stage.js';

function shown(value) {
  const everything = { showHidden: true, depth: 20 };
  return [
    inspect(value, everything),
    format('%s %o %j', value, value, value),
    JSON.stringify(value),
    String(value),
  ].join();
}

test('a private key prints as its display', async () => {
  const created = await keys.create({ name: 'Hidden' });
  const text = created.private_key.reveal();
  assert.match(text, /^kw_sk_live_\w{49}$/);
  assert.ok(created.private_key instanceof PrivateKey);
  assert.ok(!shown(created).includes(text) && !shown(created.private_key).includes(text));
  assert.equal(`${created.private_key}`, created.private_key_display);
  assert.equal(JSON.parse(JSON.stringify(created)).private_key, created.private_key_display);
});

test('clients do not print their tokens', () => {
  assert.ok(!shown(keys).includes(token));
  assert.ok(!shown(verifier).includes(credential));
});

test('errors do not print what they were given', async (t) => {
  const network = await losing(t, 1);
  const error = await new Management(network.url, token, { pauses: [] })
    .create({ name: 'Lost' })
    .catch((error) => error);
  assert.match(error.idempotencyKey, /.{22}/);
  for (const secret of [token, error.idempotencyKey])
    assert.ok(!shown(error).includes(secret) && !error.stack.includes(secret));
  for (const make of [
    () => new Verifier('https://user:s3cret-s3cret@keys.acme.example', credential),
    () => new Verifier('https://keys.acme.example', 's3cret-s3cret\n'),
  ]) {
    assert.throws(make, (error) => error instanceof KeywrightError && !shown(error).includes('s3cret'));
  }
});

test('http goes to this machine only, unless it is allowed', () => {
  for (const url of [
    'http://keys.acme.example',
    'http://127.0.0.1.acme.example',
    'http://10.0.0.1',
    'http://[::2]',
    'http://128.0.0.1',
  ]) {
    assert.throws(() => new Verifier(url, credential), /Over http:/, url);
    assert.throws(() => new Management(url, token), /Over http:/, url);
    new Verifier(url, credential, { allowHttp: true });
  }
  for (const url of ['http://localhost:1', 'http://127.9.9.9', 'http://[::1]:1', 'https://keys.acme.example/keys/'])
    new Verifier(url, credential);
  for (const url of [
    'ftp://keys.acme.example',
    'keys.acme.example',
    '',
    'https://keys.acme.example/?a=b',
    'https://a@b.example',
  ]) {
    assert.throws(() => new Verifier(url, credential), /The service's address/, url);
  }
  process.env.KEYWRIGHT_ALLOW_HTTP = '1';
  new Verifier('http://10.0.0.1', credential);
  delete process.env.KEYWRIGHT_ALLOW_HTTP;
});

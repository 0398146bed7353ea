import assert from 'node:assert/strict';
import { test } from 'node:test';

import express from 'express';
import { Hono } from 'hono';
import { CredentialRefused, ServiceUnavailable, Verifier } from 'keywright-client';
import { requireKey as expressKey } from 'keywright-client/express';
import { withKey } from 'keywright-client/fetch';
import { requireKey as honoKey } from 'keywright-client/hono';
import { answering, closed, credential, expected, keys, serve, url, verifier } from './stage.js';

const AWAY = { detail: 'The database cannot be reached.', code: 'storage_unavailable', request_id: 'a-request' };

/** Each serves one path behind a guard, and gives the address. */
const frameworks = {
  express(t, checks, options) {
    const app = express();
    app.get('/invoices', expressKey(checks, options), (request, response) => {
      response.json({ organization: request.keywright.api_key.org_id });
    });
    return serve(t, app);
  },
  hono(t, checks, options) {
    const app = new Hono();
    app.use('/invoices', honoKey(checks, { clientIp: (c) => c.env.address, ...options }));
    app.get('/invoices', (c) => c.json({ organization: c.get('keywright').api_key.org_id }));
    return serve(
      t,
      bridge((request, address) => app.fetch(request, { address })),
    );
  },
  fetch(t, checks, options) {
    const guarded = withKey(checks, { clientIp: (_request, address) => address, ...options }, (_request, verdict) =>
      Response.json({ organization: verdict.api_key.org_id }),
    );
    return serve(t, bridge(guarded));
  },
};

/** Make a request listener of Node of a handler of fetch requests. */
function bridge(handle) {
  return async (incoming, outgoing) => {
    const headers = Object.entries(incoming.headersDistinct).flatMap(([name, values]) =>
      values.map((value) => [name, value]),
    );
    const answer = await handle(
      new Request(`http://api.acme.example${incoming.url}`, { headers }),
      incoming.socket.remoteAddress,
    );
    outgoing.writeHead(answer.status, Object.fromEntries(answer.headers)).end(Buffer.from(await answer.arrayBuffer()));
  };
}

const get = (address, headers = {}) => fetch(`${address}/invoices`, { headers });

/** Whatever is presented, gives one verdict or throws one error. */
function stub(outcome) {
  return {
    async verify(key) {
      if (outcome instanceof Error) throw outcome;
      return { ...outcome, key };
    },
  };
}

for (const [name, guarded] of Object.entries(frameworks)) {
  test(`${name}: a good key passes, and all others are answered`, async (t) => {
    const created = await keys.create({ name, scopes: ['invoices:read'], allowed_ips: ['127.0.0.0/8'] });
    const elsewhere = await keys.create({ name, scopes: ['invoices:read'], allowed_ips: ['192.0.2.0/24'] });
    const other = await keys.create({ name, scopes: ['reports:read'] });
    const address = await guarded(t, verifier, { scopes: ['invoices:read'] });
    const good = await get(address, { 'X-API-Key': created.private_key.reveal() });
    assert.deepEqual([good.status, await good.json()], [200, { organization: created.org_id }]);
    assert.equal((await get(address, { Authorization: `bearer ${created.private_key.reveal()}` })).status, 200);
    assert.equal((await get(address, { 'X-API-Key': elsewhere.private_key.reveal() })).status, 403);
    const none = await get(address);
    assert.deepEqual([none.status, none.headers.get('WWW-Authenticate')], [401, 'Bearer realm="api"']);
    const lacking = await get(address, { 'X-API-Key': other.private_key.reveal() });
    assert.equal(lacking.status, 403);
    assert.match(lacking.headers.get('WWW-Authenticate'), /error="insufficient_scope", scope="invoices:read"/);
    assert.equal((await lacking.json()).code, 'insufficient_scope');
    const unknown = await get(address, { 'X-API-Key': 'kw_sk_live_nonsense' });
    assert.equal(unknown.status, 401);
    assert.match(unknown.headers.get('WWW-Authenticate'), /error="invalid_token"/);
  });

  test(`${name}: the state of limits is told, and a spent one is 429`, async (t) => {
    const limit = { name: 'hour', limit: 1, window_seconds: 3600 };
    const created = await keys.create({ name, rate_limits: [limit] });
    const address = await guarded(t, verifier, {});
    const headers = { 'X-API-Key': created.private_key.reveal() };
    const first = await get(address, headers);
    assert.equal(first.status, 200);
    assert.equal(first.headers.get('RateLimit-Policy'), '"hour";q=1;w=3600');
    assert.match(first.headers.get('RateLimit'), /^"hour";r=0;t=\d+$/);
    const second = await get(address, headers);
    assert.equal(second.status, 429);
    assert.match(second.headers.get('Retry-After'), /^[1-9]\d*$/);
    assert.match(second.headers.get('RateLimit'), /^"hour";r=0/);
  });

  test(`${name}: an outage is 503 and never 401`, async (t) => {
    const away = await answering(t, 503, { 'Retry-After': '7' }, AWAY);
    const troubles = [];
    const onTrouble = (error) => troubles.push(error);
    for (const [checks, seconds] of [
      [new Verifier(away.url, credential), '7'],
      [new Verifier(await closed(), credential), '1'],
      [new Verifier(url, 'kw_vk_unknown'), '1'],
    ]) {
      const answer = await get(await guarded(t, checks, { onTrouble }), { 'X-API-Key': 'kw_sk_live_some' });
      assert.deepEqual([answer.status, answer.headers.get('Retry-After')], [503, seconds]);
      assert.equal(answer.headers.get('WWW-Authenticate'), null);
      assert.equal((await answer.json()).code, 'service_unavailable');
    }
    assert.deepEqual(
      troubles.map((error) => error.name),
      ['ServiceUnavailable', 'ServiceUnavailable', 'CredentialRefused'],
    );
    assert.ok(troubles[2] instanceof CredentialRefused && troubles[0] instanceof ServiceUnavailable);
  });

  test(`${name}: refusals are those of the Python middlewares`, async (t) => {
    for (const { verdict, scopes, status, headers, body } of expected.refusals) {
      const answer = await get(await guarded(t, stub(verdict), { scopes }), { 'X-API-Key': 'kw_sk_live_some' });
      const found = Object.fromEntries(Object.keys(headers).map((header) => [header, answer.headers.get(header)]));
      assert.deepEqual({ status: answer.status, headers: found, body: await answer.json() }, { status, headers, body });
    }
  });
}

test('a defect of a verifier is not an outage', async (t) => {
  const address = await frameworks.express(t, stub(new TypeError('a defect')), {});
  assert.equal((await get(address, { 'X-API-Key': 'kw_sk_live_some' })).status, 500);
});

test('the key of a request is the one that the Python middlewares find', async () => {
  for (const { authorization, api_key: apiKey, found } of expected.presented) {
    const headers = [
      ...authorization.map((value) => ['Authorization', value]),
      ...apiKey.map((value) => ['X-API-Key', value]),
    ];
    const guarded = withKey(stub({ valid: true }), {}, (_request, { key }) => Response.json({ key }));
    const answer = await (await guarded(new Request('http://api.acme.example/', { headers }))).json();
    assert.equal(answer.key ?? answer.code, found, JSON.stringify(headers));
  }
});

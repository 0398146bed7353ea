// Run by each runtime that the page names, without a framework for tests: the life of a key, and a guarded handler.
import { Management, Verifier } from 'keywright-client';
import { withKey } from 'keywright-client/fetch';
import { closed } from './stage.js';

const { KEYWRIGHT_URL, KEYWRIGHT_TOKEN, KEYWRIGHT_VERIFIER } = process.env;
const keys = new Management(KEYWRIGHT_URL, KEYWRIGHT_TOKEN, { pauses: [0] });
const verifier = new Verifier(KEYWRIGHT_URL, KEYWRIGHT_VERIFIER);

const nowhere = await closed();

const created = await keys.create({
  name: 'Runtime',
  scopes: ['invoices:read'],
  expires_at: new Date(Date.now() + 1e7),
});
const text = created.private_key.reveal();
console.log(created, keys, verifier, JSON.stringify(created));

const guarded = withKey(verifier, { scopes: ['invoices:read'] }, (_request, verdict) => Response.json(verdict));
const status = async (headers) => (await guarded(new Request('http://api.acme.example/', { headers }))).status;
const seen = [await status({ 'X-API-Key': text }), await status({}), await status({ Authorization: 'Bearer other' })];

const away = new Verifier(nowhere, KEYWRIGHT_VERIFIER, { timeout: 5000 });
seen.push(
  (await withKey(away, {}, () => new Response())(new Request('http://a.example/', { headers: { 'X-API-Key': text } })))
    .status,
);
seen.push((await keys.update(created.id, { description: 'Nightly' }, { ifMatch: created.etag })).description);
seen.push(await keys.update(created.id, { name: 'b' }, { ifMatch: created.etag }).catch((error) => error.code));
for await (const key of keys.list({ limit: 1 })) seen.push(key.name);
seen.push(await keys.get(created.id, { signal: AbortSignal.abort('the end') }).catch((reason) => reason));
const lost = await new Management(nowhere, KEYWRIGHT_TOKEN, { pauses: [0] })
  .create({ name: 'Lost' })
  .catch((error) => error);
console.log(lost);
seen.push(lost.name, typeof lost.idempotencyKey);
console.log(JSON.stringify(seen));

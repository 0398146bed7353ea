// Compiled, and never run: what the declarations allow, and what they refuse.

import express from 'express';
import { Hono } from 'hono';
import { KeywrightError, Management, Refused, ServiceUnavailable, Verifier } from 'keywright-client';
import type { ApiKeyResponse, Code, CreatedApiKeyResponse } from 'keywright-client';
import { requireKey as expressKey } from 'keywright-client/express';
import { withKey } from 'keywright-client/fetch';
import { requireKey as honoKey } from 'keywright-client/hono';

const keys = new Management('https://keys.acme.example', 'token', { timeout: 1000, pauses: [0.1], fetch });
const verifier = new Verifier('https://keys.acme.example', 'credential', { allowHttp: false });

export async function manage(): Promise<void> {
  const created: CreatedApiKeyResponse = await keys.create(
    { name: 'a', expires_at: new Date(), scopes: ['a:b'], rate_limits: [{ name: 'm', limit: 1, window_seconds: 1 }] },
    { idempotencyKey: 'a', signal: AbortSignal.timeout(1) },
  );
  const text: string = created.private_key.reveal();
  for await (const key of keys.list({ status: 'expiring', limit: 10, unusedSince: new Date() })) {
    const found: ApiKeyResponse = key;
    await keys.update(found.id, { description: null, enabled: false }, { ifMatch: found.etag ?? '*' });
  }
  const verdict = await verifier.verify(text, { scopes: ['a:b'], clientIp: '192.0.2.7', cost: 0, metadata: true });
  const code: Code = verdict.code;
  const organization: string | undefined = verdict.api_key?.org_id;
  await verifier.verifyBatch([text, { key: text, environment: code }, organization ?? '']);
  const next: string | null = (await keys.usage(created.id, { period: 'hour' })).next;
  await keys.eventsPage({ cursor: next ?? undefined, type: 'api_key.revoked' });

  // @ts-expect-error: a name is required
  await keys.create({});
  // @ts-expect-error: a mistyped field
  await keys.create({ name: 'a', expiresAt: new Date() });
  // @ts-expect-error: no such reason
  await keys.revoke(created.id, { reason: 'leaked' });
  // @ts-expect-error: a private key is no string
  await verifier.verify(created.private_key);
  // @ts-expect-error: the key may be null
  verdict.api_key.id;
}

export function told(error: unknown): string | number | undefined {
  if (error instanceof Refused) return error.fields[0]?.msg ?? error.status;
  if (error instanceof ServiceUnavailable) return error.retryAfter;
  return error instanceof KeywrightError ? error.idempotencyKey : undefined;
}

express().get(
  '/',
  expressKey(verifier, { scopes: ['a:b'], clientIp: (request) => request.ip }),
  (request, response) => {
    response.json({ organization: request.keywright?.api_key.org_id });
  },
);

new Hono()
  .use(honoKey(verifier, { onTrouble: console.error }))
  .get('/', (c) => c.text(c.get('keywright').api_key.name));

export default {
  fetch: withKey(verifier, { cost: 2 }, (_request, verdict, env: { name: string }) => {
    return new Response(verdict.api_key.org_id + env.name);
  }),
};

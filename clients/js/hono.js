/** Checks keys in Hono. The verdict is `c.get('keywright')`. */

import { credentialsOf } from './fetch.js';
import { Guard } from './lib/guard.js';

export function requireKey(verifier, options = {}) {
  const { clientIp, ...rest } = options;
  const guard = new Guard(verifier, rest);
  return async (c, next) => {
    const { verdict, headers, refusal } = await guard.check(credentialsOf(c.req.raw, clientIp?.(c)));
    if (refusal) return new Response(refusal.body, refusal);
    c.set('keywright', verdict);
    await next();
    for (const [name, value] of Object.entries(headers)) c.header(name, value);
  };
}

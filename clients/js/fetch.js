/** Checks keys in front of a handler of fetch requests: workers, `Deno.serve`, `Bun.serve`, Next.js routes. */

import { Guard } from './lib/guard.js';

export function withKey(verifier, options, handler) {
  const { clientIp, ...rest } = options;
  const guard = new Guard(verifier, rest);
  return async (request, ...more) => {
    const address = clientIp?.(request, ...more);
    const { verdict, headers, refusal } = await guard.check(credentialsOf(request, address));
    if (refusal) return new Response(refusal.body, refusal);
    return withHeaders(await handler(request, verdict, ...more), headers);
  };
}

/** Give what the guard needs of a fetch request; its headers of one name are joined with commas. */
export function credentialsOf(request, clientIp) {
  const all = (name) => [request.headers.get(name)].filter((value) => value !== null);
  return { authorization: all('Authorization'), apiKey: all('X-API-Key'), clientIp };
}

/** Add headers to a response, whose own may be immutable. */
function withHeaders(response, headers) {
  const added = Object.entries(headers);
  if (added.length === 0) return response;
  const copy = new Response(response.body, response);
  for (const [name, value] of added) copy.headers.set(name, value);
  return copy;
}

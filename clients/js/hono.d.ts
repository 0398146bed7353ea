import type { Context, MiddlewareHandler } from 'hono';

import type { ChecksKeys, GuardOptions, ValidVerdict } from './index.js';

export interface HonoOptions extends GuardOptions {
  /** The caller's address, which every runtime has elsewhere; a key that is bound to networks is refused without. */
  clientIp?: (c: Context) => string | undefined;
}

/** Make a middleware that lets requests with a valid key pass, and answers all others. */
export function requireKey(
  verifier: ChecksKeys,
  options?: HonoOptions,
): MiddlewareHandler<{ Variables: { keywright: ValidVerdict } }>;

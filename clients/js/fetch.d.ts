import type { ChecksKeys, GuardOptions, ValidVerdict } from './index.js';

export interface FetchOptions<More extends unknown[]> extends GuardOptions {
  /** The caller's address, which every runtime has elsewhere; a key that is bound to networks is refused without. */
  clientIp?: (request: Request, ...more: More) => string | null | undefined;
}

/**
 * Make a handler of fetch requests that calls *handler* for requests with a valid key, and answers all others.
 *
 * Arguments after the request, such as a worker's environment, are passed on after the verdict.
 */
export function withKey<More extends unknown[] = []>(
  verifier: ChecksKeys,
  options: FetchOptions<More>,
  handler: (request: Request, verdict: ValidVerdict, ...more: More) => Response | Promise<Response>,
): (request: Request, ...more: More) => Promise<Response>;

import type { Request, RequestHandler } from 'express';

import type { ChecksKeys, GuardOptions, ValidVerdict } from './index.js';

export interface ExpressOptions extends GuardOptions {
  /** The caller's address; `request.ip` unless given, which follows Express's setting `trust proxy`. */
  clientIp?: (request: Request) => string | undefined;
}

/** Make a middleware that lets requests with a valid key pass, and answers all others. */
export function requireKey(verifier: ChecksKeys, options?: ExpressOptions): RequestHandler;

declare global {
  namespace Express {
    interface Request {
      /** The verdict on the request's key, behind `requireKey`. */
      keywright?: ValidVerdict;
    }
  }
}

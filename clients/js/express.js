/** Checks keys in Express, or another server of Node's requests. The verdict is in `request.keywright`. */

import { Guard } from './lib/guard.js';

export function requireKey(verifier, options = {}) {
  const { clientIp = (request) => request.ip, ...rest } = options;
  const guard = new Guard(verifier, rest);
  return async (request, response, next) => {
    try {
      const { authorization = [], 'x-api-key': apiKey = [] } = request.headersDistinct;
      const { verdict, headers, refusal } = await guard.check({ authorization, apiKey, clientIp: clientIp(request) });
      for (const [name, value] of Object.entries(refusal?.headers ?? headers)) response.setHeader(name, value);
      if (refusal) {
        response.statusCode = refusal.status;
        response.end(refusal.body);
        return;
      }
      request.keywright = verdict;
    } catch (error) {
      next(error);
      return;
    }
    next();
  };
}

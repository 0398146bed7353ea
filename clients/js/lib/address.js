/** Addresses: of the service, and of the callers whose keys are checked. */

import { KeywrightError } from './errors.js';

const IPV4 = /^(?:(?:25[0-5]|2[0-4]\d|1?\d?\d)(?:\.(?!$)|$)){4}$/;

/** Read the address of a service; a path after the host is kept, a trailing slash is not. */
export function serviceAddress(text, allowHttp) {
  let url;
  try {
    url = new URL(text);
  } catch {
    // Answered below; the error of URL would repeat the text, and credentials in it.
  }
  if (!url || !/^https?:$/.test(url.protocol) || url.search || url.hash || url.username || url.password) {
    throw new KeywrightError("The service's address must be such as https://keys.acme.example, without credentials.");
  }
  if (url.protocol === 'http:' && !(allowHttp || isLoopback(url.hostname) || allowedByEnvironment())) {
    throw new KeywrightError(
      'Over http:// everyone on the way can read keys and tokens. Use https://; on a network that you trust, set ' +
        'allowHttp: true or KEYWRIGHT_ALLOW_HTTP=1.',
    );
  }
  return url.href.replace(/\/+$/, '');
}

/** Give *text* if it is an IP address without a zone, and undefined otherwise: the service refuses other texts. */
export function ipAddress(text) {
  if (typeof text !== 'string') return undefined;
  if (IPV4.test(text)) return text;
  return text.includes(':') && URL.canParse(`http://[${text}]/`) ? text : undefined;
}

function isLoopback(host) {
  return host === 'localhost' || host === '[::1]' || (host.startsWith('127.') && IPV4.test(host));
}

function allowedByEnvironment() {
  return globalThis.process?.env?.KEYWRIGHT_ALLOW_HTTP === '1';
}

/** A client for the HTTP API of Keywright: `Verifier` checks keys, `Management` manages those of one organization. */

export { CredentialRefused, KeywrightError, Refused, ServiceUnavailable, UnexpectedAnswer } from './lib/errors.js';
export { Management } from './lib/management.js';
export { PrivateKey } from './lib/private-key.js';
export { Verifier } from './lib/verifier.js';

/**
 * The errors of calls to a service.
 *
 *     KeywrightError
 *     ├── Refused                the service refused the request, or failed at it
 *     │   └── CredentialRefused  the service does not accept the credential of this verifier
 *     ├── ServiceUnavailable     the service is unavailable; retry later
 *     └── UnexpectedAnswer       the answer is not a Keywright service's
 */

// Not a property: whatever prints or serializes an error would show it.
const idempotencyKeys = new WeakMap();

export class KeywrightError extends Error {
  get name() {
    return 'KeywrightError';
  }

  get idempotencyKey() {
    return idempotencyKeys.get(this);
  }
}

export class Refused extends KeywrightError {
  constructor(answer) {
    super(answer.detail);
    this.code = answer.code;
    this.status = answer.status;
    this.requestId = answer.requestId;
    this.fields = answer.fields ?? [];
    this.missingScopes = answer.missingScopes ?? [];
    this.retryAfter = answer.retryAfter;
  }

  get name() {
    return 'Refused';
  }
}

export class CredentialRefused extends Refused {
  get name() {
    return 'CredentialRefused';
  }
}

export class ServiceUnavailable extends KeywrightError {
  constructor(detail, { code, status, requestId, retryAfter } = {}) {
    super(detail);
    this.code = code;
    this.status = status;
    this.requestId = requestId;
    this.retryAfter = retryAfter;
  }

  get name() {
    return 'ServiceUnavailable';
  }
}

/** No answer arrived, because the connection could not be made or ended too soon. */
export class ConnectionLost extends ServiceUnavailable {}

export class UnexpectedAnswer extends KeywrightError {
  get name() {
    return 'UnexpectedAnswer';
  }
}

/** Keep the idempotency key with which a failed creation or rotation can be sent again. */
export function keepIdempotencyKey(error, key) {
  idempotencyKeys.set(error, key);
}

// Package keywright is a client for the HTTP API of Keywright.
//
// [Verifier] checks the keys that customers present, [Guard] does so in front of an [http.Handler], and [Management]
// manages the keys of one organization. Nothing is cached: every check is a request to the service.
//
// Errors are for faults, and a refused key is none. These types tell them apart with [errors.As]:
//
//	*RefusedError            the service refused the request, or failed at it
//	*CredentialRefusedError  the service does not accept the credential of this verifier; wraps a *RefusedError
//	*UnavailableError        the service is unavailable; retry later
//	*UnexpectedAnswerError   the answer is not a Keywright service's
//	*UnfinishedError         a creation or rotation failed; wraps one of the others, and has the idempotency key
package keywright

// Version of this client, and of the service that it was written for.
const Version = "0.2.0"

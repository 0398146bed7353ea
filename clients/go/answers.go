package keywright

import "time"

// The answers have the names and members of the schemas of the OpenAPI document. A member that may be null is a
// pointer, nil for null or absent.

// APIKeyResponse is an API key, without its private half.
type APIKeyResponse struct {
	ID                string              `json:"id"`
	OrgID             string              `json:"org_id"`
	OrgExternalID     string              `json:"org_external_id"`
	Name              string              `json:"name"`
	Description       *string             `json:"description"`
	Environment       *string             `json:"environment"`
	PublicKey         string              `json:"public_key"`
	PrivateKeyDisplay string              `json:"private_key_display"`
	CreatedAt         time.Time           `json:"created_at"`
	ExpiresAt         *time.Time          `json:"expires_at"`
	Enabled           bool                `json:"enabled"`
	IsRevoked         bool                `json:"is_revoked"`
	RevokedAt         *time.Time          `json:"revoked_at"`
	LastUsedAt        *time.Time          `json:"last_used_at"`
	Status            Status              `json:"status"`
	RevocationReason  *RevocationReason   `json:"revocation_reason"`
	CreatedBy         string              `json:"created_by"`
	RevokedBy         *string             `json:"revoked_by"`
	Scopes            []string            `json:"scopes"`
	AllowedIPs        []string            `json:"allowed_ips"`
	RateLimits        []RateLimitResponse `json:"rate_limits"`
	ExternalID        *string             `json:"external_id"`
	Metadata          map[string]any      `json:"metadata"`
	Secrets           []SecretResponse    `json:"secrets"`
	// ETag is the header: the version of the key, for IfMatch; "" in a list.
	ETag string `json:"-"`
}

// CreatedAPIKeyResponse is an API key with a new pair, and the private key of that pair, which no other answer shows.
type CreatedAPIKeyResponse struct {
	APIKeyResponse
	PrivateKey Secret `json:"private_key"`
	// Replayed is the header: whether this is the answer to an earlier request with the same idempotency key.
	Replayed bool `json:"-"`
}

// SecretResponse is a pair of an API key that still works, or is its current one.
type SecretResponse struct {
	PublicKey             string     `json:"public_key"`
	PrivateKeyDisplay     string     `json:"private_key_display"`
	CreatedAt             time.Time  `json:"created_at"`
	FirstUsedAt           *time.Time `json:"first_used_at"`
	LastUsedAt            *time.Time `json:"last_used_at"`
	RetiresAt             *time.Time `json:"retires_at"`
	RetireWhenIdleSeconds *int       `json:"retire_when_idle_seconds"`
}

// RateLimitResponse is a limit: at most Limit units at once and, over time, in WindowSeconds.
type RateLimitResponse struct {
	Name          string `json:"name"`
	Limit         int    `json:"limit"`
	WindowSeconds int    `json:"window_seconds"`
}

// EventResponse is one change to a key, in the audit log.
type EventResponse struct {
	ID         string         `json:"id"`
	Type       string         `json:"type"`
	KeyID      string         `json:"key_id"`
	OccurredAt time.Time      `json:"occurred_at"`
	Actor      ActorResponse  `json:"actor"`
	RequestID  string         `json:"request_id"`
	Address    *string        `json:"address"`
	Data       map[string]any `json:"data"`
	Position   *int           `json:"position"`
	Hash       *string        `json:"hash"`
	Erased     bool           `json:"erased"`
}

// ActorResponse is the bearer of the access token that made a change, or the service.
type ActorResponse struct {
	Issuer   string  `json:"issuer"`
	Subject  string  `json:"subject"`
	ClientID *string `json:"client_id"`
}

// UsageResponse is the usage of one key, with one page of its secrets.
type UsageResponse struct {
	KeyID      string              `json:"key_id"`
	LastUsedAt *time.Time          `json:"last_used_at"`
	Period     string              `json:"period"`
	Counts     []CountResponse     `json:"counts"`
	Sources    []SourceResponse    `json:"sources"`
	Secrets    []SecretUseResponse `json:"secrets"`
	Refusals   []RefusalResponse   `json:"refusals"`
	// Next is the cursor of the following page; "" on the last one.
	Next string `json:"-"`
}

// CountResponse has the accepted uses and the refusals in one hour or day.
type CountResponse struct {
	Start   time.Time      `json:"start"`
	Count   int            `json:"count"`
	Refused map[string]int `json:"refused"` // by the code of the verdict
}

// SourceResponse is a network and user agent from which a key was used recently.
type SourceResponse struct {
	PublicKey string    `json:"public_key"`
	Network   *string   `json:"network"`
	Agent     *string   `json:"agent"`
	Verifier  string    `json:"verifier"`
	FirstSeen time.Time `json:"first_seen"`
	LastSeen  time.Time `json:"last_seen"`
	Count     int       `json:"count"`
}

// RefusalResponse is a network and user agent from which a key was refused recently, although its secret was right.
type RefusalResponse struct {
	SourceResponse
	Code string `json:"code"` // of the verdict
}

// SecretUseResponse is a current or former pair of a key, and its last use.
type SecretUseResponse struct {
	PublicKey         string     `json:"public_key"`
	PrivateKeyDisplay string     `json:"private_key_display"`
	LastUsedAt        *time.Time `json:"last_used_at"`
	RetiresAt         *time.Time `json:"retires_at"`
}

// RevocationResponse is the receipt of a revocation or deletion: which processes acknowledged it.
type RevocationResponse struct {
	KeyID          string                    `json:"key_id"`
	RevokedAt      time.Time                 `json:"revoked_at"`
	Confirmed      int                       `json:"confirmed"`
	Pending        int                       `json:"pending"`
	MayAcceptUntil *time.Time                `json:"may_accept_until"`
	Verifiers      []VerifierSessionResponse `json:"verifiers"`
}

// VerifierSessionResponse is a process that may have had the key in its cache when the key ended.
type VerifierSessionResponse struct {
	Kind           string     `json:"kind"`
	ConnectedAt    time.Time  `json:"connected_at"`
	ConfirmedAt    *time.Time `json:"confirmed_at"`
	MayAcceptUntil *time.Time `json:"may_accept_until"`
}

// OptionsResponse has the environments, scopes and rules for new keys.
type OptionsResponse struct {
	Environments    []string        `json:"environments"`
	Scopes          []ScopeResponse `json:"scopes"` // nil where any well-formed scope may be granted
	Policy          PolicyResponse  `json:"policy"`
	Permissions     []string        `json:"permissions"`
	GrantableScopes []string        `json:"grantable_scopes"` // nil for any
	ClientIP        *string         `json:"client_ip"`        // the caller's address; nil where it is not known
}

// ScopeResponse is one scope that the operator listed.
type ScopeResponse struct {
	Scope       string `json:"scope"`
	Description string `json:"description"`
}

// PolicyResponse has the rules for every organization.
type PolicyResponse struct {
	MaxLifeSeconds *int `json:"max_life_seconds"`
	ExpiryRequired bool `json:"expiry_required"`
	MaxActiveKeys  *int `json:"max_active_keys"`
}

// VerifyResponse is a verdict on a presented key.
type VerifyResponse struct {
	Valid             bool                 `json:"valid"`
	Code              Code                 `json:"code"`
	APIKey            *VerifiedKey         `json:"api_key"`
	RateLimits        []LimitStateResponse `json:"rate_limits"`
	RetryAfterSeconds *int                 `json:"retry_after_seconds"`
	Stale             bool                 `json:"stale"`
	Explanation       *ExplanationResponse `json:"explanation"`
}

// VerifiedKey is the API key that the presented key belongs to.
type VerifiedKey struct {
	ID            string         `json:"id"`
	OrgID         string         `json:"org_id"`
	Name          string         `json:"name"`
	Environment   string         `json:"environment"`
	Scopes        []string       `json:"scopes"`
	ExpiresAt     *time.Time     `json:"expires_at"`
	ExternalID    *string        `json:"external_id"`
	OrgExternalID *string        `json:"org_external_id"`
	CreatedBy     *string        `json:"created_by"`
	Metadata      map[string]any `json:"metadata"` // nil unless VerifyOptions.Metadata
}

// LimitStateResponse is the state of a rate limit after a request.
type LimitStateResponse struct {
	Name          string  `json:"name"`
	Limit         int     `json:"limit"`
	WindowSeconds int     `json:"window_seconds"`
	Remaining     int     `json:"remaining"`
	ResetSeconds  float64 `json:"reset_seconds"`
}

// ExplanationResponse is the rule that refused, and what it would accept.
type ExplanationResponse struct {
	Reason    string `json:"reason"`
	WouldPass string `json:"would_pass"`
}

// FieldError is one flaw of a body or parameter.
type FieldError struct {
	Loc  []any  `json:"loc"` // body, query or path, then the path of the field
	Msg  string `json:"msg"`
	Type string `json:"type"`
}

// Code is the code of a verdict.
type Code string

// The codes of verdicts; a newer service may have further ones.
const (
	CodeValid             Code = "valid"
	CodeNotFound          Code = "not_found"
	CodeRevoked           Code = "revoked"
	CodeDisabled          Code = "disabled"
	CodeExpired           Code = "expired"
	CodeReplaced          Code = "replaced"
	CodeWrongEnvironment  Code = "wrong_environment"
	CodeInsufficientScope Code = "insufficient_scope"
	CodeIPNotAllowed      Code = "ip_not_allowed"
	CodeRateLimited       Code = "rate_limited"
)

// Status says whether a key can be used.
type Status string

// The states of a key.
const (
	StatusActive   Status = "active"
	StatusDisabled Status = "disabled"
	StatusExpired  Status = "expired"
	StatusRevoked  Status = "revoked"
)

// RevocationReason says why a key was revoked.
type RevocationReason string

// The reasons of revocations.
const (
	ReasonUnspecified          RevocationReason = "unspecified"
	ReasonKeyCompromise        RevocationReason = "key_compromise"
	ReasonSuperseded           RevocationReason = "superseded"
	ReasonCessationOfOperation RevocationReason = "cessation_of_operation"
	ReasonPrivilegeWithdrawn   RevocationReason = "privilege_withdrawn"
)

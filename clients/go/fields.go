package keywright

import (
	"encoding/json"
	"net/url"
	"strconv"
	"time"
)

// NewKey has the fields of a key to create. Only Name is required; a zero value is not sent, and has the service's
// default.
type NewKey struct {
	Name        string              `json:"name"`
	Description string              `json:"description,omitempty"`
	Environment string              `json:"environment,omitempty"`
	ExpiresAt   *time.Time          `json:"expires_at,omitempty"`
	Scopes      []string            `json:"scopes,omitempty"`
	AllowedIPs  []string            `json:"allowed_ips,omitempty"`
	RateLimits  []RateLimitResponse `json:"rate_limits,omitempty"`
	ExternalID  string              `json:"external_id,omitempty"`
	Metadata    map[string]any      `json:"metadata,omitempty"`
	// IdempotencyKey names this creation: 22 to 255 printable ASCII characters; "" for a new random one.
	IdempotencyKey string `json:"-"`
}

// Change is a new value for a field, made by To or ToNull. The zero value leaves the field as it is.
type Change[T any] struct {
	given bool
	value *T
}

// To gives a field a value.
func To[T any](value T) Change[T] { return Change[T]{true, &value} }

// ToNull empties a field: the description, the end or the owner's id.
func ToNull[T any]() Change[T] { return Change[T]{given: true} }

func (c Change[T]) add(fields map[string]any, name string) {
	if c.given {
		fields[name] = c.value
	}
}

// KeyChanges has the fields of a key to replace; all others stay as they are.
type KeyChanges struct {
	Name        Change[string]
	Description Change[string]
	Environment Change[string] // it is part of the key's text, so only the present one is accepted
	ExpiresAt   Change[time.Time]
	Enabled     Change[bool] // false disables the key until true enables it again
	Scopes      Change[[]string]
	AllowedIPs  Change[[]string]
	RateLimits  Change[[]RateLimitResponse]
	ExternalID  Change[string]
	Metadata    Change[map[string]any]
	// IfMatch is the ETag of the key that was read: the key is changed only while it has that version, and otherwise the
	// *RefusedError has the code precondition_failed. "" for any version.
	IfMatch string
}

// MarshalJSON writes the fields that change.
func (c KeyChanges) MarshalJSON() ([]byte, error) {
	fields := map[string]any{}
	c.Name.add(fields, "name")
	c.Description.add(fields, "description")
	c.Environment.add(fields, "environment")
	c.ExpiresAt.add(fields, "expires_at")
	c.Enabled.add(fields, "enabled")
	c.Scopes.add(fields, "scopes")
	c.AllowedIPs.add(fields, "allowed_ips")
	c.RateLimits.add(fields, "rate_limits")
	c.ExternalID.add(fields, "external_id")
	c.Metadata.add(fields, "metadata")
	return json.Marshal(fields)
}

// KeyFilters choose keys of a list; all that are given apply.
type KeyFilters struct {
	Status        string // active, disabled, expired, revoked, or expiring
	Query         string // part of the name or description, beginning of the public key, end of the private one
	Environment   string
	ExternalID    string
	UnusedSince   time.Time // keys that existed at this moment and were not used since
	CreatedBy     string
	CreatedAfter  time.Time
	CreatedBefore time.Time
	Scope         string
	OldestFirst   bool
	Limit         int    // the most keys of a page, 1 to 1,000; 0 for 100
	Cursor        string // where to begin: the Next of the page before
}

func (f KeyFilters) values() url.Values {
	query := page(f.Limit, f.Cursor)
	addText(query, "status", f.Status)
	addText(query, "q", f.Query)
	addText(query, "environment", f.Environment)
	addText(query, "external_id", f.ExternalID)
	addTime(query, "unused_since", f.UnusedSince)
	addText(query, "created_by", f.CreatedBy)
	addTime(query, "created_after", f.CreatedAfter)
	addTime(query, "created_before", f.CreatedBefore)
	addText(query, "scope", f.Scope)
	if f.OldestFirst {
		query.Set("sort", "created_at")
	}
	return query
}

// EventFilters choose events of the audit log; all that are given apply.
type EventFilters struct {
	KeyID  string
	Type   string // such as api_key.revoked
	Actor  string // the subject of the access token that made the change
	Since  time.Time
	Until  time.Time
	Limit  int    // the most events of a page, 1 to 1,000; 0 for 100
	Cursor string // where to begin: the Next of the page before
}

func (f EventFilters) values() url.Values {
	query := page(f.Limit, f.Cursor)
	addText(query, "key_id", f.KeyID)
	addText(query, "type", f.Type)
	addText(query, "actor", f.Actor)
	addTime(query, "since", f.Since)
	addTime(query, "until", f.Until)
	return query
}

// UsageFilters choose what a report on the usage of a key covers.
type UsageFilters struct {
	Period string    // day, or hour
	Since  time.Time // zero for 7 days ago, or 24 hours with hour
	Limit  int       // the most secrets of a page, 1 to 100; 0 for 20
	Cursor string    // the Next of the page before
}

func (f UsageFilters) values() url.Values {
	query := page(f.Limit, f.Cursor)
	addText(query, "period", f.Period)
	addTime(query, "since", f.Since)
	return query
}

func page(limit int, cursor string) url.Values {
	query := url.Values{}
	if limit != 0 {
		query.Set("limit", strconv.Itoa(limit))
	}
	addText(query, "cursor", cursor)
	return query
}

func addText(query url.Values, name, value string) {
	if value != "" {
		query.Set(name, value)
	}
}

func addTime(query url.Values, name string, value time.Time) {
	if !value.IsZero() {
		query.Set(name, value.UTC().Format(time.RFC3339Nano))
	}
}

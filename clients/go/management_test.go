package keywright

import (
	"context"
	"errors"
	"net/http"
	"testing"
	"time"
)

func refusedAs(t *testing.T, err error, code string, status int) *RefusedError {
	t.Helper()
	var refused *RefusedError
	is(t, errors.As(err, &refused), err)
	equal(t, []any{refused.Code, refused.Status}, []any{code, status})
	return refused
}

// A key lives through every operation.
func TestLife(t *testing.T) {
	soon := time.Now().Add(24 * time.Hour)
	key := created(t, NewKey{Name: "Export", ExpiresAt: &soon, Scopes: []string{"invoices:read"}})
	is(t, key.ExpiresAt.Sub(soon).Abs() < time.Microsecond, key.ExpiresAt, soon)
	equal(t, []any{key.Status, key.Replayed, key.ETag}, []any{"active", false, `"1"`})
	equal(t, must(keys.Get(ctx, key.ID)).PublicKey, key.PublicKey)
	updated := must(keys.Update(ctx, key.ID, KeyChanges{
		Description: To("Nightly"), ExpiresAt: ToNull[time.Time](), Enabled: To(false), Scopes: To([]string{}),
	}))
	equal(t, []any{updated.Status, updated.Description, updated.ExpiresAt, updated.Scopes, updated.Name},
		[]any{"disabled", "Nightly", nil, []string{}, "Export"})
	must(keys.Update(ctx, key.ID, KeyChanges{Enabled: To(true)}))
	idle := 3600
	rotated := must(keys.Rotate(ctx, key.ID, RotateOptions{RetireWhenIdleSeconds: &idle}))
	is(t, rotated.PrivateKey.Reveal() != key.PrivateKey.Reveal() && len(rotated.Secrets) == 2, rotated)
	equal(t, len(must(keys.SetOverlap(ctx, key.ID, 0)).Secrets), 1)
	usage := must(keys.Usage(ctx, key.ID, UsageFilters{Period: "hour", Limit: 1}))
	equal(t, []any{usage.Period, len(usage.Secrets)}, []any{"hour", 1})
	rest := must(keys.Usage(ctx, key.ID, UsageFilters{Period: "hour", Limit: 1, Cursor: usage.Next}))
	equal(t, rest.Next, "")
	revoked := must(keys.Revoke(ctx, key.ID, ReasonSuperseded))
	is(t, revoked.IsRevoked && *revoked.RevocationReason == ReasonSuperseded, revoked)
	equal(t, must(keys.Receipt(ctx, key.ID)).KeyID, key.ID)
	is(t, keys.Delete(ctx, key.ID) == nil)
	_, err := keys.Get(ctx, key.ID)
	refusedAs(t, err, "not_found", 404)
	events, err := collect(keys.Events(ctx, EventFilters{KeyID: key.ID, Limit: 2}))
	is(t, err == nil, err)
	equal(t, []any{events[0].Type, events[len(events)-1].Type}, []any{"api_key.deleted", "api_key.created"})
	equal(t, must(keys.Options(ctx)).Environments[0], "live")
}

// Every key is listed, page after page, with the filters, until the caller has enough.
func TestPages(t *testing.T) {
	var made []string
	for range 5 {
		made = append([]string{created(t, NewKey{Name: "Page", ExternalID: "customer-pages"}).ID}, made...)
	}
	which := KeyFilters{ExternalID: "customer-pages", CreatedAfter: time.Unix(1, 0), Limit: 2}
	found, err := collect(keys.List(ctx, which))
	is(t, err == nil, err)
	var ids []string
	for _, key := range found {
		ids = append(ids, key.ID)
	}
	equal(t, ids, made)
	page := must(keys.ListPage(ctx, which))
	equal(t, []any{len(page.Items), page.Items[0].ETag}, []any{2, ""})
	which.Cursor = page.Next
	equal(t, must(keys.ListPage(ctx, which)).Items[0].ID, made[2])
	seen := 0
	keys.List(ctx, KeyFilters{ExternalID: "customer-pages", Limit: 2})(func(*APIKeyResponse, error) bool {
		seen++
		return seen < 3
	})
	equal(t, seen, 3)
}

// A link to another host is not followed, and a repeated cursor ends the list.
func TestLinkElsewhere(t *testing.T) {
	other := answering(t, 200, nil, "[]")
	n := answering(t, 200, map[string]string{"Link": "<" + other.URL + `/x?cursor=c>; rel="next"`}, "[]")
	_, err := collect(hasty(t, n, 0).List(ctx, KeyFilters{}))
	is(t, err == nil, err)
	equal(t, []int{n.requests, other.requests}, []int{2, 0})
	_, err = collect(hasty(t, answering(t, 200, nil, "{}"), 0).List(ctx, KeyFilters{}))
	var unexpected *UnexpectedAnswerError
	is(t, errors.As(err, &unexpected), err)
}

// An update of another version than the one that was read changes nothing.
func TestCondition(t *testing.T) {
	key := created(t, NewKey{Name: "Version"})
	changed := must(keys.Update(ctx, key.ID, KeyChanges{Name: To("Second"), IfMatch: key.ETag}))
	_, err := keys.Update(ctx, key.ID, KeyChanges{Name: To("Third"), IfMatch: key.ETag})
	refusedAs(t, err, "precondition_failed", 412)
	_, err = keys.Rotate(ctx, key.ID, RotateOptions{IfMatch: key.ETag})
	refusedAs(t, err, "precondition_failed", 412)
	equal(t, must(keys.Get(ctx, key.ID)).ETag, changed.ETag)
	_, err = keys.Update(ctx, key.ID, KeyChanges{IfMatch: "x\n"})
	var unavailable *UnavailableError
	is(t, err != nil && !errors.As(err, &unavailable), err)
}

// A creation whose answers are lost is done once.
func TestLostCreation(t *testing.T) {
	n := losing(t, 2)
	key, err := hasty(t, n, 2).Create(ctx, NewKey{Name: "Lost", ExternalID: "customer-lost"})
	is(t, err == nil, err)
	is(t, key.Replayed && n.requests == 3 && len(n.idempotencyKeys) == 1, n.requests, n.idempotencyKeys)
	found, err := collect(keys.List(ctx, KeyFilters{ExternalID: "customer-lost"}))
	is(t, err == nil && len(found) == 1 && found[0].ID == key.ID, err, found)
}

// A rotation whose answer is lost is done once.
func TestLostRotation(t *testing.T) {
	key := created(t, NewKey{Name: "Lost"})
	rotated, err := hasty(t, losing(t, 1), 1).Rotate(ctx, key.ID, RotateOptions{})
	is(t, err == nil && rotated.Replayed, err)
	equal(t, []string{rotated.Secrets[0].PublicKey, rotated.Secrets[1].PublicKey}, []string{rotated.PublicKey, key.PublicKey})
}

// When every answer is lost, the idempotency key of the error gives the result later.
func TestTakenUp(t *testing.T) {
	_, err := hasty(t, losing(t, 3), 2).Create(ctx, NewKey{Name: "Later"})
	var unfinished *UnfinishedError
	var unavailable *UnavailableError
	is(t, errors.As(err, &unfinished) && errors.As(err, &unavailable), err)
	idempotencyKey := unfinished.IdempotencyKey.Reveal()
	key := created(t, NewKey{Name: "Later", IdempotencyKey: idempotencyKey})
	is(t, key.Replayed, key)
	_, err = keys.Create(ctx, NewKey{Name: "Other", IdempotencyKey: idempotencyKey})
	refusedAs(t, err, "idempotency_key_reused", 422)
	_, err = keys.Create(ctx, NewKey{Name: "Short", IdempotencyKey: "short"})
	is(t, errors.Is(err, errIdempotencyKey), err)
}

// Nothing else is sent twice.
func TestOnce(t *testing.T) {
	key := created(t, NewKey{Name: "Once"})
	n := losing(t, 1)
	_, err := hasty(t, n, 2).Update(ctx, key.ID, KeyChanges{Name: To("Changed")})
	var unavailable *UnavailableError
	is(t, errors.As(err, &unavailable) && n.requests == 1, err, n.requests)
	equal(t, must(keys.Get(ctx, key.ID)).Name, "Changed")
}

// An unavailable service is asked again, no sooner than it asked for and within bounds, and then given up.
func TestRetries(t *testing.T) {
	n := answering(t, 503, nil, away)
	_, err := hasty(t, n, 2).Create(ctx, NewKey{Name: "Away"})
	var unavailable *UnavailableError
	is(t, errors.As(err, &unavailable) && n.requests == 3, err, n.requests)
	equal(t, pauseAfter(&UnavailableError{RetryAfter: 5 * time.Second}, time.Second), 5*time.Second)
	equal(t, pauseAfter(&RefusedError{RetryAfter: time.Hour}, time.Second), 10*time.Second)
	pause := pauseAfter(&UnavailableError{}, time.Second)
	is(t, pause >= time.Second && pause <= 1500*time.Millisecond, pause)
}

// A wait between retries ends with the context.
func TestWait(t *testing.T) {
	ending, cancel := context.WithCancelCause(ctx)
	gone := errors.New("the customer has gone")
	n := serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) { w.WriteHeader(503) })
	client := must(NewManagement(n.URL, token, Options{Pauses: []time.Duration{time.Hour}}))
	time.AfterFunc(50*time.Millisecond, func() { cancel(gone) })
	_, err := client.Create(ending, NewKey{Name: "Away"})
	is(t, errors.Is(err, gone), err)
}

// Refusals have a stable code, the status, the flaws and the request.
func TestRefusal(t *testing.T) {
	_, err := keys.Create(ctx, NewKey{Scopes: []string{"no scope"}})
	refused := refusedAs(t, err, "validation_failed", 422)
	is(t, len(refused.Fields) == 2 && refused.RequestID != "" && refused.Detail != "", refused)
	_, err = must(NewManagement(address, reader, Options{})).Create(ctx, NewKey{Name: "No"})
	refusedAs(t, err, "insufficient_permission", 403)
}

// What JSON cannot carry is refused, and an id is a UUID.
func TestUnsendable(t *testing.T) {
	_, err := keys.Create(ctx, NewKey{Name: "a", Metadata: map[string]any{"call": func() {}}})
	var refused *RefusedError
	is(t, err != nil && !errors.As(err, &refused), err)
	for _, id := range []string{"", "../operator/api-keys", "019a5d2e-7c1f-7c44-9b0e-2d0c8f3a1b55/x"} {
		_, err := keys.Get(ctx, id)
		is(t, err != nil && !errors.As(err, &refused), err)
	}
}

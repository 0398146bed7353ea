package keywright

import (
	"context"
	"errors"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"
)

const away = `{"detail": "The database cannot be reached.", "code": "storage_unavailable", "request_id": "a-request"}`

func code(t *testing.T, key string, options VerifyOptions) Code {
	t.Helper()
	verdict, err := verifier.Verify(ctx, key, options)
	is(t, err == nil, err)
	return verdict.Code
}

// A key passes until it is revoked.
func TestRevocation(t *testing.T) {
	key := created(t, NewKey{Name: "Export", ExternalID: "customer-1742", Metadata: map[string]any{"plan": "team"}})
	text := key.PrivateKey.Reveal()
	verdict := must(verifier.Verify(ctx, text, VerifyOptions{Metadata: true}))
	is(t, verdict.Valid && verdict.APIKey.ID == key.ID && *verdict.APIKey.ExternalID == "customer-1742", verdict)
	equal(t, verdict.APIKey.Metadata, map[string]string{"plan": "team"})
	must(keys.Revoke(ctx, key.ID, ReasonKeyCompromise))
	// A revocation takes effect within a second; its receipt says when.
	for must(keys.Receipt(ctx, key.ID)).Pending > 0 {
		continue
	}
	equal(t, code(t, text, VerifyOptions{}), CodeRevoked)
}

// The first rule that refuses is the verdict.
func TestRules(t *testing.T) {
	networks := []string{"192.0.2.0/24", "2001:db8::/32"}
	text := created(t, NewKey{Name: "Bound", Scopes: []string{"invoices:read"}, AllowedIPs: networks}).PrivateKey.Reveal()
	read, write, here := []string{"invoices:read"}, []string{"invoices:write"}, "192.0.2.7"
	equal(t, code(t, text, VerifyOptions{Scopes: read, ClientIP: here, Environment: "live"}), CodeValid)
	equal(t, code(t, text, VerifyOptions{ClientIP: "2001:db8::7"}), CodeValid)
	equal(t, code(t, text, VerifyOptions{Scopes: write, ClientIP: here}), CodeInsufficientScope)
	equal(t, code(t, text, VerifyOptions{ClientIP: here, Environment: "sandbox"}), CodeWrongEnvironment)
	for _, elsewhere := range []string{"", "198.51.100.1", "unknown", "192.0.2.7:443", "192.0.2.", "fe80::1%eth0"} {
		equal(t, code(t, text, VerifyOptions{ClientIP: elsewhere}), CodeIPNotAllowed)
	}
	explained := must(verifier.Verify(ctx, text, VerifyOptions{Explain: true}))
	is(t, explained.Explanation != nil && explained.Explanation.WouldPass != "", explained)
}

// The limits of a key are told, and a cost of 0 only reads them.
func TestLimits(t *testing.T) {
	limits := []RateLimitResponse{{Name: "hour", Limit: 5, WindowSeconds: 3600}}
	text := created(t, NewKey{Name: "Limited", RateLimits: limits}).PrivateKey.Reveal()
	var left []int
	for _, cost := range []int{3, 0, 2} {
		verdict := must(verifier.Verify(ctx, text, VerifyOptions{Cost: &cost}))
		left = append(left, verdict.RateLimits[0].Remaining)
	}
	equal(t, left, []int{2, 2, 0})
	refused := must(verifier.Verify(ctx, text, VerifyOptions{}))
	is(t, refused.Code == CodeRateLimited && *refused.RetryAfterSeconds > 0, refused)
}

// A text that cannot be a key is not found, without a request.
func TestNoKey(t *testing.T) {
	n := answering(t, 500, nil, "")
	checks := must(NewVerifier(n.URL, credential, Options{}))
	for _, text := range []string{"", "ü", "\xff", strings.Repeat("a", 100_000), "a b", "a\n"} {
		equal(t, must(checks.Verify(ctx, text, VerifyOptions{})), notFound)
	}
	equal(t, n.requests, 0)
	equal(t, code(t, "kw_sk_live_nonsense", VerifyOptions{}), CodeNotFound)
}

// A batch has a verdict for each key, in order.
func TestBatch(t *testing.T) {
	key := created(t, NewKey{Name: "Batch", Scopes: []string{"invoices:read"}}).PrivateKey.Reveal()
	lacking := KeyCheck{key, VerifyOptions{Scopes: []string{"invoices:write"}}}
	var codes []Code
	for _, verdict := range must(verifier.VerifyBatch(ctx, []KeyCheck{{Key: key}, {Key: "ü"}, lacking, {Key: "kw_x"}, {Key: key}})) {
		codes = append(codes, verdict.Code)
	}
	equal(t, codes, []Code{CodeValid, CodeNotFound, CodeInsufficientScope, CodeNotFound, CodeValid})
	equal(t, len(must(verifier.VerifyBatch(ctx, nil))), 0)
	most := make([]KeyCheck, 100)
	for index := range most {
		most[index].Key = key
	}
	equal(t, len(must(verifier.VerifyBatch(ctx, most))), 100)
	_, err := verifier.VerifyBatch(ctx, append(most, KeyCheck{}))
	is(t, err != nil, "a batch of 101")
}

// A check whose kept connection turns out to be closed is sent again, on a new one.
func TestClosedConnection(t *testing.T) {
	n := losing(t, 0)
	checks := must(NewVerifier(n.URL, credential, Options{}))
	text := created(t, NewKey{Name: "Lost"}).PrivateKey.Reveal()
	is(t, must(checks.Verify(ctx, text, VerifyOptions{})).Valid)
	n.CloseClientConnections()
	is(t, must(checks.Verify(ctx, text, VerifyOptions{})).Valid)
	_, err := must(NewVerifier(losing(t, 1).URL, credential, Options{})).Verify(ctx, text, VerifyOptions{})
	var unavailable *UnavailableError
	is(t, errors.As(err, &unavailable), err)
}

// An unavailable service is no verdict.
func TestUnavailable(t *testing.T) {
	n := answering(t, 503, map[string]string{"Retry-After": "7"}, away)
	_, err := must(NewVerifier(n.URL, credential, Options{})).Verify(ctx, "kw_sk_live_some", VerifyOptions{})
	var unavailable *UnavailableError
	is(t, errors.As(err, &unavailable), err)
	equal(t, []any{unavailable.Code, unavailable.Status, unavailable.RetryAfter, unavailable.RequestID},
		[]any{"storage_unavailable", 503, 7 * time.Second, "a-request"})
	equal(t, n.requests, 1)
	_, err = must(NewVerifier("http://127.0.0.1:1", credential, Options{})).Verify(ctx, "kw_sk_live_some", VerifyOptions{})
	is(t, errors.As(err, &unavailable) && unavailable.Unwrap() != nil, err)
	gateway := answering(t, 502, nil, "<html>")
	_, err = must(NewVerifier(gateway.URL, credential, Options{})).Verify(ctx, "kw_sk_live_some", VerifyOptions{})
	is(t, errors.As(err, &unavailable) && unavailable.Code == "", err)
}

// A service that does not answer in time is unavailable, and a caller may end a call sooner.
func TestPatience(t *testing.T) {
	n := serve(t, func(_ int, _ http.ResponseWriter, r *http.Request) {
		// The server notices that the client has gone once it has read the body.
		_, _ = io.Copy(io.Discard, r.Body)
		<-r.Context().Done()
	})
	hasty := must(NewVerifier(n.URL, credential, Options{Timeout: 20 * time.Millisecond}))
	_, err := hasty.Verify(ctx, "kw_sk_live_some", VerifyOptions{})
	var unavailable *UnavailableError
	is(t, errors.As(err, &unavailable) && strings.Contains(err.Error(), "in time"), err)
	ending, cancel := context.WithCancel(ctx)
	cancel()
	patient := must(NewVerifier(n.URL, credential, Options{Timeout: time.Minute}))
	_, err = patient.Verify(ending, "kw_sk_live_some", VerifyOptions{})
	is(t, errors.Is(err, context.Canceled) && !errors.As(err, &unavailable), err)
}

// A refused credential is no verdict.
func TestCredential(t *testing.T) {
	for _, wrong := range []string{credential + "x", "kw_vk_unknown", reader} {
		_, err := must(NewVerifier(address, wrong, Options{})).Verify(ctx, "kw_sk_live_some", VerifyOptions{})
		var refused *CredentialRefusedError
		is(t, errors.As(err, &refused), err)
		var answer *RefusedError
		is(t, errors.As(err, &answer) && (answer.Status == 401 || answer.Status == 403) && answer.RequestID != "", err)
	}
}

// Another server is told apart, and its redirects are not followed.
func TestAnotherServer(t *testing.T) {
	var unexpected *UnexpectedAnswerError
	for _, body := range []string{"<html>", `{"valid": true, "code": "revoked"}`, "null", "[]"} {
		n := answering(t, 200, nil, body)
		_, err := must(NewVerifier(n.URL, credential, Options{})).Verify(ctx, "kw_sk_live_some", VerifyOptions{})
		is(t, errors.As(err, &unexpected), err)
	}
	target := answering(t, 200, nil, "{}")
	n := answering(t, 307, map[string]string{"Location": target.URL}, "")
	for _, client := range []*http.Client{nil, http.DefaultClient} {
		checks := must(NewVerifier(n.URL, credential, Options{HTTP: client}))
		_, err := checks.Verify(ctx, "kw_sk_live_some", VerifyOptions{})
		is(t, errors.As(err, &unexpected) && unexpected.Status == 307, err)
	}
	equal(t, target.requests, 0)
}

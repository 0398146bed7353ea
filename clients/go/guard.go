package keywright

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"net"
	"net/http"
	"net/netip"
	"strconv"
	"strings"
	"time"
)

const (
	realm               = `Bearer realm="api"`
	longestRetrySeconds = 60
)

// Checker checks presented keys, such as a [Verifier].
type Checker interface {
	Verify(ctx context.Context, key string, options VerifyOptions) (VerifyResponse, error)
}

// Guard lets requests with a valid key pass, and answers all others.
//
// It takes the key from Authorization: Bearer or X-API-Key. A request whose key cannot be checked is answered 503 and
// never 401: the key is not to blame.
type Guard struct {
	// Verifier checks the keys.
	Verifier Checker
	// Scopes that a key must have, all of them.
	Scopes []string
	// Environment that it must belong to; "" for any.
	Environment string
	// Cost is how many units of the key's limits each request takes: nil for 1.
	Cost *int
	// TrustedProxies are the networks whose X-Forwarded-For is trusted; none by default.
	TrustedProxies []netip.Prefix
	// OnTrouble is told why a key could not be checked; by default, it is logged by log/slog.
	OnTrouble func(*http.Request, error)
}

type verdictKey struct{}

// VerdictFrom gives the verdict on the key of a request that passed a guard, by the request's context.
func VerdictFrom(ctx context.Context) (VerifyResponse, bool) {
	verdict, ok := ctx.Value(verdictKey{}).(VerifyResponse)
	return verdict, ok
}

// Middleware puts the guard in front of a handler.
func (g Guard) Middleware(next http.Handler) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		verdict, refused := g.check(r)
		if refused != nil {
			refused.write(w)
			return
		}
		addLimits(w.Header(), verdict)
		next.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), verdictKey{}, verdict)))
	})
}

// refusal is the answer to a request that does not pass.
type refusal struct {
	status int
	code   string
	detail string
	header http.Header
}

func (g Guard) check(r *http.Request) (VerifyResponse, *refusal) {
	key, refused := presentedKey(r.Header)
	if refused != nil {
		return VerifyResponse{}, refused
	}
	verdict, err := g.Verifier.Verify(r.Context(), key, VerifyOptions{
		Scopes: g.Scopes, Environment: g.Environment, ClientIP: g.clientAddress(r), Cost: g.Cost,
	})
	if err != nil {
		g.tell(r, err)
		return verdict, refusedForTrouble(err)
	}
	if !verdict.Valid {
		return verdict, g.refusalOf(verdict)
	}
	return verdict, nil
}

// presentedKey finds the one key of a request. Of two different ones, another program might choose the other.
func presentedKey(header http.Header) (string, *refusal) {
	found := map[string]bool{}
	for _, value := range header.Values("X-Api-Key") {
		found[strings.TrimSpace(value)] = true
	}
	for _, value := range header.Values("Authorization") {
		scheme, key, _ := strings.Cut(strings.TrimSpace(value), " ")
		if strings.EqualFold(scheme, "bearer") {
			found[strings.TrimSpace(key)] = true
		}
	}
	delete(found, "")
	if len(found) == 0 {
		return "", &refusal{
			http.StatusUnauthorized, "missing_key",
			"An API key is required: Authorization: Bearer <key>, or X-API-Key: <key>.",
			http.Header{"Www-Authenticate": {realm}},
		}
	}
	if len(found) > 1 {
		return "", &refusal{http.StatusBadRequest, "several_keys", "The request presents two different keys.", http.Header{}}
	}
	for key := range found {
		return key, nil
	}
	panic("unreachable")
}

var refusals = map[Code]struct {
	status   int
	sentence string
}{
	CodeNotFound:          {http.StatusUnauthorized, "The API key is not known."},
	CodeRevoked:           {http.StatusUnauthorized, "The API key was revoked."},
	CodeDisabled:          {http.StatusUnauthorized, "The API key is disabled."},
	CodeExpired:           {http.StatusUnauthorized, "The API key has expired."},
	CodeReplaced:          {http.StatusUnauthorized, "The API key's secret was replaced by a new one."},
	CodeWrongEnvironment:  {http.StatusForbidden, "The API key belongs to another environment."},
	CodeInsufficientScope: {http.StatusForbidden, "The API key may not do this."},
	CodeIPNotAllowed:      {http.StatusForbidden, "The API key may not be used from this address."},
	CodeRateLimited:       {http.StatusTooManyRequests, "Too many requests."},
}

func (g Guard) refusalOf(verdict VerifyResponse) *refusal {
	rule, ok := refusals[verdict.Code]
	if !ok {
		// A newer service may have further codes.
		rule.status, rule.sentence = http.StatusForbidden, "The API key was refused."
	}
	header := http.Header{}
	addLimits(header, verdict)
	switch {
	case rule.status == http.StatusUnauthorized:
		header.Set("WWW-Authenticate",
			fmt.Sprintf(`%s, error="invalid_token", error_description="%s"`, realm, rule.sentence))
	case verdict.Code == CodeInsufficientScope:
		header.Set("WWW-Authenticate",
			fmt.Sprintf(`%s, error="insufficient_scope", scope="%s"`, realm, strings.Join(g.Scopes, " ")))
	case verdict.RetryAfterSeconds != nil:
		header.Set("Retry-After", strconv.Itoa(max(*verdict.RetryAfterSeconds, 1)))
	case verdict.Code == CodeRateLimited && len(verdict.RateLimits) == 0:
		// The failure limit of the service refused the caller's network, for a short time.
		header.Set("Retry-After", "1")
	}
	return &refusal{rule.status, string(verdict.Code), rule.sentence, header}
}

// refusedForTrouble is the answer for a check without a verdict. The reason goes to the log, not to the caller.
func refusedForTrouble(err error) *refusal {
	seconds := min(max(int(retryAfterOf(err)/time.Second), 1), longestRetrySeconds)
	return &refusal{
		http.StatusServiceUnavailable, "service_unavailable", "API keys cannot be checked right now. Try again soon.",
		http.Header{"Retry-After": {strconv.Itoa(seconds)}},
	}
}

func (g Guard) tell(r *http.Request, err error) {
	var refused *CredentialRefusedError
	switch {
	case g.OnTrouble != nil:
		g.OnTrouble(r, err)
	case errors.As(err, &refused):
		slog.ErrorContext(r.Context(), "the service does not accept this verifier's credential", "error", err)
	default:
		slog.InfoContext(r.Context(), "a key could not be checked", "error", err)
	}
}

func (r *refusal) write(w http.ResponseWriter) {
	for name, values := range r.header {
		w.Header()[name] = values
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(r.status)
	_ = json.NewEncoder(w).Encode(map[string]string{"detail": r.detail, "code": r.code})
}

// addLimits adds the state of a key's limits, as in draft-ietf-httpapi-ratelimit-headers-10.
func addLimits(header http.Header, verdict VerifyResponse) {
	if len(verdict.RateLimits) == 0 {
		return
	}
	var policies, left []string
	for _, limit := range verdict.RateLimits {
		policies = append(policies, fmt.Sprintf(`"%s";q=%d;w=%d`, limit.Name, limit.Limit, limit.WindowSeconds))
		reset := int(math.Ceil(limit.ResetSeconds))
		left = append(left, fmt.Sprintf(`"%s";r=%d;t=%d`, limit.Name, limit.Remaining, reset))
	}
	header.Set("RateLimit-Policy", strings.Join(policies, ", "))
	header.Set("RateLimit", strings.Join(left, ", "))
}

// clientAddress gives the address of the client, not of a trusted proxy; "" where it is unknown.
//
// X-Forwarded-For is read from the right, as long as the hop that wrote an entry is trusted. Entries that a client
// wrote itself stand further left and are never reached.
func (g Guard) clientAddress(r *http.Request) string {
	host, _, _ := net.SplitHostPort(r.RemoteAddr)
	found := hop(host)
	var hops []string
	for _, value := range r.Header.Values("X-Forwarded-For") {
		hops = append(hops, strings.Split(value, ",")...)
	}
	for index := len(hops) - 1; index >= 0 && g.isTrusted(found); index-- {
		found = hop(strings.TrimSpace(hops[index]))
	}
	if !found.IsValid() {
		return ""
	}
	return found.String()
}

// hop reads an address; one with a zone, which may be any text, is invalid.
func hop(text string) netip.Addr {
	found, err := netip.ParseAddr(text)
	if err != nil || found.Zone() != "" {
		return netip.Addr{}
	}
	return found.Unmap()
}

func (g Guard) isTrusted(address netip.Addr) bool {
	for _, network := range g.TrustedProxies {
		if network.Contains(address) {
			return true
		}
	}
	return false
}

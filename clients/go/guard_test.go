package keywright

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"os"
	"testing"
)

// expected has the answers of the Python middlewares.
var expected struct {
	Refusals []struct {
		Verdict VerifyResponse
		Scopes  []string
		Status  int
		Headers map[string]*string
		Body    map[string]string
	}
	Presented []struct {
		Authorization []string
		APIKey        []string `json:"api_key"`
		Found         string
	}
}

func init() {
	_ = json.Unmarshal([]byte(os.Getenv("KEYWRIGHT_TEST_EXPECTED")), &expected)
}

// stub gives one verdict or error, whatever is presented.
type stub struct {
	verdict VerifyResponse
	err     error
}

func (s stub) Verify(context.Context, string, VerifyOptions) (VerifyResponse, error) {
	return s.verdict, s.err
}

var invoices = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
	verdict, _ := VerdictFrom(r.Context())
	_, _ = io.WriteString(w, verdict.APIKey.OrgID)
})

// asked sends a request through a guard, over a network.
func asked(t *testing.T, guard Guard, header http.Header) (*http.Response, []byte) {
	t.Helper()
	server := httptest.NewServer(guard.Middleware(invoices))
	defer server.Close()
	request := must(http.NewRequest(http.MethodGet, server.URL, nil))
	request.Header = header
	response := must(http.DefaultClient.Do(request))
	defer func() { _ = response.Body.Close() }()
	return response, must(io.ReadAll(response.Body))
}

func presents(key string) http.Header { return http.Header{"X-Api-Key": {key}} }

// A good key passes, and all others are answered.
func TestGuard(t *testing.T) {
	scopes := []string{"invoices:read"}
	guard := Guard{Verifier: verifier, Scopes: scopes}
	key := created(t, NewKey{Name: "Good", Scopes: scopes, AllowedIPs: []string{"127.0.0.0/8"}})
	response, body := asked(t, guard, presents(key.PrivateKey.Reveal()))
	is(t, response.StatusCode == 200 && string(body) == key.OrgID, response.Status, string(body))
	response, _ = asked(t, guard, http.Header{"Authorization": {"bearer " + key.PrivateKey.Reveal()}})
	equal(t, response.StatusCode, 200)
	elsewhere := created(t, NewKey{Name: "Elsewhere", Scopes: scopes, AllowedIPs: []string{"192.0.2.0/24"}})
	response, _ = asked(t, guard, presents(elsewhere.PrivateKey.Reveal()))
	equal(t, response.StatusCode, 403)
	response, _ = asked(t, guard, nil)
	equal(t, []any{response.StatusCode, response.Header.Get("WWW-Authenticate")}, []any{401, realm})
	lacking := created(t, NewKey{Name: "Lacking"})
	response, _ = asked(t, guard, presents(lacking.PrivateKey.Reveal()))
	equal(t, []any{response.StatusCode, response.Header.Get("WWW-Authenticate")},
		[]any{403, realm + `, error="insufficient_scope", scope="invoices:read"`})
	response, _ = asked(t, guard, presents("kw_sk_live_nonsense"))
	equal(t, response.StatusCode, 401)
}

// The state of limits is told, and a spent one is 429.
func TestGuardLimits(t *testing.T) {
	limits := []RateLimitResponse{{Name: "hour", Limit: 1, WindowSeconds: 3600}}
	key := presents(created(t, NewKey{Name: "Limited", RateLimits: limits}).PrivateKey.Reveal())
	response, _ := asked(t, Guard{Verifier: verifier}, key)
	equal(t, []any{response.StatusCode, response.Header.Get("RateLimit-Policy")}, []any{200, `"hour";q=1;w=3600`})
	response, _ = asked(t, Guard{Verifier: verifier}, key)
	is(t, response.StatusCode == 429 && response.Header.Get("Retry-After") != "", response.Status, response.Header)
}

// An outage is 503 and never 401.
func TestGuardOutage(t *testing.T) {
	n := answering(t, 503, map[string]string{"Retry-After": "7"}, away)
	var troubles []error
	for _, each := range []struct{ address, credential, seconds string }{
		{n.URL, credential, "7"}, {"http://127.0.0.1:1", credential, "1"}, {address, "kw_vk_unknown", "1"},
	} {
		guard := Guard{
			Verifier:  must(NewVerifier(each.address, each.credential, Options{})),
			OnTrouble: func(_ *http.Request, err error) { troubles = append(troubles, err) },
		}
		response, body := asked(t, guard, presents("kw_sk_live_some"))
		equal(t, []any{response.StatusCode, response.Header.Get("Retry-After"), response.Header.Get("WWW-Authenticate")},
			[]any{503, each.seconds, ""})
		is(t, json.Valid(body), string(body))
	}
	var refused *CredentialRefusedError
	is(t, len(troubles) == 3 && errors.As(troubles[2], &refused), troubles)
	response, _ := asked(t, Guard{Verifier: stub{err: errors.New("a defect")}}, presents("kw_sk_live_some"))
	equal(t, response.StatusCode, 503)
}

// Refusals are those of the Python middlewares.
func TestRefusalsOfPython(t *testing.T) {
	is(t, len(expected.Refusals) > 9, "no answers of Python")
	for _, each := range expected.Refusals {
		response, body := asked(t, Guard{Verifier: stub{verdict: each.Verdict}, Scopes: each.Scopes}, presents("kw_some"))
		equal(t, response.StatusCode, each.Status)
		var found map[string]string
		is(t, json.Unmarshal(body, &found) == nil, string(body))
		equal(t, found, each.Body)
		for name, value := range each.Headers {
			var values []string
			if value != nil {
				values = []string{*value}
			}
			equal(t, response.Header.Values(name), values)
		}
	}
}

// The key of a request is the one that the Python middlewares find.
func TestPresentedKeys(t *testing.T) {
	is(t, len(expected.Presented) > 9, "no keys of Python")
	for _, each := range expected.Presented {
		found, refused := presentedKey(http.Header{"Authorization": each.Authorization, "X-Api-Key": each.APIKey})
		if refused != nil {
			found = refused.code
		}
		equal(t, found, each.Found)
	}
}

// The address behind trusted proxies is the last that a trusted one wrote.
func TestClientAddress(t *testing.T) {
	guard := Guard{TrustedProxies: []netip.Prefix{
		netip.MustParsePrefix("127.0.0.0/8"), netip.MustParsePrefix("10.0.0.0/8"),
	}}
	for _, each := range []struct {
		peer      string
		forwarded []string
		found     string
	}{
		{"127.0.0.1:1", nil, "127.0.0.1"},
		{"192.0.2.7:1", []string{"198.51.100.1"}, "192.0.2.7"},
		{"127.0.0.1:1", []string{"203.0.113.5, 198.51.100.1, 10.0.0.1"}, "198.51.100.1"},
		{"127.0.0.1:1", []string{"203.0.113.5", "198.51.100.1"}, "198.51.100.1"},
		{"127.0.0.1:1", []string{"10.0.0.1"}, "10.0.0.1"},
		{"127.0.0.1:1", []string{"198.51.100.1, unknown"}, ""},
		{"127.0.0.1:1", []string{"fe80::1%eth0"}, ""},
		{"[::ffff:127.0.0.1]:1", []string{"2001:db8::1"}, "2001:db8::1"},
		{"@", nil, ""},
	} {
		found := guard.clientAddress(&http.Request{
			RemoteAddr: each.peer, Header: http.Header{"X-Forwarded-For": each.forwarded},
		})
		equal(t, found, each.found)
	}
}

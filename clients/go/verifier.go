package keywright

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"time"
)

const (
	verifyPath    = "/api/v2/api-keys/verify"
	mostInABatch  = 100
	verifyTimeout = 2 * time.Second
)

// No key has another form; the service would refuse to read some of these texts, and all others are not_found there.
var mayBeAKey = regexp.MustCompile(`^[!-~]{1,255}$`)

// Verifier checks presented keys. Every call is one request to the service; nothing is cached. It is safe for
// concurrent use.
type Verifier struct {
	service service
}

// NewVerifier makes a verifier.
//
// The address is such as https://keys.acme.example; http:// is accepted on loopback only, unless it is allowed. The
// credential is a verifier's, or an access token with verify:api_keys.
func NewVerifier(address, credential string, options Options) (*Verifier, error) {
	found, err := newService(address, credential, options, verifyTimeout)
	if err != nil {
		return nil, err
	}
	return &Verifier{found}, nil
}

// VerifyOptions are what a request requires of its key. The zero value requires nothing but a valid key.
type VerifyOptions struct {
	// Scopes that the request needs, all of them.
	Scopes []string
	// Environment that the key must belong to; "" for any.
	Environment string
	// ClientIP is the customer's address. Any other text is not sent, and a key that is bound to networks is then refused.
	ClientIP string
	// Cost is how many units of the key's limits the request takes: nil for 1; 0 only reads their state.
	Cost *int
	// Explain has a refusal explained.
	Explain bool
	// Metadata has the key's metadata in the verdict.
	Metadata bool
}

// KeyCheck is one check of a batch.
type KeyCheck struct {
	Key string
	VerifyOptions
}

// Verify checks a presented key. A refusal is a verdict. A text that cannot be a key is not_found.
//
// An error means that there is no verdict: answer 503, never 401. A check is sent again where a connection that was
// open already turns out to be closed; in the worst case, a use is then counted twice on a key's limits.
func (v *Verifier) Verify(ctx context.Context, key string, options VerifyOptions) (VerifyResponse, error) {
	if !mayBeAKey.MatchString(key) {
		return notFound, nil
	}
	var verdict VerifyResponse
	found, err := v.ask(ctx, verifyPath, bodyOf(KeyCheck{key, options}), &verdict)
	if err == nil && !verdict.isWhole() {
		err = found.unexpected()
	}
	if err != nil {
		return VerifyResponse{}, err
	}
	return verdict, nil
}

// VerifyBatch checks up to 100 keys in one request; the verdicts are in the order of checks. See Verify for errors.
func (v *Verifier) VerifyBatch(ctx context.Context, checks []KeyCheck) ([]VerifyResponse, error) {
	if len(checks) > mostInABatch {
		return nil, fmt.Errorf("keywright: a batch has at most %d keys; this one has %d", mostInABatch, len(checks))
	}
	verdicts := make([]VerifyResponse, len(checks))
	var bodies []verifyBody
	var places []int
	for index, check := range checks {
		verdicts[index] = notFound
		if mayBeAKey.MatchString(check.Key) {
			bodies, places = append(bodies, bodyOf(check)), append(places, index)
		}
	}
	if bodies == nil {
		return verdicts, nil
	}
	var body struct{ Results []VerifyResponse }
	found, err := v.ask(ctx, verifyPath+"/batch", map[string]any{"keys": bodies}, &body)
	if err != nil {
		return nil, err
	}
	if len(body.Results) != len(bodies) {
		return nil, found.unexpected()
	}
	for index, verdict := range body.Results {
		if !verdict.isWhole() {
			return nil, found.unexpected()
		}
		verdicts[places[index]] = verdict
	}
	return verdicts, nil
}

var notFound = VerifyResponse{Code: CodeNotFound}

type verifyBody struct {
	Key         string   `json:"key"`
	Scopes      []string `json:"scopes,omitempty"`
	Environment string   `json:"environment,omitempty"`
	ClientIP    string   `json:"client_ip,omitempty"`
	Cost        *int     `json:"cost,omitempty"`
	Explain     bool     `json:"explain,omitempty"`
	Include     []string `json:"include,omitempty"`
}

func bodyOf(check KeyCheck) verifyBody {
	body := verifyBody{
		Key: check.Key, Scopes: check.Scopes, Environment: check.Environment, ClientIP: ipAddress(check.ClientIP),
		Cost: check.Cost, Explain: check.Explain,
	}
	if check.Metadata {
		body.Include = []string{"metadata"}
	}
	return body
}

func (v *Verifier) ask(ctx context.Context, path string, body, result any) (*answer, error) {
	// Without a value it is not sent, and lets net/http send the request again on a new connection where the one that
	// it had kept is found closed before any answer.
	header := http.Header{"Idempotency-Key": {}}
	found, err := v.service.call(ctx, request{
		method: http.MethodPost, path: path, header: header, body: body, expect: http.StatusOK,
	}, result)
	var refused *RefusedError
	if errors.As(err, &refused) && (refused.Status == http.StatusUnauthorized || refused.Status == http.StatusForbidden) {
		err = &CredentialRefusedError{refused}
	}
	return found, err
}

func (r VerifyResponse) isWhole() bool {
	return r.Code != "" && r.Valid == (r.Code == CodeValid) && (!r.Valid || r.APIKey != nil)
}

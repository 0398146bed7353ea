package keywright

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"regexp"
	"strings"
	"time"
)

// The most bytes that are read of an answer: a page of 1,000 keys with all that they may have.
const longestAnswer = 64 << 20

// The most idle connections to the service: without it, net/http keeps 2.
const mostIdle = 64

var (
	// RFC 6750, section 2.1.
	bearer    = regexp.MustCompile(`^[A-Za-z0-9._~+/-]+=*$`)
	printable = regexp.MustCompile(`^[ -~]*$`)
)

// Options of both clients. The zero value is ready to use.
type Options struct {
	// HTTP sends the requests; by default a client of its own. Its CheckRedirect is not used.
	HTTP *http.Client
	// Timeout for a request and its answer: by default 2 seconds for a verifier, 10 for management.
	Timeout time.Duration
	// AllowHTTP allows http:// to another machine; only on a network that you trust. KEYWRIGHT_ALLOW_HTTP=1 does the
	// same.
	AllowHTTP bool
	// Pauses before each retry of a creation or rotation; by default 0.2, 1 and 3 seconds. Empty and not nil for no retry.
	Pauses []time.Duration
}

// service sends requests to one service. Its token is in a function, so that nothing prints it.
type service struct {
	base      string
	authorize func(*http.Request)
	http      *http.Client
	timeout   time.Duration
}

type request struct {
	method string
	path   string
	query  url.Values
	header http.Header
	body   any // nil for none
	expect int
}

type answer struct {
	address string
	status  int
	header  http.Header
	body    []byte
}

func newService(address, credential string, options Options, timeout time.Duration) (service, error) {
	base, err := serviceAddress(address, options.AllowHTTP)
	if err != nil {
		return service{}, err
	}
	if !bearer.MatchString(credential) {
		return service{}, errors.New("keywright: the token or credential is empty or has characters that none has")
	}
	if options.Timeout > 0 {
		timeout = options.Timeout
	}
	authorize := func(r *http.Request) { r.Header.Set("Authorization", "Bearer "+credential) }
	return service{base: base, authorize: authorize, http: withoutRedirects(options.HTTP), timeout: timeout}, nil
}

func withoutRedirects(given *http.Client) *http.Client {
	client := http.Client{Transport: &http.Transport{
		Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true,
		MaxIdleConnsPerHost: mostIdle, IdleConnTimeout: time.Minute,
	}}
	if given != nil {
		client = *given
	}
	// A redirect could carry a presented key to another machine.
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	return &client
}

// call sends a request, and reads the body of an answer with the expected status into result, unless that is nil.
func (s service) call(ctx context.Context, r request, result any) (*answer, error) {
	ctx, cancel := context.WithTimeoutCause(ctx, s.timeout, errTooSlow)
	defer cancel()
	sent, err := s.request(ctx, r)
	if err != nil {
		return nil, err
	}
	found, err := s.send(sent)
	if err != nil {
		return nil, err
	}
	if found.status != r.expect {
		return nil, errorOf(found)
	}
	if result != nil && json.Unmarshal(found.body, result) != nil {
		return nil, found.unexpected()
	}
	return found, nil
}

func (s service) request(ctx context.Context, r request) (*http.Request, error) {
	address := s.base + r.path
	if len(r.query) > 0 {
		address += "?" + r.query.Encode()
	}
	var body io.Reader
	if r.body != nil {
		written, err := json.Marshal(r.body)
		if err != nil {
			return nil, fmt.Errorf("keywright: the fields cannot be written as JSON: %w", err)
		}
		body = bytes.NewReader(written)
	}
	sent, err := http.NewRequestWithContext(ctx, r.method, address, body)
	if err != nil {
		return nil, fmt.Errorf("keywright: %w", err)
	}
	for name, values := range r.header {
		if len(values) > 0 && !printable.MatchString(values[0]) {
			return nil, fmt.Errorf("keywright: the value for %s has characters that no header has", name)
		}
		sent.Header[name] = values
	}
	s.authorize(sent)
	sent.Header.Set("Accept", "application/json")
	sent.Header.Set("User-Agent", "keywright-go/"+Version)
	if r.body != nil {
		sent.Header.Set("Content-Type", "application/json")
	}
	return sent, nil
}

var errTooSlow = errors.New("no answer in time")

func (s service) send(sent *http.Request) (*answer, error) {
	response, err := s.http.Do(sent)
	if err != nil {
		return nil, s.unavailable(sent.Context(), err)
	}
	defer func() { _ = response.Body.Close() }()
	body, err := io.ReadAll(io.LimitReader(response.Body, longestAnswer))
	if err != nil {
		return nil, s.unavailable(sent.Context(), err)
	}
	where := *sent.URL
	where.RawQuery = ""
	return &answer{address: where.String(), status: response.StatusCode, header: response.Header, body: body}, nil
}

// unavailable makes the error for a request without an answer; where the caller's context ended it, the context's own.
func (s service) unavailable(ctx context.Context, err error) error {
	if cause := context.Cause(ctx); cause != nil && !errors.Is(cause, errTooSlow) {
		return cause
	} else if cause != nil {
		return &UnavailableError{Detail: s.base + " did not answer in time", err: err}
	}
	var wrapped *url.Error
	if errors.As(err, &wrapped) {
		// It repeats the address, whose query may have personal data.
		err = wrapped.Err
	}
	return &UnavailableError{Detail: fmt.Sprintf("%s cannot be reached: %v", s.base, err), err: err}
}

// unexpected makes the error of an answer whose body is not what the contract says. It quotes nothing of the body.
func (a *answer) unexpected() error {
	return &UnexpectedAnswerError{Address: a.address, Status: a.status}
}

// serviceAddress reads the address of a service; a path after the host is kept, a trailing slash is not.
func serviceAddress(text string, allowHTTP bool) (string, error) {
	address, err := url.Parse(text)
	// The error of url would repeat the text, and credentials in it.
	if err != nil || address.Host == "" || address.User != nil || address.RawQuery != "" || address.Fragment != "" ||
		(address.Scheme != "https" && address.Scheme != "http") {
		return "", errors.New(
			"keywright: the service's address must be such as https://keys.acme.example, without credentials")
	}
	isAllowed := allowHTTP || os.Getenv("KEYWRIGHT_ALLOW_HTTP") == "1" || isLoopback(address.Hostname())
	if address.Scheme == "http" && !isAllowed {
		return "", errors.New("keywright: over http:// everyone on the way can read keys and tokens; use https://, or on " +
			"a network that you trust set AllowHTTP or KEYWRIGHT_ALLOW_HTTP=1")
	}
	return strings.TrimRight(address.String(), "/"), nil
}

func isLoopback(host string) bool {
	return host == "localhost" || net.ParseIP(host).IsLoopback()
}

// ipAddress gives an IP address without a zone, and "" for any other text: the service refuses those.
func ipAddress(text string) string {
	if found, err := netip.ParseAddr(text); err == nil && found.Zone() == "" {
		return text
	}
	return ""
}

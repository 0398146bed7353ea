package keywright

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"sync"
	"testing"
	"time"
)

// What the tests share: the service that tests/clients of the project started, and networks that fail on purpose.

var (
	address    = os.Getenv("KEYWRIGHT_URL")
	token      = os.Getenv("KEYWRIGHT_TOKEN")
	credential = os.Getenv("KEYWRIGHT_VERIFIER")
	reader     = os.Getenv("KEYWRIGHT_TEST_READER")
	ctx        = context.Background()
	keys       *Management
	verifier   *Verifier
)

func TestMain(m *testing.M) {
	if address == "" {
		fmt.Println(`These tests need a running service: make test ARGS="tests/clients" in the project's root.`)
		os.Exit(1)
	}
	keys, verifier = must(NewManagement(address, token, Options{})), must(NewVerifier(address, credential, Options{}))
	os.Exit(m.Run())
}

func must[T any](value T, err error) T {
	if err != nil {
		panic(err)
	}
	return value
}

// equal fails the test unless two values have the same JSON.
func equal(t *testing.T, found, expected any) {
	t.Helper()
	one, other := must(json.Marshal(found)), must(json.Marshal(expected))
	if string(one) != string(other) {
		t.Fatalf("found    %s\nexpected %s", one, other)
	}
}

// is fails the test unless a condition holds.
func is(t *testing.T, condition bool, found ...any) {
	t.Helper()
	if !condition {
		t.Fatal(found...)
	}
}

func created(t *testing.T, key NewKey) *CreatedAPIKeyResponse {
	t.Helper()
	found, err := keys.Create(ctx, key)
	if err != nil {
		t.Fatal(err)
	}
	return found
}

// collect gives every item up to the first error.
func collect[T any](each func(func(*T, error) bool)) (found []*T, failed error) {
	each(func(item *T, err error) bool {
		if failed = err; err == nil {
			found = append(found, item)
		}
		return true
	})
	return found, failed
}

// network counts the requests to a server.
type network struct {
	*httptest.Server
	mutex           sync.Mutex
	requests        int
	idempotencyKeys map[string]bool
}

func serve(t *testing.T, handle func(number int, w http.ResponseWriter, r *http.Request)) *network {
	n := &network{idempotencyKeys: map[string]bool{}}
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.mutex.Lock()
		n.requests++
		number := n.requests
		n.idempotencyKeys[r.Header.Get("Idempotency-Key")] = true
		n.mutex.Unlock()
		handle(number, w, r)
	}))
	t.Cleanup(func() {
		n.CloseClientConnections()
		n.Close()
	})
	return n
}

// answering gives one answer to every request.
func answering(t *testing.T, status int, header map[string]string, body string) *network {
	return serve(t, func(_ int, w http.ResponseWriter, _ *http.Request) {
		for name, value := range header {
			w.Header().Set(name, value)
		}
		w.WriteHeader(status)
		_, _ = io.WriteString(w, body)
	})
}

// losing delivers every request to the service, and loses the first answers on their way back.
func losing(t *testing.T, lost int) *network {
	return serve(t, func(number int, w http.ResponseWriter, r *http.Request) {
		onward := must(http.NewRequest(r.Method, address+r.URL.String(), r.Body))
		onward.Header = r.Header
		response := must(http.DefaultClient.Do(onward))
		body := must(io.ReadAll(response.Body))
		if number <= lost {
			panic(http.ErrAbortHandler)
		}
		for name, values := range response.Header {
			w.Header()[name] = values
		}
		w.WriteHeader(response.StatusCode)
		_, _ = w.Write(body)
	})
}

func hasty(t *testing.T, n *network, pauses int) *Management {
	t.Helper()
	return must(NewManagement(n.URL, token, Options{Pauses: make([]time.Duration, pauses)}))
}

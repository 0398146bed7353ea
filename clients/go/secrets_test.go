package keywright

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"testing"
)

// shown writes a value in every way that programs print and log.
func shown(value any) string {
	var log bytes.Buffer
	for _, handler := range []slog.Handler{slog.NewJSONHandler(&log, nil), slog.NewTextHandler(&log, nil)} {
		slog.New(handler).Info("shown", "value", value)
	}
	// Inside another value, package fmt calls no method.
	nested := struct{ value any }{value}
	written, _ := json.Marshal(value)
	return fmt.Sprintf("%v %+v %#v %s %q %x %v %#v", value, value, value, value, value, value, nested, nested) +
		string(written) + log.String()
}

// A private key prints as its display.
func TestPrivateKey(t *testing.T) {
	key := created(t, NewKey{Name: "Hidden"})
	text := key.PrivateKey.Reveal()
	is(t, len(text) == 60 && strings.HasPrefix(text, "kw_sk_live_"), len(text))
	for _, value := range []any{key, *key, key.PrivateKey, &key.PrivateKey} {
		is(t, !strings.Contains(shown(value), text), "shown")
		is(t, !strings.Contains(shown(value), fmt.Sprintf("%x", text)), "shown")
	}
	equal(t, fmt.Sprint(key.PrivateKey), key.PrivateKeyDisplay)
	equal(t, key.PrivateKey, key.PrivateKeyDisplay)
	equal(t, Secret{}.Reveal(), "")
}

// Clients do not print their tokens, nor do errors print what they were given.
func TestTokens(t *testing.T) {
	is(t, !strings.Contains(shown(keys)+shown(*keys), token), "the token")
	is(t, !strings.Contains(shown(verifier)+shown(*verifier), credential), "the credential")
	_, err := hasty(t, losing(t, 1), 0).Create(ctx, NewKey{Name: "Lost"})
	var unfinished *UnfinishedError
	is(t, errors.As(err, &unfinished) && len(unfinished.IdempotencyKey.Reveal()) >= 22, err)
	for _, secret := range []string{token, unfinished.IdempotencyKey.Reveal()} {
		is(t, !strings.Contains(shown(err)+shown(*unfinished), secret), "shown")
	}
	_, err = NewVerifier("https://user:s3cret-s3cret@keys.acme.example", credential, Options{})
	is(t, err != nil && !strings.Contains(shown(err), "s3cret"), err)
	_, err = NewVerifier("https://keys.acme.example", "s3cret-s3cret\n", Options{})
	is(t, err != nil && !strings.Contains(shown(err), "s3cret"), err)
}

// http goes to this machine only, unless it is allowed.
func TestAddresses(t *testing.T) {
	for _, plain := range []string{
		"http://keys.acme.example", "http://127.0.0.1.acme.example", "http://10.0.0.1", "http://[::2]", "http://128.0.0.1",
	} {
		_, err := NewVerifier(plain, credential, Options{})
		is(t, err != nil && strings.Contains(err.Error(), "over http://"), err)
		_, err = NewManagement(plain, token, Options{})
		is(t, err != nil && strings.Contains(err.Error(), "over http://"), err)
		must(NewVerifier(plain, credential, Options{AllowHTTP: true}))
	}
	for _, good := range []string{"http://localhost:1", "http://127.9.9.9", "http://[::1]:1", "https://keys.acme.example/keys/"} {
		must(NewVerifier(good, credential, Options{}))
	}
	for _, bad := range []string{
		"ftp://keys.acme.example", "keys.acme.example", "", "https://keys.acme.example/?a=b", "https://a@b.example", "https://",
	} {
		_, err := NewVerifier(bad, credential, Options{})
		is(t, err != nil && strings.Contains(err.Error(), "the service's address"), err)
	}
	t.Setenv("KEYWRIGHT_ALLOW_HTTP", "1")
	must(NewVerifier("http://10.0.0.1", credential, Options{}))
}

package keywright

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"errors"
	"math/big"
	"regexp"
	"time"
)

// A creation or rotation may have been made although its answer did not arrive. With the same idempotency key the
// service gives the same answer again, so a lost answer neither loses a key nor creates a second one.

// longestPause is the longest Retry-After that is followed.
const longestPause = 10 * time.Second

var (
	defaultPauses     = []time.Duration{200 * time.Millisecond, time.Second, 3 * time.Second}
	anIdempotencyKey  = regexp.MustCompile(`^[!-~]{22,255}$`)
	errIdempotencyKey = errors.New("keywright: an idempotency key is 22 to 255 printable ASCII characters without spaces")
)

// sendOnce calls send with an idempotency key, again and again with the same one while its answer is lost.
func sendOnce(ctx context.Context, send func(key string) error, key string, pauses []time.Duration) error {
	if key == "" {
		random := make([]byte, 24)
		if _, err := rand.Read(random); err != nil {
			return err
		}
		key = base64.RawURLEncoding.EncodeToString(random)
	}
	if !anIdempotencyKey.MatchString(key) {
		return errIdempotencyKey
	}
	err := send(key)
	for _, pause := range pauses {
		if err == nil || !isLost(err) {
			break
		}
		if err = wait(ctx, pauseAfter(err, pause)); err == nil {
			err = send(key)
		}
	}
	if err == nil {
		return nil
	}
	return &UnfinishedError{newSecret(key, "(idempotency key)"), err}
}

// isLost tells whether the request may have been carried out, or is still running, without an answer.
func isLost(err error) bool {
	var unavailable *UnavailableError
	var refused *RefusedError
	return errors.As(err, &unavailable) || errors.As(err, &refused) && refused.Code == "idempotency_key_in_use"
}

// pauseAfter gives the wait before a retry. Up to half is added at random, so that clients do not retry all at once.
func pauseAfter(err error, pause time.Duration) time.Duration {
	if more, err := rand.Int(rand.Reader, big.NewInt(int64(pause/2)+1)); err == nil {
		pause += time.Duration(more.Int64())
	}
	return max(pause, min(retryAfterOf(err), longestPause))
}

// retryAfterOf gives the time that the service asked for; 0 where it gave none.
func retryAfterOf(err error) time.Duration {
	var unavailable *UnavailableError
	var refused *RefusedError
	switch {
	case errors.As(err, &unavailable):
		return unavailable.RetryAfter
	case errors.As(err, &refused):
		return refused.RetryAfter
	}
	return 0
}

func wait(ctx context.Context, pause time.Duration) error {
	timer := time.NewTimer(pause)
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return context.Cause(ctx)
	case <-timer.C:
		return nil
	}
}

package keywright

import (
	"context"
	"errors"
	"net/http"
	"net/url"
	"regexp"
	"time"
)

const (
	keysPath          = "/api/v2/api-keys"
	managementTimeout = 10 * time.Second
)

var (
	uuid     = regexp.MustCompile(`^[0-9a-fA-F]{8}-(?:[0-9a-fA-F]{4}-){3}[0-9a-fA-F]{12}$`)
	nextLink = regexp.MustCompile(`<([^>]*)>\s*;\s*rel="?next"?`)
)

// Management manages the API keys of one organization. It is safe for concurrent use.
type Management struct {
	service service
	pauses  []time.Duration
}

// NewManagement makes a client for the bearer of an access token, whose organization is the one whose keys are seen.
//
// The address is such as https://keys.acme.example; http:// is accepted on loopback only, unless it is allowed.
func NewManagement(address, token string, options Options) (*Management, error) {
	found, err := newService(address, token, options, managementTimeout)
	if err != nil {
		return nil, err
	}
	pauses := options.Pauses
	if pauses == nil {
		pauses = defaultPauses
	}
	return &Management{found, pauses}, nil
}

// Page is one page of a list; Next is the cursor of the following one, "" on the last.
type Page[T any] struct {
	Items []T
	Next  string
}

// Create creates a key. A lost answer is asked for again with the same idempotency key, so that it is created once. When
// all tries fail, the error is an *UnfinishedError.
func (m *Management) Create(ctx context.Context, key NewKey) (*CreatedAPIKeyResponse, error) {
	return m.newPair(ctx, request{path: keysPath, body: key, expect: http.StatusCreated}, key.IdempotencyKey)
}

// List gives every key, newest first, page after page. It ends with the first error.
//
//	for key, err := range keys.List(ctx, keywright.KeyFilters{}) { // with Go 1.23 or newer
func (m *Management) List(ctx context.Context, filters KeyFilters) func(yield func(*APIKeyResponse, error) bool) {
	return everyItem(filters.Cursor, func(cursor string) (Page[*APIKeyResponse], error) {
		filters.Cursor = cursor
		return m.ListPage(ctx, filters)
	})
}

// ListPage reads one page of keys.
func (m *Management) ListPage(ctx context.Context, filters KeyFilters) (Page[*APIKeyResponse], error) {
	return readPage[*APIKeyResponse](ctx, m.service, keysPath, filters.values())
}

// Get reads one key.
func (m *Management) Get(ctx context.Context, id string) (*APIKeyResponse, error) {
	return m.key(ctx, id, request{method: http.MethodGet})
}

// Update replaces fields of a key.
func (m *Management) Update(ctx context.Context, id string, changes KeyChanges) (*APIKeyResponse, error) {
	return m.key(ctx, id, request{method: http.MethodPatch, body: changes, header: condition(changes.IfMatch)})
}

// RotateOptions say how long the old pair works beside the new one. The zero value is a day.
type RotateOptions struct {
	OverlapSeconds        *int   // 0 to 2,592,000
	RetireWhenIdleSeconds *int   // end it sooner: once it was not used for this long after the first use of the new one
	IfMatch               string // as in KeyChanges
	IdempotencyKey        string // as in NewKey
}

// Rotate gives a key a new pair. It is sent again, and fails, as Create.
func (m *Management) Rotate(ctx context.Context, id string, options RotateOptions) (*CreatedAPIKeyResponse, error) {
	path, err := pathOf(id, "/rotate")
	if err != nil {
		return nil, err
	}
	body := struct {
		OverlapSeconds        *int `json:"overlap_seconds,omitempty"`
		RetireWhenIdleSeconds *int `json:"retire_when_idle_seconds,omitempty"`
	}{options.OverlapSeconds, options.RetireWhenIdleSeconds}
	rotation := request{path: path, body: body, header: condition(options.IfMatch), expect: http.StatusOK}
	return m.newPair(ctx, rotation, options.IdempotencyKey)
}

// SetOverlap sets the end of the replaced pair, in seconds from now; 0 ends it at once.
func (m *Management) SetOverlap(ctx context.Context, id string, seconds int) (*APIKeyResponse, error) {
	body := map[string]int{"overlap_seconds": seconds}
	return m.key(ctx, id, request{method: http.MethodPut, path: "/rotation", body: body})
}

// Revoke revokes a key for good; the reason may be "".
func (m *Management) Revoke(ctx context.Context, id string, reason RevocationReason) (*APIKeyResponse, error) {
	revocation := request{method: http.MethodPut, path: "/revoke"}
	if reason != "" {
		revocation.body = map[string]RevocationReason{"reason": reason}
	}
	return m.key(ctx, id, revocation)
}

// Delete deletes a key: it stops working and is no longer listed.
func (m *Management) Delete(ctx context.Context, id string) error {
	path, err := pathOf(id, "")
	if err != nil {
		return err
	}
	_, err = m.service.call(ctx, request{method: http.MethodDelete, path: path, expect: http.StatusNoContent}, nil)
	return err
}

// Usage reads the usage of a key, with one page of its secrets.
func (m *Management) Usage(ctx context.Context, id string, filters UsageFilters) (*UsageResponse, error) {
	path, err := pathOf(id, "/usage")
	if err != nil {
		return nil, err
	}
	var usage UsageResponse
	found, err := m.service.call(ctx, get(path, filters.values()), &usage)
	if err != nil {
		return nil, err
	}
	if usage.Next, err = found.next(); err != nil {
		return nil, err
	}
	return &usage, nil
}

// Receipt reads the receipt of a revocation or deletion.
func (m *Management) Receipt(ctx context.Context, id string) (*RevocationResponse, error) {
	path, err := pathOf(id, "/revocation")
	if err != nil {
		return nil, err
	}
	return read[RevocationResponse](ctx, m.service, path)
}

// Events gives every event of the audit log, newest first, as List gives keys.
func (m *Management) Events(ctx context.Context, filters EventFilters) func(yield func(*EventResponse, error) bool) {
	return everyItem(filters.Cursor, func(cursor string) (Page[*EventResponse], error) {
		filters.Cursor = cursor
		return m.EventsPage(ctx, filters)
	})
}

// EventsPage reads one page of events.
func (m *Management) EventsPage(ctx context.Context, filters EventFilters) (Page[*EventResponse], error) {
	return readPage[*EventResponse](ctx, m.service, "/api/v2/api-key-events", filters.values())
}

// Options reads the environments, scopes and rules for new keys.
func (m *Management) Options(ctx context.Context) (*OptionsResponse, error) {
	return read[OptionsResponse](ctx, m.service, "/api/v2/api-key-options")
}

// key sends a request about one key; its path is what follows the key's own.
func (m *Management) key(ctx context.Context, id string, r request) (*APIKeyResponse, error) {
	path, err := pathOf(id, r.path)
	if err != nil {
		return nil, err
	}
	r.path, r.expect = path, http.StatusOK
	var key APIKeyResponse
	found, err := m.service.call(ctx, r, &key)
	if err != nil {
		return nil, err
	}
	if key.ID == "" {
		return nil, found.unexpected()
	}
	key.ETag = found.header.Get("ETag")
	return &key, nil
}

func (m *Management) newPair(ctx context.Context, r request, idempotencyKey string) (*CreatedAPIKeyResponse, error) {
	r.method = http.MethodPost
	var key CreatedAPIKeyResponse
	send := func(idempotencyKey string) error {
		r.header = r.header.Clone()
		if r.header == nil {
			r.header = http.Header{}
		}
		r.header.Set("Idempotency-Key", idempotencyKey)
		found, err := m.service.call(ctx, r, &key)
		if err != nil {
			return err
		}
		if key.ID == "" || key.PrivateKey.Reveal() == "" {
			return found.unexpected()
		}
		key.PrivateKey.display = key.PrivateKeyDisplay
		key.ETag, key.Replayed = found.header.Get("ETag"), found.header.Get("Idempotency-Replayed") == "true"
		return nil
	}
	if err := sendOnce(ctx, send, idempotencyKey, m.pauses); err != nil {
		return nil, err
	}
	return &key, nil
}

func get(path string, query url.Values) request {
	return request{method: http.MethodGet, path: path, query: query, expect: http.StatusOK}
}

func read[T any](ctx context.Context, from service, path string) (*T, error) {
	var result T
	if _, err := from.call(ctx, get(path, nil), &result); err != nil {
		return nil, err
	}
	return &result, nil
}

func readPage[T any](ctx context.Context, from service, path string, query url.Values) (Page[T], error) {
	var page Page[T]
	found, err := from.call(ctx, get(path, query), &page.Items)
	if err == nil {
		page.Next, err = found.next()
	}
	if err != nil {
		return Page[T]{}, err
	}
	return page, nil
}

func everyItem[T any](cursor string, readPage func(cursor string) (Page[*T], error)) func(func(*T, error) bool) {
	return func(yield func(*T, error) bool) {
		for here := cursor; ; {
			page, err := readPage(here)
			if err != nil {
				yield(nil, err)
				return
			}
			for _, item := range page.Items {
				if !yield(item, nil) {
					return
				}
			}
			// A cursor that is repeated would never end.
			if page.Next == "" || page.Next == here {
				return
			}
			here = page.Next
		}
	}
}

// pathOf gives the path of a key. Any other text than a UUID could lead to another route.
func pathOf(id, rest string) (string, error) {
	if !uuid.MatchString(id) {
		return "", errors.New("keywright: the id must be a UUID: 8-4-4-4-12 hexadecimal digits")
	}
	return keysPath + "/" + id + rest, nil
}

func condition(ifMatch string) http.Header {
	if ifMatch == "" {
		return nil
	}
	return http.Header{"If-Match": {ifMatch}}
}

// next reads the cursor of the next page. Only the cursor is taken from the link: following the address itself could
// carry the token to another host.
func (a *answer) next() (string, error) {
	link := nextLink.FindStringSubmatch(a.header.Get("Link"))
	if link == nil {
		return "", nil
	}
	address, err := url.Parse(link[1])
	if err != nil || address.Query().Get("cursor") == "" {
		return "", a.unexpected()
	}
	return address.Query().Get("cursor"), nil
}

package keywright

import (
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"regexp"
	"strconv"
	"strings"
	"time"
)

// RefusedError is the answer of a service that refused a request, or failed at it.
type RefusedError struct {
	Code          string // stable, for programs, such as not_found
	Status        int    // the HTTP status
	Detail        string // a sentence for people
	RequestID     string // finds the request in the service's log
	Fields        []FieldError
	MissingScopes []string      // what the token may not give to a key, with scopes_not_grantable
	RetryAfter    time.Duration // until a retry makes sense; 0 where the service gave none
}

func (e *RefusedError) Error() string {
	return fmt.Sprintf("keywright: %s (%d %s, request %s)", e.Detail, e.Status, e.Code, e.RequestID)
}

// CredentialRefusedError says that the service does not accept the credential of this verifier. No key can be checked
// until it has a valid one. It is no verdict on the presented key.
type CredentialRefusedError struct {
	Refused *RefusedError
}

func (e *CredentialRefusedError) Error() string { return e.Refused.Error() }

func (e *CredentialRefusedError) Unwrap() error { return e.Refused }

// UnavailableError says that the service is unavailable. A requested change may or may not have been made.
type UnavailableError struct {
	Detail     string
	Code       string        // such as storage_unavailable; "" where no answer of the service arrived
	Status     int           // 0 where no answer arrived
	RequestID  string        // "" where no answer of the service arrived
	RetryAfter time.Duration // until a retry makes sense; 0 where the service gave none
	err        error
}

func (e *UnavailableError) Error() string { return "keywright: " + e.Detail }

// Unwrap gives the error of package net/http, or nil.
func (e *UnavailableError) Unwrap() error { return e.err }

// UnexpectedAnswerError says that the answer is not a Keywright service's; the address is probably wrong.
type UnexpectedAnswerError struct {
	Address string
	Status  int
}

func (e *UnexpectedAnswerError) Error() string {
	return fmt.Sprintf("keywright: %s answered %d, but not as a Keywright service does", e.Address, e.Status)
}

// UnfinishedError says that a creation or rotation failed, for the reason that it wraps.
//
// The same call with IdempotencyKey gives the first answer if the change was made, and makes the change otherwise. It
// is as secret as the private key in that answer.
type UnfinishedError struct {
	IdempotencyKey Secret
	Err            error
}

func (e *UnfinishedError) Error() string { return e.Err.Error() }

func (e *UnfinishedError) Unwrap() error { return e.Err }

var digits = regexp.MustCompile(`^[0-9]{1,9}$`)

// errorOf makes the error of an answer with an unexpected status.
func errorOf(answer *answer) error {
	var body struct {
		Detail        json.RawMessage `json:"detail"`
		Code          string          `json:"code"`
		RequestID     string          `json:"request_id"`
		MissingScopes []string        `json:"missing_scopes"`
	}
	after := retryAfter(answer.header)
	isKeywright := json.Unmarshal(answer.body, &body) == nil && body.Code != ""
	detail, fields, err := readDetail(body.Detail)
	isKeywright = isKeywright && err == nil
	switch answer.status {
	case http.StatusBadGateway, http.StatusServiceUnavailable, http.StatusGatewayTimeout:
		// Also the page of a gateway in place of an unavailable service.
		if !isKeywright {
			detail, body.Code = "the service is not available right now", ""
		}
		return &UnavailableError{
			Detail: detail, Code: body.Code, Status: answer.status, RequestID: body.RequestID, RetryAfter: after,
		}
	}
	if !isKeywright {
		return answer.unexpected()
	}
	return &RefusedError{
		Code: body.Code, Status: answer.status, Detail: detail, RequestID: body.RequestID, Fields: fields,
		MissingScopes: body.MissingScopes, RetryAfter: after,
	}
}

// readDetail reads a sentence, or the list of flaws, which it writes as sentences, too.
func readDetail(detail json.RawMessage) (string, []FieldError, error) {
	var sentence string
	if json.Unmarshal(detail, &sentence) == nil {
		return sentence, nil, nil
	}
	var fields []FieldError
	if json.Unmarshal(detail, &fields) != nil {
		return "", nil, errors.New("keywright: no detail")
	}
	sentences := make([]string, len(fields))
	for index, field := range fields {
		sentences[index] = field.sentence()
	}
	return strings.Join(sentences, " "), fields, nil
}

func (f FieldError) sentence() string {
	var where []string
	for _, part := range f.Loc {
		if text := fmt.Sprint(part); text != "body" && text != "query" && text != "path" {
			where = append(where, text)
		}
	}
	if where == nil {
		return f.Msg
	}
	return strings.Join(where, ".") + ": " + f.Msg
}

// retryAfter reads the seconds; the other form, a date, is of no use without a clock that both share.
func retryAfter(header http.Header) time.Duration {
	value := header.Get("Retry-After")
	if !digits.MatchString(value) {
		return 0
	}
	seconds, _ := strconv.Atoi(value)
	return time.Duration(seconds) * time.Second
}

package keywright

import (
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
)

// Secret is a text that is printed, logged and marshalled as its display; only Reveal gives the text.
//
// The text is kept in a function: package fmt, which prints unexported fields, too, prints its address.
type Secret struct {
	display string
	reveal  func() string
}

func newSecret(text, display string) Secret {
	return Secret{display: display, reveal: func() string { return text }}
}

// Reveal gives the text; "" for the zero Secret.
func (s Secret) Reveal() string {
	if s.reveal == nil {
		return ""
	}
	return s.reveal()
}

// String gives the display, which is safe to show and to log.
func (s Secret) String() string { return s.display }

// Format writes the display, whatever the verb.
func (s Secret) Format(state fmt.State, _ rune) { _, _ = io.WriteString(state, s.display) }

// LogValue gives the display.
func (s Secret) LogValue() slog.Value { return slog.StringValue(s.display) }

// MarshalJSON writes the display.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(s.display) }

// UnmarshalJSON reads the text; the display says only that there is one.
func (s *Secret) UnmarshalJSON(data []byte) error {
	var text string
	if json.Unmarshal(data, &text) != nil {
		// The error of json would quote the value.
		return fmt.Errorf("keywright: the secret is no text")
	}
	*s = newSecret(text, "(secret)")
	return nil
}

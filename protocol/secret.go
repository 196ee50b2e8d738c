package protocol

import (
	"encoding/json"
	"fmt"
	"log/slog"
)

// mask is what a Secret shows to everything but Reveal. Its length says nothing.
const mask = "[secret]"

// A Secret is text that must not be seen: it masks itself under fmt (every verb),
// slog and encoding/json. Reveal is the only way to the text, so that a search for
// "Reveal(" lists every place where it is used.
//
// The text stands behind a pointer, since fmt prints the fields of a value itself
// when a verb does not fit (%p).
type Secret struct{ text *string }

// NewSecret wraps text.
func NewSecret(text string) Secret { return Secret{&text} }

// Reveal returns the text.
func (s Secret) Reveal() string {
	if s.text == nil {
		return ""
	}
	return *s.text
}

// Empty reports whether there is no text.
func (s Secret) Empty() bool { return s.Reveal() == "" }

// Format implements fmt.Formatter for every verb, so that %#v and %x are masked too.
func (s Secret) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(mask)) }

// String returns the mask.
func (s Secret) String() string { return mask }

// GoString returns the mask.
func (s Secret) GoString() string { return mask }

// LogValue implements slog.LogValuer.
func (s Secret) LogValue() slog.Value { return slog.StringValue(mask) }

// MarshalJSON writes the mask. A secret that must travel is sealed, or revealed
// into a field made for it.
func (s Secret) MarshalJSON() ([]byte, error) { return json.Marshal(mask) }

// MarshalText writes the mask.
func (s Secret) MarshalText() ([]byte, error) { return []byte(mask), nil }

// UnmarshalText takes the text from a configuration file.
func (s *Secret) UnmarshalText(b []byte) error {
	*s = NewSecret(string(b))
	return nil
}

package protocol

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"log/slog"
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"
)

// Bounds of what SetAttribute sets: addresses of several lines fit, pictures do not.
const (
	MaxAttributeName   = 64   // bytes
	MaxAttributeValues = 20   // of one attribute
	MaxAttributeValue  = 1024 // bytes of one value
)

const saltBytes = 32

// attributeLabel begins what the salted hash is made of.
const attributeLabel = "postern/attribute/v1"

// AttributeValues are the values that an attribute is to have; none clears it. They travel
// beside the operation, which bears their salted hash alone: that is what logs, journals
// and the evidence context hold. Whoever has only the hash cannot try values, because the
// salt stands in none of those but the agent's own journal, which settles lost answers with
// it on a machine that can read the attribute itself. fmt and slog show a mask; JSON is for
// the tunnel.
type AttributeValues struct {
	Salt   []byte   `json:"salt"`
	Values []string `json:"values,omitempty"`
}

// NewAttributeValues gives values a fresh salt.
func NewAttributeValues(values []string) AttributeValues {
	v := AttributeValues{Salt: make([]byte, saltBytes), Values: slices.Clone(values)}
	_, _ = rand.Read(v.Salt) // never fails
	return v
}

// Hash is the salted hash of the values of an attribute, base64url. Their order and the
// case of the attribute's name are no part of it, as they are none of a directory.
func (v AttributeValues) Hash(attribute string) string {
	h := sha256.New()
	write := func(text string) {
		var n [4]byte
		binary.BigEndian.PutUint32(n[:], uint32(len(text)))
		_, _ = h.Write(n[:]) // never fails
		_, _ = h.Write([]byte(text))
	}
	write(attributeLabel)
	write(string(v.Salt))
	write(strings.ToLower(attribute))
	for _, text := range slices.Sorted(slices.Values(v.Values)) {
		write(text)
	}
	return base64.RawURLEncoding.EncodeToString(h.Sum(nil))
}

// Are reports whether hash is that of the values.
func (v AttributeValues) Are(attribute, hash string) bool {
	return subtle.ConstantTimeCompare([]byte(v.Hash(attribute)), []byte(hash)) == 1
}

// Check says what is wrong with the values, whatever the attribute is; nil: nothing. It
// never repeats one.
func (v AttributeValues) Check() error {
	if len(v.Salt) != saltBytes {
		return fmt.Errorf("values: a salt of %d bytes; want %d", len(v.Salt), saltBytes)
	}
	if len(v.Values) > MaxAttributeValues {
		return fmt.Errorf("values: %d; at most %d", len(v.Values), MaxAttributeValues)
	}
	seen := map[string]bool{}
	for _, text := range v.Values {
		switch {
		case strings.TrimSpace(text) == "":
			return fmt.Errorf("values: an empty one; no values at all clear the attribute")
		case len(text) > MaxAttributeValue:
			return fmt.Errorf("values: one of %d bytes; at most %d", len(text), MaxAttributeValue)
		case !utf8.ValidString(text) || strings.ContainsFunc(text, notText):
			return fmt.Errorf("values: one that is no text")
		case seen[text]:
			return fmt.Errorf("values: one stands there twice")
		}
		seen[text] = true
	}
	return nil
}

// notText holds for control characters, but not for the ends of the lines of an address.
func notText(r rune) bool { return unicode.IsControl(r) && r != '\n' && r != '\r' }

// AttributeName reports whether text can be the name of an attribute (RFC 4512, section
// 1.4, descr). Options such as ;lang-de are none of it.
func AttributeName(text string) bool {
	if len(text) == 0 || len(text) > MaxAttributeName {
		return false
	}
	for i, c := range []byte(text) {
		letter := c >= 'a' && c <= 'z' || c >= 'A' && c <= 'Z'
		if !letter && (i == 0 || c != '-' && (c < '0' || c > '9')) {
			return false
		}
	}
	return true
}

// Format implements fmt.Formatter for every verb.
func (v AttributeValues) Format(f fmt.State, _ rune) { _, _ = f.Write([]byte(mask)) }

// LogValue implements slog.LogValuer.
func (v AttributeValues) LogValue() slog.Value { return slog.StringValue(mask) }

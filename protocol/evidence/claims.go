package evidence

import (
	"fmt"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/fxamacker/cbor/v2"
)

// maxText bounds a name or number on a document, in bytes. ICAO and ISO allow 150
// characters.
const maxText = 600

// documentClaims reads what a recovery asks for from the elements of a document.
func documentClaims(docType string, values map[string]cbor.RawMessage, by issuedBy, m securityObject, now time.Time) (Claims, error) {
	kind, known := documentKinds[docType]
	if !known {
		return Claims{}, fmt.Errorf("%w: this doctype", ErrRefused)
	}
	for _, e := range kind.required {
		if len(values[e]) == 0 {
			return Claims{}, fmt.Errorf("%w: %s", ErrMissing, e)
		}
	}
	c := Claims{Type: TypeMDoc, Issuer: by.anchor.Name(), DocType: docType}
	r := reader{values: values}
	c.Family, c.Given = r.text("family_name"), r.text("given_name")
	c.Document, c.Country = r.text("document_number"), r.text("issuing_country")
	c.BirthDate = r.day("birth_date")
	c.Expires = r.end("expiry_date")
	c.Portrait = r.bytes("portrait")
	c.Address = r.address()
	if r.err != nil {
		return Claims{}, r.err
	}
	if l := m.Status.List; l != nil {
		c.Status = &Status{l.URI, l.Index}
	}
	if s := by.leaf.Subject.Country; c.Country != "" && len(s) > 0 && !strings.EqualFold(s[0], c.Country) {
		return Claims{}, fmt.Errorf("%w: the signer is of another country than the document", ErrUntrusted)
	}
	return c, c.complete(now)
}

// complete checks what every document must have, whatever its form.
func (c Claims) complete(now time.Time) error {
	switch {
	case c.Family == "" && c.Given == "":
		return fmt.Errorf("%w: name", ErrMissing)
	case c.BirthDate == "":
		return fmt.Errorf("%w: birth date", ErrMissing)
	case !c.Expires.IsZero() && now.After(c.Expires):
		return fmt.Errorf("%w: document", ErrExpired)
	}
	return nil
}

// A reader takes typed values out of elements and keeps the first error.
type reader struct {
	values map[string]cbor.RawMessage
	err    error
}

func (r *reader) get(name string, v any) bool {
	raw, ok := r.values[name]
	if !ok || r.err != nil {
		return false
	}
	r.err = decode(signedCBOR, name, raw, v)
	return r.err == nil
}

func (r *reader) text(name string) string {
	var s string
	if !r.get(name, &s) {
		return ""
	}
	s, r.err = plainText(name, s)
	return s
}

func (r *reader) bytes(name string) (b []byte) {
	r.get(name, &b)
	return b
}

func (r *reader) date(name string) date {
	raw, ok := r.values[name]
	if !ok || r.err != nil {
		return date{}
	}
	var d date
	d, r.err = readDate(name, raw)
	return d
}

// day returns a full-date as YYYY-MM-DD.
func (r *reader) day(name string) string {
	d := r.date(name)
	if r.err == nil && !d.at.IsZero() && !d.whole {
		r.err = fmt.Errorf("%w: %s is not a full date", ErrFormat, name)
	}
	if r.err != nil || d.at.IsZero() {
		return ""
	}
	return d.at.Format(time.DateOnly)
}

func (r *reader) end(name string) time.Time {
	if d := r.date(name); !d.at.IsZero() {
		return d.end()
	}
	return time.Time{}
}

// plainText trims and bounds a text, and refuses control characters.
func plainText(name, s string) (string, error) {
	s = strings.TrimSpace(s)
	if len(s) > maxText || !utf8.ValidString(s) || strings.ContainsFunc(s, func(r rune) bool { return r < ' ' || r == 0x7f }) {
		return "", fmt.Errorf("%w: %s", ErrFormat, name)
	}
	return s, nil
}

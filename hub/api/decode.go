package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"mime"
	"net/http"
	"reflect"
	"slices"
	"strings"
)

// readBody reads and decodes the body, if the row has one.
func (c *call) readBody() error {
	if c.row.do.decode == nil {
		return nil
	}
	b, err := io.ReadAll(http.MaxBytesReader(c.w, c.r.Body, c.row.body))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return refusal{http.StatusRequestEntityTooLarge, fmt.Sprintf("the body has more than %d bytes", c.row.body)}
	case err != nil:
		return bad("the body ended early")
	}
	if len(b) > 0 && !c.row.do.reads(c.r.Header.Get("Content-Type")) {
		return refusal{http.StatusUnsupportedMediaType, "Content-Type: want " + strings.Join(c.row.do.types(), ", ")}
	}
	c.body, err = c.row.do.decode(b)
	return err
}

// asJSON are the types of a JSON body. The second one is what curl -d says by itself, as
// in the published examples; the body is read as JSON all the same.
var asJSON = []string{"application/json", "application/x-www-form-urlencoded"}

// types are the types that a body of the action may have.
func (a action) types() []string {
	if a.takes != nil {
		return asJSON
	}
	return a.media
}

// reads reports whether the action takes a body of this type. One that is not named is
// taken for what it should be.
func (a action) reads(contentType string) bool {
	if contentType == "" {
		return true
	}
	media, _, err := mime.ParseMediaType(contentType)
	return err == nil && slices.Contains(a.types(), media)
}

// decode reads a body of type T: one JSON object, see inspect. An empty body is an empty
// object.
func decode[T any](b []byte) (*T, error) {
	v := new(T)
	if len(bytes.TrimSpace(b)) == 0 {
		return v, nil
	}
	if lines := inspect(b, reflect.TypeFor[T]()); len(lines) > 0 {
		return nil, lines
	}
	if err := json.Unmarshal(b, v); err != nil {
		return nil, bad(explain(err))
	}
	return v, nil
}

// explain says in a caller's words what is wrong with a body that inspect lets pass.
func explain(err error) string {
	var wrongType *json.UnmarshalTypeError
	if errors.As(err, &wrongType) && wrongType.Field != "" {
		return fmt.Sprintf("%s: a JSON %.40s is not what belongs here; want %s", wrongType.Field, wrongType.Value, want(wrongType.Type))
	}
	return strings.TrimPrefix(err.Error(), "policy: ")
}

// optional tells an absent member from null and from a value.
type optional[T any] struct {
	Given bool
	Null  bool
	Value T
}

// wraps implements wrapper.
func (optional[T]) wraps() reflect.Type { return reflect.TypeFor[T]() }

// UnmarshalJSON implements json.Unmarshaler.
func (o *optional[T]) UnmarshalJSON(b []byte) error {
	o.Given = true
	if string(b) == "null" {
		o.Null = true
		return nil
	}
	return json.Unmarshal(b, &o.Value)
}

// IsZero keeps an absent member absent in audit records.
func (o optional[T]) IsZero() bool { return !o.Given }

// MarshalJSON implements json.Marshaler, for audit records.
func (o optional[T]) MarshalJSON() ([]byte, error) {
	if !o.Given || o.Null {
		return []byte("null"), nil
	}
	return json.Marshal(o.Value)
}

// set writes a given value to where it belongs.
func set[T any](to *T, from *T) {
	if from != nil {
		*to = *from
	}
}

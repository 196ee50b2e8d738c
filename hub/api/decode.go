package api

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"reflect"
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
		return bad(fmt.Sprintf("the body has more than %d bytes", c.row.body))
	case err != nil:
		return bad("the body ended early")
	}
	c.body, err = c.row.do.decode(b)
	return err
}

// decode reads a body of type T: one JSON object without unknown members. An empty body
// is an empty object.
func decode[T any](b []byte) (*T, error) {
	v := new(T)
	if len(bytes.TrimSpace(b)) == 0 {
		return v, nil
	}
	d := json.NewDecoder(bytes.NewReader(b))
	d.DisallowUnknownFields()
	if err := d.Decode(v); err != nil {
		return nil, bad(explain(err, reflect.TypeFor[T]()))
	}
	if _, err := d.Token(); err != io.EOF {
		return nil, bad("the body is one JSON object and nothing after it")
	}
	return v, nil
}

// explain says in a caller's words what is wrong with a body of type t.
func explain(err error, t reflect.Type) string {
	var wrongType *json.UnmarshalTypeError
	var syntax *json.SyntaxError
	switch {
	case errors.As(err, &wrongType) && wrongType.Field != "":
		return fmt.Sprintf("%s: a JSON %s is not what belongs here; want %s", wrongType.Field, wrongType.Value, want(wrongType.Type))
	case errors.As(err, &wrongType):
		return "the body must be a JSON object, not a " + wrongType.Value
	case errors.As(err, &syntax):
		return fmt.Sprintf("the body is not JSON: %s at byte %d", syntax, syntax.Offset)
	case errors.Is(err, io.ErrUnexpectedEOF):
		return "the body is not JSON: it ends too early"
	}
	if name, ok := strings.CutPrefix(err.Error(), "json: unknown field "); ok {
		name = strings.Trim(name, `"`)
		return fmt.Sprintf("%.60s: there is no such member; there are: %s", name, strings.Join(members(t), ", "))
	}
	return strings.TrimPrefix(err.Error(), "policy: ")
}

// want names a type as JSON knows it.
func want(t reflect.Type) string {
	switch t.Kind() {
	case reflect.String:
		return "a text"
	case reflect.Bool:
		return "true or false"
	case reflect.Slice:
		return "a list"
	case reflect.Struct, reflect.Map:
		return "an object"
	}
	return "a number"
}

// members lists the names that an object of the type may have.
func members(t reflect.Type) []string {
	var names []string
	for i := range t.NumField() {
		name, _, _ := strings.Cut(t.Field(i).Tag.Get("json"), ",")
		if name != "" && name != "-" {
			names = append(names, name)
		}
	}
	return names
}

// optional tells an absent member from null and from a value.
type optional[T any] struct {
	Given bool
	Null  bool
	Value T
}

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

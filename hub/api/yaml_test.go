package api

import (
	"encoding/json"
	"fmt"
	"io"
	"regexp"
	"strconv"
	"strings"
	"testing"
)

// object is a mapping with an order; list a sequence.
type (
	object []pair
	list   []any
	pair   struct {
		name  string
		value any
	}
)

func (o object) get(name string) any {
	for _, p := range o {
		if p.name == name {
			return p.value
		}
	}
	return nil
}

func (o object) set(name string, value any) {
	for i := range o {
		if o[i].name == name {
			o[i].value = value
		}
	}
}

// plain are texts that YAML takes for texts without quotes.
var plainText = regexp.MustCompile(`^[A-Za-z/#][A-Za-z0-9_/ .;()-]*[A-Za-z0-9_).]$`)

func scalar(s string) string {
	switch s {
	case "true", "false", "null", "yes", "no", "on", "off":
		return strconv.Quote(s)
	}
	if plainText.MatchString(s) && !strings.HasPrefix(s, "#") && !strings.Contains(s, " #") {
		return s
	}
	b, _ := json.Marshal(s) // a text always marshals; JSON texts are YAML
	return strings.NewReplacer(`\u003c`, "<", `\u003e`, ">", `\u0026`, "&").Replace(string(b))
}

// writeYAML writes a value that begins on a line of its own.
func writeYAML(w io.Writer, v any, indent string) {
	switch v := v.(type) {
	case object:
		for _, p := range v {
			fmt.Fprintf(w, "%s%s:", indent, scalar(p.name))
			writeValue(w, p.value, indent)
		}
	case list:
		for _, one := range v {
			if o, ok := one.(object); ok && len(o) > 0 && isFlat(o) {
				fmt.Fprintf(w, "%s- %s\n", indent, inLine(o))
				continue
			}
			if o, ok := one.(object); ok && len(o) > 0 {
				var b strings.Builder
				writeYAML(&b, o, indent+"  ")
				fmt.Fprint(w, indent, "- ", strings.TrimPrefix(b.String(), indent+"  "))
				continue
			}
			fmt.Fprintf(w, "%s- %s\n", indent, inLine(one))
		}
	}
}

// writeValue writes what stands behind a name.
func writeValue(w io.Writer, v any, indent string) {
	switch v := v.(type) {
	case object:
		if len(v) == 0 || isFlat(v) && len(inLine(v)) < 100 {
			break
		}
		fmt.Fprintln(w)
		writeYAML(w, v, indent+"  ")
		return
	case list:
		if len(v) == 0 || isFlatList(v) {
			break
		}
		fmt.Fprintln(w)
		writeYAML(w, v, indent+"  ")
		return
	}
	fmt.Fprintf(w, " %s\n", inLine(v))
}

// isFlat reports whether an object is short enough for one line.
func isFlat(o object) bool {
	for _, p := range o {
		switch v := p.value.(type) {
		case object:
			if len(v) > 0 {
				return false
			}
		case list:
			if len(v) > 0 {
				return false
			}
		}
	}
	return len(o) <= 2
}

func isFlatList(l list) bool {
	for _, v := range l {
		if o, ok := v.(object); ok && len(o) > 0 {
			return false
		}
	}
	return true
}

// inLine writes a value on one line.
func inLine(v any) string {
	switch v := v.(type) {
	case object:
		parts := make([]string, len(v))
		for i, p := range v {
			parts[i] = scalar(p.name) + ": " + inLine(p.value)
		}
		return "{" + strings.Join(parts, ", ") + "}"
	case list:
		parts := make([]string, len(v))
		for i, one := range v {
			parts[i] = inLine(one)
		}
		return "[" + strings.Join(parts, ", ") + "]"
	case string:
		return scalar(v)
	}
	return fmt.Sprint(v)
}

// parseJSON reads an example with its order.
func parseJSON(t *testing.T, text string) any {
	t.Helper()
	d := json.NewDecoder(strings.NewReader(text))
	d.UseNumber()
	v, err := readJSON(d)
	if err != nil {
		t.Fatalf("%s: %v", text, err)
	}
	return v
}

func readJSON(d *json.Decoder) (any, error) {
	token, err := d.Token()
	if err != nil {
		return nil, err
	}
	switch token {
	case json.Delim('{'):
		o := object{}
		for d.More() {
			name, err := d.Token()
			if err != nil {
				return nil, err
			}
			v, err := readJSON(d)
			if err != nil {
				return nil, err
			}
			o = append(o, pair{name.(string), v})
		}
		_, err := d.Token()
		return o, err
	case json.Delim('['):
		l := list{}
		for d.More() {
			v, err := readJSON(d)
			if err != nil {
				return nil, err
			}
			l = append(l, v)
		}
		_, err := d.Token()
		return l, err
	}
	return token, nil
}

package settings

import (
	"encoding"
	"fmt"
	"reflect"
	"regexp"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// otherType is how the decoder says that a value is of another type than its field.
var otherType = regexp.MustCompile(`^cannot decode TOML ([a-z ]+) into .* of type (.+)$`)

// found are the decoder's words for what stands in the file.
var found = map[string]string{
	"string": "a text", "integer": "a whole number", "float": "a number with a point", "boolean": "true or false", "array": "a list", "inline table": "a table", "table": "a table",
}

// inWords says what the decoder means for people who know no Go.
func inWords(text string) string {
	if strings.HasSuffix(text, "at start of value") {
		return text + "; a text stands in quotes"
	}
	m := otherType.FindStringSubmatch(text)
	if m == nil {
		return text
	}
	is, known := found[m[1]]
	if !known {
		is = "a " + m[1]
	}
	return "found " + is + ", want " + wanted(m[2])
}

// wanted is a type of Go as one writes its values.
func wanted(kind string) string {
	switch {
	case kind == "string":
		return `a text in quotes: "…"`
	case kind == "bool":
		return "true or false, without quotes"
	case kind == "[]string":
		return `a list of texts in brackets: ["…"]`
	case strings.HasPrefix(kind, "[]") && strings.ContainsAny(kind, ".{"):
		return "a table in double brackets: [[…]]"
	case strings.HasPrefix(kind, "[]"):
		return "a list in brackets: […]"
	case strings.HasPrefix(kind, "int"), strings.HasPrefix(kind, "uint"):
		return "a whole number, without quotes"
	case strings.HasPrefix(kind, "float"):
		return "a number, without quotes"
	}
	return "a table: […]"
}

// placed leads an error of a value that reads itself from a text, such as a duration, by
// its key: of a number the decoder names neither key nor line.
func (f File) placed(err error, table string, into any) error {
	var all map[string]any
	if toml.Unmarshal(f.Text, &all) != nil {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	var value any = all
	if table != "" {
		value = all[table]
	}
	keys := noText(reflect.TypeOf(into), value)
	if len(keys) == 0 {
		return fmt.Errorf("%s: %w", f.Name, err)
	}
	path := strings.TrimPrefix(table+"."+keys[0], ".")
	return fmt.Errorf("%s: key %q: found a value without quotes, want a text: %w", f.Name, path, err)
}

// noText are the keys of values that must be texts and are none.
func noText(t reflect.Type, value any) (keys []string) {
	t = pointed(t)
	if list, ok := value.([]any); ok {
		for _, v := range list {
			keys = append(keys, noText(t, v)...)
		}
		return keys
	}
	members, ok := value.(map[string]any)
	if !ok || t.Kind() != reflect.Struct {
		return nil
	}
	for name, v := range members {
		field, known := field(t, name)
		if !known {
			continue
		}
		if reflect.PointerTo(pointed(field.Type)).Implements(textual) {
			if _, is := v.(string); !is {
				keys = append(keys, name)
			}
			continue
		}
		for _, key := range noText(field.Type, v) {
			keys = append(keys, name+"."+key)
		}
	}
	return keys
}

var textual = reflect.TypeFor[encoding.TextUnmarshaler]()

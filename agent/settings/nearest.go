package settings

import (
	"reflect"
	"strings"
)

// keysAt lists the keys that the struct type t knows in the table at path, and
// the tables that others decode when path is empty.
func keysAt(t reflect.Type, path, others []string) []string {
	keys := []string{}
	if len(path) == 0 {
		keys = append(keys, others...)
	}
	for _, name := range path {
		if t = pointed(t); t.Kind() == reflect.Map { // its keys are the file's own
			t = t.Elem()
			continue
		}
		f, ok := field(t, name)
		if !ok {
			return keys
		}
		t = f.Type
	}
	if t = pointed(t); t.Kind() != reflect.Struct {
		return keys
	}
	for _, f := range reflect.VisibleFields(t) { // those of embedded structs too
		if name := keyOf(f); name != "" && !f.Anonymous {
			keys = append(keys, name)
		}
	}
	return keys
}

// pointed strips pointers and lists, which add no key.
func pointed(t reflect.Type) reflect.Type {
	for t.Kind() == reflect.Pointer || t.Kind() == reflect.Slice {
		t = t.Elem()
	}
	return t
}

// field finds the field of a struct type that a key names.
func field(t reflect.Type, name string) (reflect.StructField, bool) {
	if t.Kind() != reflect.Struct {
		return reflect.StructField{}, false
	}
	return t.FieldByNameFunc(func(n string) bool {
		f, _ := t.FieldByName(n)
		return strings.EqualFold(keyOf(f), name)
	})
}

// keyOf is the key of a field: its toml tag, else its name; "" if the field is not
// read, or embedded, so that its own fields are.
func keyOf(f reflect.StructField) string {
	name, _, _ := strings.Cut(f.Tag.Get("toml"), ",")
	switch {
	case !f.IsExported() || name == "-" || name == "" && f.Anonymous:
		return ""
	case name == "":
		return f.Name
	}
	return name
}

// nearest returns the known key that takes the fewest edits to reach from key, or
// "" when none is near enough to be a slip of the pen: half the key's length.
func nearest(key string, known []string) string {
	best, least := "", len(key)/2+1
	for _, k := range known {
		if d := distance(strings.ToLower(key), strings.ToLower(k)); d < least {
			best, least = k, d
		}
	}
	return best
}

// distance is the optimal string alignment distance: insertions, deletions,
// substitutions and swaps of neighbours count one each.
func distance(a, b string) int {
	two, one := make([]int, len(b)+1), make([]int, len(b)+1)
	for j := range one {
		one[j] = j
	}
	for i := 1; i <= len(a); i++ {
		row := make([]int, len(b)+1)
		row[0] = i
		for j := 1; j <= len(b); j++ {
			same := 1
			if a[i-1] == b[j-1] {
				same = 0
			}
			row[j] = min(row[j-1]+1, one[j]+1, one[j-1]+same)
			if i > 1 && j > 1 && a[i-1] == b[j-2] && a[i-2] == b[j-1] {
				row[j] = min(row[j], two[j-2]+1)
			}
		}
		two, one = one, row
	}
	return one[len(b)]
}

package console

import "strings"

// A field is one question of a form that is made from a table.
type field struct {
	Name    string // and id in the page
	Kind    string // fieldText and the like
	Value   string
	On      bool     // of a tick
	Most    int      // letters
	Options []option // of a choice

	Label, Hint, Problem string
}

// Kinds of fields.
const (
	fieldText   = "text"
	fieldSecret = "password" // never shown again
	fieldLines  = "lines"
	fieldChoice = "choice"
	fieldTick   = "tick"
)

// An option is one answer of a choice.
type option struct{ Value, Text string }

// Described names what describes the field, for readers of the page that do not see it.
func (f field) Described() string {
	var ids []string
	if f.Hint != "" {
		ids = append(ids, f.Name+"-hint")
	}
	if f.Problem != "" {
		ids = append(ids, f.Name+"-error")
	}
	return strings.Join(ids, " ")
}

// worded gives fields their words, by a prefix of the catalogue and their names, and what
// is wrong with them.
func (v *visit) worded(prefix string, p *settingsPage, fields []field) []field {
	for i := range fields {
		f := &fields[i]
		f.Label, f.Problem = v.words.T(prefix+f.Name), p.Problem(f.Name)
		if hint := prefix + f.Name + ".hint"; v.words.Has(hint) {
			f.Hint = v.words.T(hint)
		}
	}
	return fields
}

// options are the answers of a choice, with words of the catalogue under a prefix.
func (v *visit) options(prefix string, values ...string) (list []option) {
	for _, value := range values {
		key := prefix + value
		if value == "" {
			key = prefix + "default"
		}
		list = append(list, option{value, v.words.T(key)})
	}
	return list
}

// text is a field of the form, without space around it.
func (v *visit) text(name string) string { return strings.TrimSpace(v.field(name)) }

// lines are the words of a field that takes one on each line.
func (v *visit) lines(name string) []string {
	if list := strings.Fields(v.field(name)); len(list) > 0 {
		return list
	}
	return nil // as it is kept, so that nothing differs
}

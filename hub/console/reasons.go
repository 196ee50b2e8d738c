package console

import (
	"regexp"
	"strings"
)

// ofReason finds what changes from one reason to another: what stands in quotation marks,
// and numbers that are words.
var ofReason = regexp.MustCompile(`"(?:[^"\\]|\\.)*"|(^| )\d+\b`)

// why says in the page's language what another package says is wrong. What comes from
// elsewhere, such as the words of a library behind the colon, stays as it is.
func (v *visit) why(reason string) string {
	if text, ok := v.reason(reason); ok {
		return text
	}
	head, rest, _ := strings.Cut(reason, ": ")
	if text, ok := v.reason(head); ok {
		return text + ": " + v.why(rest)
	}
	return reason
}

// reason returns the words for a reason that the catalogue has.
func (v *visit) reason(reason string) (string, bool) {
	var args []any
	key := "why." + ofReason.ReplaceAllStringFunc(reason, func(value string) string {
		space, name := "", string(rune('a'+len(args)/2))
		if value[0] == ' ' {
			space = " "
		}
		args = append(args, name, strings.Trim(value, ` "`))
		return space + "{" + name + "}"
	})
	return v.words.T(key, args...), v.words.Has(key)
}

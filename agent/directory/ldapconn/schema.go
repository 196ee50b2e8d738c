package ldapconn

import "strings"

// An AttributeRule is what a server's schema says of an attribute (RFC 4512, section
// 4.1.2), as far as it decides what may be written.
type AttributeRule struct {
	Single   bool     // one value at most
	ReadOnly bool     // the server's own
	Names    []string // all that it has; the first is the one that servers answer with
}

// maxDefinition bounds one definition: the longest that servers ship have 500 bytes.
const maxDefinition = 16 << 10

// RuleOf finds an attribute among the values of attributeTypes of a subschema, by one of
// its names, and reports whether it is there. Definitions that cannot be read are nobody's.
func RuleOf(definitions []string, name string) (AttributeRule, bool) {
	for _, text := range definitions {
		if len(text) > maxDefinition {
			continue
		}
		if r, named := readRule(schemaWords(text), name); named {
			return r, true
		}
	}
	return AttributeRule{}, false
}

func readRule(words []string, name string) (r AttributeRule, named bool) {
	for i := 0; i < len(words); i++ {
		switch words[i] {
		case "NAME":
			for i++; i < len(words) && (words[i] == "(" || strings.HasPrefix(words[i], "'")); i++ {
				if other := strings.Trim(words[i], "('"); other != "" {
					r.Names = append(r.Names, other)
				}
				named = named || strings.EqualFold(words[i], "'"+name+"'")
			}
			i-- // the loop goes on with what ended the names
		case "SINGLE-VALUE":
			r.Single = true
		case "NO-USER-MODIFICATION":
			r.ReadOnly = true
		}
	}
	return r, named
}

// schemaWords splits a definition. Quoted words keep their quotes, so that no description
// is taken for a keyword.
func schemaWords(text string) []string {
	var words []string
	for text = strings.TrimSpace(text); text != ""; text = strings.TrimSpace(text) {
		end := 1
		switch text[0] {
		case '(', ')':
		case '\'':
			if close := strings.IndexByte(text[1:], '\''); close >= 0 {
				end = close + 2
			} else {
				end = len(text)
			}
		default:
			if end = strings.IndexAny(text, " \t\r\n()'"); end < 0 {
				end = len(text)
			}
		}
		words, text = append(words, text[:end]), text[end:]
	}
	return words
}

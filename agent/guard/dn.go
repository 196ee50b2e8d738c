package guard

import (
	"encoding/hex"
	"errors"
	"slices"
	"strings"
)

// A dn is a distinguished name (RFC 4514), normalised for comparison: from the root
// down, each level its attributes sorted, in lower case.
type dn []string

// maxDN bounds a name; directories allow a few thousand characters.
const maxDN = 8 << 10

var errDN = errors.New("not a distinguished name (RFC 4514)")

// parseDN reads a name. Only what is compared is kept: this is no general parser, and
// everything that it does not understand is an error, so that a strange name is
// outside of every base.
func parseDN(text string) (dn, error) {
	if len(text) > maxDN || strings.TrimSpace(text) == "" {
		return nil, errDN
	}
	var levels dn
	for len(text) > 0 {
		var level []string
		for more := true; more; {
			pair, sep, rest, err := nextPair(text)
			if err != nil {
				return nil, err
			}
			level = append(level, pair)
			text, more = rest, sep == '+'
			if sep == ',' && text == "" {
				return nil, errDN
			}
		}
		slices.Sort(level)
		levels = append(levels, strings.Join(level, "\x00+"))
	}
	slices.Reverse(levels)
	return levels, nil
}

// nextPair cuts one attribute and its value, and returns the separator behind it: 0
// at the end.
func nextPair(text string) (pair string, sep byte, rest string, err error) {
	attr, text, ok := strings.Cut(text, "=")
	attr = strings.ToLower(strings.TrimSpace(attr))
	if !ok || attr == "" || strings.ContainsFunc(attr, notDescr) {
		return "", 0, "", errDN
	}
	var value []byte
	kept := 0 // bytes that trimming must not touch, because they were escaped
	text = strings.TrimLeft(text, " ")
	for i := 0; i < len(text); i++ {
		switch c := text[i]; {
		case c == ',' || c == '+':
			return attr + "=" + fold(value, kept), c, text[i+1:], nil
		case c == '\\':
			b, n, err := unescape(text[i+1:])
			if err != nil {
				return "", 0, "", err
			}
			value = append(value, b)
			kept = len(value)
			i += n
		case strings.IndexByte("\"#;<>\x00", c) >= 0 && (c != '#' || len(value) == 0):
			return "", 0, "", errDN // quoted and hexadecimal values: no server writes them
		default:
			value = append(value, c)
		}
	}
	return attr + "=" + fold(value, kept), 0, "", nil
}

func notDescr(r rune) bool {
	return !(r >= 'a' && r <= 'z' || r >= '0' && r <= '9' || r == '-' || r == '.')
}

// unescape reads what follows a backslash: two hex digits or one special character.
func unescape(text string) (b byte, used int, err error) {
	if len(text) >= 2 {
		if raw, err := hex.DecodeString(text[:2]); err == nil && raw[0] != 0 {
			return raw[0], 2, nil
		}
	}
	if len(text) >= 1 && strings.IndexByte(" \"#+,;<=>\\", text[0]) >= 0 {
		return text[0], 1, nil
	}
	return 0, 0, errDN
}

// fold makes values comparable as caseIgnoreMatch does: lower case, spaces at the end
// dropped unless escaped, and several in a row taken for one.
func fold(value []byte, kept int) string {
	end := len(value)
	for end > kept && value[end-1] == ' ' {
		end--
	}
	return strings.Join(strings.Fields(strings.ToLower(string(value[:end]))), " ")
}

// under reports whether d is base or stands below it.
func (d dn) under(base dn) bool { return len(d) >= len(base) && slices.Equal(d[:len(base)], base) }

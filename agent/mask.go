package agent

import (
	"regexp"
	"strings"
	"unicode/utf8"
)

// address matches what may be a mail address inside a sentence.
var address = regexp.MustCompile(`[^\s"'<>(),;:=]+@[^\s"'<>(),;=]+`)

// maskMail shows of a mail address its first character and its domain.
func maskMail(addr string) string {
	for i := len(addr) - 1; i >= 0; i-- {
		if addr[i] == '@' {
			_, n := utf8.DecodeRuneInString(addr)
			return addr[:min(n, i)] + "•••" + addr[i:]
		}
	}
	return "•••"
}

// aForm is how help writes of a name at a domain: nobody's address.
const aForm = "name@domain"

// withoutAddresses masks every mail address in a text.
func withoutAddresses(text string) string {
	return address.ReplaceAllStringFunc(text, func(a string) string {
		if strings.TrimRight(a, ".") == aForm {
			return a
		}
		return maskMail(a)
	})
}

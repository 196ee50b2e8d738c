package agent

import (
	"regexp"
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

// withoutAddresses masks every mail address in a text.
func withoutAddresses(text string) string { return address.ReplaceAllStringFunc(text, maskMail) }

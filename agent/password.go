package agent

import (
	"crypto/rand"
	"fmt"
	"math/big"
	"slices"
	"strings"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// The letters and digits of temporary passwords: none that people take for another
// (I l 1, O o 0), and no y and z, which German and American keyboards exchange. No
// other characters: they stand elsewhere on every keyboard.
const (
	upperLetters = "ABCDEFGHJKLMNPQRSTUVWX"
	lowerLetters = "abcdefghijkmnpqrstuvwx"
	digits       = "23456789"
	alphabet     = upperLetters + lowerLetters + digits
)

// Lengths of temporary passwords. 14 characters of an alphabet of 52 are 79 bits.
const (
	minPassword = 14
	maxPassword = 64
)

// newPassword makes a temporary password that satisfies the account's policy: at least 14
// characters and 70 bits, with upper and lower case letters and digits, which are the
// three classes that directories ask for, and nothing of the account's own words.
func newPassword(f directory.Facts) (protocol.Secret, error) {
	n := max(minPassword, f.Policy.MinLength)
	if n > maxPassword {
		return protocol.Secret{}, protocol.Err(protocol.CodePasswordPolicy,
			fmt.Sprintf("the account's policy asks for %d characters; at most %d are made", n, maxPassword))
	}
	refused := partsOf(append([]string{alphabetically, counting}, f.Words...))
	for draws := 0; ; draws++ {
		text, err := randomText(n)
		if err != nil {
			return protocol.Secret{}, err
		}
		// Drawing again, instead of placing one of each, keeps all that qualify equally likely.
		if mixed(text) && (draws > maxDraws || !refused.in(text)) {
			return protocol.NewSecret(text), nil
		}
	}
}

// mixed reports whether all three classes are there.
func mixed(text string) bool {
	return strings.ContainsAny(text, upperLetters) && strings.ContainsAny(text, lowerLetters) && strings.ContainsAny(text, digits)
}

// Runs that directories can be told to refuse, whoever the account is
// (passwordMaxSequence of 389-ds, maxsequence of FreeIPA).
const (
	alphabetically = "abcdefghijklmnopqrstuvwxyz"
	counting       = "0123456789"
)

// maxDraws bounds how often a password is drawn again for the sake of an account's words.
// Somebody whose entry holds a book gets one all the same, which the directory may refuse.
const maxDraws = 1000

// partLength is how much of a word a password may not have: what Active Directory's
// complexity and 389-ds (passwordMinTokenLength) begin to count at.
const partLength = 3

// parts are the pieces of words, in lower case, that a password keeps clear of.
type parts map[string]bool

// partsOf cuts the words into all their pieces, and those of each read backwards.
func partsOf(words []string) parts {
	all := parts{}
	for _, w := range words {
		b := []byte(strings.ToLower(w))
		all.add(b)
		slices.Reverse(b)
		all.add(b)
	}
	return all
}

func (p parts) add(word []byte) {
	for i := 0; i+partLength <= len(word); i++ {
		p[string(word[i:i+partLength])] = true
	}
}

// in reports whether the text has one of the pieces, or a character three times in a row.
func (p parts) in(text string) bool {
	text = strings.ToLower(text)
	for i := 0; i+partLength <= len(text); i++ {
		piece := text[i : i+partLength]
		if p[piece] || strings.Count(piece, piece[:1]) == partLength {
			return true
		}
	}
	return false
}

func randomText(n int) (string, error) {
	b := make([]byte, n)
	for i := range b {
		k, err := rand.Int(rand.Reader, big.NewInt(int64(len(alphabet))))
		if err != nil {
			return "", err
		}
		b[i] = alphabet[k.Int64()]
	}
	return string(b), nil
}

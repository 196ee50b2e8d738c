package agent

import (
	"crypto/rand"
	"fmt"
	"math/big"
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

// newPassword makes a temporary password that satisfies the policy: at least 14
// characters and 70 bits, with upper and lower case letters and digits, which are the
// three classes that directories ask for.
func newPassword(p directory.PasswordPolicy) (protocol.Secret, error) {
	n := max(minPassword, p.MinLength)
	if n > maxPassword {
		return protocol.Secret{}, protocol.Err(protocol.CodePasswordPolicy,
			fmt.Sprintf("the account's policy asks for %d characters; at most %d are made", n, maxPassword))
	}
	for {
		text, err := randomText(n)
		if err != nil {
			return protocol.Secret{}, err
		}
		// Drawing again, instead of placing one of each, keeps all that qualify equally likely.
		if strings.ContainsAny(text, upperLetters) && strings.ContainsAny(text, lowerLetters) && strings.ContainsAny(text, digits) {
			return protocol.NewSecret(text), nil
		}
	}
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

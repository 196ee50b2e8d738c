package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"unicode/utf8"

	"github.com/spf13/cobra"
)

// maxPlain bounds a secret, in bytes.
const maxPlain = 8 << 10

func secretsCommand(c *cobra.Command) {
	f := new(flags)
	f.on(c)
	group(c, leaf("encrypt", "Reads a secret from standard input and prints it sealed, for settings that others may read",
		"  postern secrets encrypt -e 5f0c… < password.txt", cobra.NoArgs,
		func(c *cobra.Command, _ []string) error {
			b, err := io.ReadAll(io.LimitReader(c.InOrStdin(), maxPlain+1))
			if err == nil && (len(b) == 0 || len(b) > maxPlain) {
				err = fmt.Errorf("standard input: want a secret of 1 to %d bytes", maxPlain)
			}
			if err == nil && !utf8.Valid(b) { // JSON would change it, and nobody would notice before it is used
				err = errors.New("standard input: want text in UTF-8; what is not text can be encoded first, as by base64")
			}
			if err != nil {
				return err
			}
			return f.askEnv(c, "POST", "/encrypt-secret", map[string]string{"plaintext": string(b)}, printSealed)
		}))
}

func printSealed(w io.Writer, answer []byte) error {
	var s struct{ Ciphertext string }
	if err := json.Unmarshal(answer, &s); err != nil {
		return err
	}
	if s.Ciphertext == "" {
		return errors.New("the hub answered without a ciphertext")
	}
	_, err := fmt.Fprintln(w, s.Ciphertext)
	return err
}

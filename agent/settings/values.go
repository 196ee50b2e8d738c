package settings

import (
	"fmt"
	"io"
	"os"
	"runtime"
	"strings"
	"time"

	"github.com/postern-id/postern/protocol"
)

// maxSecret bounds a secret's file: a long private key fits.
const maxSecret = 64 << 10

// othersMayRead are the permission bits that make a secret's file everybody's.
const othersMayRead = 0o007

// A Duration is written as Go writes one: "90s", "15m", "24h".
type Duration struct{ time.Duration }

// UnmarshalText reads the text of a duration, which may not be negative.
func (d *Duration) UnmarshalText(text []byte) error {
	v, err := time.ParseDuration(string(text))
	if err != nil || v < 0 {
		return fmt.Errorf("%q is not a duration such as \"90s\", \"15m\" or \"24h\"", text)
	}
	d.Duration = v
	return nil
}

// MarshalText writes the duration as Go does.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// ReadSecret reads a secret from a file of its own: one line, without its end.
// It refuses an empty file and, where the system has permission bits, one that
// every user of the machine may read.
func ReadSecret(path string) (protocol.Secret, error) {
	f, err := os.Open(path)
	if err != nil {
		return protocol.Secret{}, err
	}
	defer f.Close()
	if err := private(f); err != nil {
		return protocol.Secret{}, err
	}
	text, err := io.ReadAll(io.LimitReader(f, maxSecret+1))
	if err != nil {
		return protocol.Secret{}, err
	}
	secret := strings.TrimRight(string(text), "\r\n")
	if secret == "" || len(text) > maxSecret {
		return protocol.Secret{}, fmt.Errorf("%s: %d bytes; want a secret of 1 to %d", path, len(text), maxSecret)
	}
	return protocol.NewSecret(secret), nil
}

// private refuses a file that other users may read. Windows has no such bits: there
// the folder's access list decides.
func private(f *os.File) error {
	info, err := f.Stat()
	if err != nil {
		return err
	}
	if runtime.GOOS != "windows" && info.Mode().Perm()&othersMayRead != 0 {
		return fmt.Errorf("%s: other users may read this secret; run: chmod o-rwx %s", f.Name(), f.Name())
	}
	return nil
}

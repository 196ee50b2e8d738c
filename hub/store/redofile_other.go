//go:build !unix

package store

import (
	"errors"
	"os"
)

// lockFile fails: final steps are written to the database here.
func lockFile(string) (*os.File, error) { return nil, errors.ErrUnsupported }

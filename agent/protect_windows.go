package agent

import (
	"encoding/json"
	"errors"
	"fmt"
	"unsafe"

	"golang.org/x/sys/windows"
)

// protectedText is the keys' file on Windows: what DPAPI made of the keys, for this
// machine. It opens nowhere else, so a copy of the disk's files is worth nothing; who may
// read it here is for the folder's access list to say.
type protectedText struct {
	DPAPI []byte `json:"dpapi"`
}

// errForeign is what a file from another machine gives, too.
var errForeign = errors.New("DPAPI of this machine does not open it; enrol anew in an empty state folder")

// entropy keeps what asks DPAPI for whatever it finds from getting these keys.
var entropy = []byte("postern-agent keys v1")

// protect seals the keys for this machine.
func protect(text []byte) ([]byte, error) {
	var out windows.DataBlob
	err := windows.CryptProtectData(blob(text), nil, blob(entropy), 0, nil, windows.CRYPTPROTECT_LOCAL_MACHINE|windows.CRYPTPROTECT_UI_FORBIDDEN, &out)
	if err != nil {
		return nil, fmt.Errorf("DPAPI: %w", err)
	}
	return json.Marshal(protectedText{taken(out)})
}

// unprotect opens what protect made.
func unprotect(text []byte) ([]byte, error) {
	var p protectedText
	if err := json.Unmarshal(text, &p); err != nil || len(p.DPAPI) == 0 {
		return nil, errForeign
	}
	var out windows.DataBlob
	if err := windows.CryptUnprotectData(blob(p.DPAPI), nil, blob(entropy), 0, nil, windows.CRYPTPROTECT_UI_FORBIDDEN, &out); err != nil {
		return nil, fmt.Errorf("%w (%w)", errForeign, err)
	}
	return taken(out), nil
}

func blob(b []byte) *windows.DataBlob {
	return &windows.DataBlob{Size: uint32(len(b)), Data: unsafe.SliceData(b)}
}

// taken copies what DPAPI allocated, and gives it back.
func taken(b windows.DataBlob) []byte {
	out := append([]byte(nil), unsafe.Slice(b.Data, b.Size)...)
	_, _ = windows.LocalFree(windows.Handle(unsafe.Pointer(b.Data)))
	return out
}

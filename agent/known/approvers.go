package known

import (
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"time"

	"github.com/postern-id/postern/agent/folder"
)

// approversFile is in the state folder. Only the local administrator's command writes
// it; a running agent reads it anew for every decision.
const approversFile = "approvers.json"

// An Approver is a person's passkey that may approve recoveries (T3, T7).
type Approver struct {
	ID         string    `json:"id"`     // what the approval challenge names
	Person     string    `json:"person"` // immutable id of the person's account; persons are counted, not keys
	Name       string    `json:"name,omitempty"`
	Mail       string    `json:"mail,omitempty"` // where confirm = "agent" tells of recoveries
	Credential []byte    `json:"credential"`
	PublicKey  []byte    `json:"public_key"`
	RPID       string    `json:"rp_id"`
	Added      time.Time `json:"added"`
}

// Approvers reads the list in a state folder; it is empty where there is none.
func Approvers(dir string) ([]Approver, error) {
	path := filepath.Join(dir, approversFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	var list struct {
		Approvers []Approver `json:"approvers"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return nil, fmt.Errorf("%s: %w", path, err)
	}
	return list.Approvers, nil
}

// AddApprover adds one; an id is used once.
func AddApprover(dir string, a Approver) error {
	list, err := Approvers(dir)
	if err != nil {
		return err
	}
	if slices.ContainsFunc(list, func(o Approver) bool { return o.ID == a.ID }) {
		return fmt.Errorf("the approver %q is there already; remove it first", a.ID)
	}
	return writeApprovers(dir, append(list, a))
}

// RemoveApprover removes one. ErrUnknown if there is none of that id.
func RemoveApprover(dir, id string) error {
	list, err := Approvers(dir)
	if err != nil {
		return err
	}
	kept := slices.DeleteFunc(slices.Clone(list), func(a Approver) bool { return a.ID == id })
	if len(kept) == len(list) {
		return ErrUnknown
	}
	return writeApprovers(dir, kept)
}

func writeApprovers(dir string, list []Approver) error {
	text, err := json.MarshalIndent(map[string]any{"approvers": list}, "", "\t")
	if err != nil {
		return err
	}
	return folder.Write(filepath.Join(dir, approversFile), append(text, '\n'))
}

package main

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"time"

	"github.com/postern-id/postern/agent"
	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/protocol/evidence"
)

const approverHelp = `Say who may approve recoveries of strict accounts. Approvers enter here alone: a hub cannot
add one. "add" reads the public key of an approver's passkey (JSON, as the approver's page
shows it) and compares its fingerprint with the one that the approver reads to you over
another channel. A running agent takes the list for its next decision.

  postern-agent approver add --id lee-phone --person 5f0e…-…-… --mail lee@example.com --key-file lee.json --fingerprint 3f9a…
  postern-agent approver list
  postern-agent approver remove --id lee-phone`

// maxKeyFile bounds a public key with its id.
const maxKeyFile = 16 << 10

func approver(ctx context.Context, args []string, s std) error {
	word := ""
	if len(args) > 0 && !strings.HasPrefix(args[0], "-") {
		word, args = args[0], args[1:]
	}
	f := newFlags("approver", approverHelp, s).withConfig()
	var a approverFlags
	f.StringVar(&a.id, "id", "", "what the approver is called in approvals")
	f.StringVar(&a.person, "person", "", "immutable id of the approver's own account: persons are counted, not keys")
	f.StringVar(&a.name, "name", "", "the approver's name, for this list")
	f.StringVar(&a.mail, "mail", "", "where the agent tells the approver of recoveries (confirm = \"agent\")")
	f.StringVar(&a.keyFile, "key-file", "-", "file with the public key; - for standard input")
	f.StringVar(&a.fingerprint, "fingerprint", "", "of the key, as the approver says it")
	cfg, _, err := f.load(args, s)
	if err != nil {
		return err
	}
	switch word {
	case "add":
		return a.add(cfg, s)
	case "list":
		return listApprovers(cfg, s.out)
	case "remove":
		return removeApprover(cfg, a.id, s.out)
	}
	fmt.Fprintln(s.err, approverHelp)
	return errUsage
}

// approverFlags describe one approver.
type approverFlags struct{ id, person, name, mail, keyFile, fingerprint string }

func (a approverFlags) add(cfg agent.Config, s std) error {
	if a.id == "" || a.person == "" {
		return errors.New("--id and --person are needed")
	}
	c, err := readKey(a.keyFile, s)
	if err != nil {
		return err
	}
	got := fingerprintOf(c)
	if a.fingerprint == "" {
		return fmt.Errorf("the key's fingerprint is %s: ask the approver over another channel, and give what you hear with --fingerprint", got)
	}
	if !strings.EqualFold(strings.Map(hexOnly, a.fingerprint), got) {
		return fmt.Errorf("the key's fingerprint is %s, not %s: nothing was added", got, a.fingerprint)
	}
	err = known.AddApprover(cfg.StateDir, known.Approver{
		ID: a.id, Person: a.person, Name: a.name, Mail: a.mail, Credential: c.ID, PublicKey: c.PublicKey, RPID: c.RPID, Added: time.Now().UTC(),
	})
	if err == nil {
		fmt.Fprintf(s.out, "Approver %s was added.\n", a.id)
	}
	return err
}

// hexOnly drops what people put between digits.
func hexOnly(r rune) rune {
	if r == ' ' || r == ':' || r == '-' {
		return -1
	}
	return r
}

func fingerprintOf(c evidence.Credential) string {
	h := c.Hash()
	return hex.EncodeToString(h[:])
}

func readKey(path string, s std) (evidence.Credential, error) {
	in := s.in
	if path != "-" {
		f, err := os.Open(path)
		if err != nil {
			return evidence.Credential{}, err
		}
		defer f.Close()
		in = f
	}
	text, err := io.ReadAll(io.LimitReader(in, maxKeyFile))
	if err != nil {
		return evidence.Credential{}, err
	}
	var c evidence.Credential
	if err := json.Unmarshal(text, &c); err != nil || len(c.ID) == 0 || len(c.PublicKey) == 0 || c.RPID == "" {
		return c, fmt.Errorf("%s: not a passkey's public key (JSON with id, public_key and rp_id)", path)
	}
	return c, nil
}

func listApprovers(cfg agent.Config, w io.Writer) error {
	list, err := known.Approvers(cfg.StateDir)
	if err != nil {
		return err
	}
	for _, a := range list {
		c := evidence.Credential{ID: a.Credential, PublicKey: a.PublicKey, RPID: a.RPID}
		fmt.Fprintf(w, "%s\n  person:      %s %s\n  mail:        %s\n  site:        %s\n  fingerprint: %s\n  added:       %s\n",
			a.ID, a.Person, a.Name, a.Mail, a.RPID, fingerprintOf(c), a.Added.Format(time.RFC3339))
	}
	if len(list) == 0 {
		fmt.Fprintln(w, "No approvers.")
	}
	return nil
}

func removeApprover(cfg agent.Config, id string, w io.Writer) error {
	if err := known.RemoveApprover(cfg.StateDir, id); err != nil {
		return fmt.Errorf("approver %q: %w", id, err)
	}
	fmt.Fprintf(w, "Approver %s was removed.\n", id)
	return nil
}

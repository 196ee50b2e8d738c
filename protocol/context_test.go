package protocol

import (
	"bytes"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"flag"
	"os"
	"testing"
)

var update = flag.Bool("update", false, "write the golden vectors anew")

// A contextVector is one golden case of the evidence context.
type contextVector struct {
	Name     string  `json:"name"`
	Members  Members `json:"members"`
	Context  Context `json:"context"`
	Approver string  `json:"approver"`
	Approval []byte  `json:"approval_challenge"`
}

func goldenRecipient() []byte {
	b := []byte{0, 0x10, 0, 1, 0, 2, 4}
	for i := range 64 {
		b = append(b, byte(i))
	}
	return b
}

func contextMembers() map[string]Members {
	part := func(first byte) []byte {
		b := make([]byte, RandomPart)
		for i := range b {
			b[i] = first + byte(i)
		}
		return b
	}
	id := RecoveryID(part(0), part(0x80))
	return map[string]Members{
		"password reset":       {id, "0d9b1c06-6f0e-4a2b-9f0e-3d8b6f1a2c3d", "1904df08-1c1c-4f5a-8a51-9d7f3c5b2a10", "get_temporary_password?must_change=true", goldenRecipient(), 1790000000},
		"unlock, no recipient": {id, "0d9b1c06-6f0e-4a2b-9f0e-3d8b6f1a2c3d", "uid=jörg,ou=людина", "unlock", nil, 1790000001},
		"two tasks":            {id, "d", "a", "get_temporary_password,unlock", goldenRecipient(), 1},
		"plain verification":   {RecoveryID(part(7), nil), "", "", "verify", nil, 1790000002},
	}
}

func TestGoldenContexts(t *testing.T) {
	const file = "testdata/context.json"
	if *update {
		writeContexts(t, file)
	}
	raw, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	var vs []contextVector
	if err := json.Unmarshal(raw, &vs); err != nil {
		t.Fatal(err)
	}
	if len(vs) != len(contextMembers()) {
		t.Errorf("%d golden cases, want %d", len(vs), len(contextMembers()))
	}
	for _, v := range vs {
		if got := v.Members.Context(); got != v.Context {
			t.Errorf("%s: context %s, want %s", v.Name, got, v.Context)
		}
		if got := v.Context.ApprovalChallenge(v.Approver); !bytes.Equal(got[:], v.Approval) {
			t.Errorf("%s: approval challenge %x, want %x", v.Name, got, v.Approval)
		}
	}
}

func writeContexts(t *testing.T, file string) {
	var vs []contextVector
	for _, name := range []string{"password reset", "unlock, no recipient", "two tasks", "plain verification"} {
		m := contextMembers()[name]
		c := m.Context()
		a := c.ApprovalChallenge("approver-1")
		vs = append(vs, contextVector{name, m, c, "approver-1", a[:]})
	}
	raw, err := json.MarshalIndent(vs, "", "  ")
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(file, append(raw, '\n'), 0o644); err != nil {
		t.Fatal(err)
	}
}

// The hash is spelled out here a second time, byte by byte, so that a change of the
// code alone cannot move the golden vectors.
func TestContextHashesLengthAndBytesOfEachMember(t *testing.T) {
	m := contextMembers()["password reset"]
	in := []byte("postern/evidence/v1")
	for _, s := range []string{m.Recovery, m.Directory, m.Account, m.Operation, string(m.Recipient), "1790000000"} {
		in = binary.BigEndian.AppendUint32(in, uint32(len(s)))
		in = append(in, s...)
	}
	if got, want := m.Context(), Context(sha256.Sum256(in)); got != want {
		t.Errorf("context %s, want %s", got, want)
	}
}

func TestT22_EveryMemberChangesTheContext(t *testing.T) {
	base := contextMembers()["password reset"]
	seen := map[Context]string{base.Context(): "base"}
	for name, change := range map[string]func(*Members){
		"recovery":      func(m *Members) { m.Recovery += "A" },
		"directory":     func(m *Members) { m.Directory = "" },
		"account":       func(m *Members) { m.Account += " " },
		"operation":     func(m *Members) { m.Operation = "get_temporary_password" },
		"recipient":     func(m *Members) { m.Recipient = nil },
		"not after":     func(m *Members) { m.NotAfter++ },
		"moved border":  func(m *Members) { m.Directory += m.Account[:1]; m.Account = m.Account[1:] },
		"moved border2": func(m *Members) { m.Account += m.Operation[:1]; m.Operation = m.Operation[1:] },
	} {
		m := base
		change(&m)
		c := m.Context()
		if other, ok := seen[c]; ok {
			t.Errorf("%s gives the context of %s", name, other)
		}
		seen[c] = name
	}
}

func TestContextTextIsStrict(t *testing.T) {
	want := contextMembers()["two tasks"].Context()
	var got Context
	if err := got.UnmarshalText([]byte(want.String())); err != nil || got != want {
		t.Fatalf("round trip: %s, %v", got, err)
	}
	for _, bad := range []string{"", "AA", want.String() + "=", want.String() + "A", want.String()[:42] + "B"} {
		if err := got.UnmarshalText([]byte(bad)); err == nil && bad != want.String() {
			t.Errorf("accepted %q", bad)
		}
	}
}

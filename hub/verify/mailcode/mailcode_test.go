package mailcode

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
)

// outbox takes messages as a mail server does, or refuses them.
type outbox struct {
	mail []Message
	err  error
}

func (o *outbox) SendCode(_ context.Context, m Message) error {
	o.mail = append(o.mail, m)
	return o.err
}

func keys(b ...byte) func() [][]byte {
	return func() (all [][]byte) {
		for _, k := range b {
			all = append(all, bytes.Repeat([]byte{k}, 32))
		}
		return all
	}
}

func TestACodeIsRightOnceMadeAndNowhereElse(t *testing.T) {
	var o outbox
	v := New(&o, keys(1))
	s := verify.Subject{Verification: "v1", Contacts: protocol.Contacts{Mail: []string{"karla@gmail.com", "k@x.org"}}}
	c, err := v.Open(t.Context(), s)
	if err != nil || len(o.mail) > 0 {
		t.Fatalf("%v, %d mails before the challenge is kept", err, len(o.mail))
	}
	to, err := c.Send(t.Context())
	if err != nil || !slices.Equal(to, c.Masked) {
		t.Fatal(to, err)
	}
	code := o.mail[0].Code.Reveal()
	if len(code) != verify.Digits || strings.Contains(c.Text, code) || !slices.Equal(c.Masked, []string{"k•••@gmail.com", "•••@x.org"}) {
		t.Errorf("code of %d digits, challenge %q, masked %v", len(code), c.Text, c.Masked)
	}
	other := s
	other.Verification = "v2"
	for name, ok := range map[string]bool{
		"right":              check(t, v, s, c.Text, code),
		"as typed":           check(t, v, s, c.Text, code[:4]+" "+code[4:]),
		"!wrong":             check(t, v, s, c.Text, flip(code)),
		"!empty":             check(t, v, s, c.Text, ""),
		"!other row":         check(t, v, other, c.Text, code),
		"!random":            check(t, v, s, "challenge", code),
		"!empty challenge":   check(t, v, s, "", ""),
		"!hash of nothing":   check(t, v, s, verify.Keyed(keys(1)()[0], "v1", ""), "x"),
		"after key rotation": check(t, New(&o, keys(2, 1)), s, c.Text, code),
		"!another hub's key": check(t, New(&o, keys(2)), s, c.Text, code),
	} {
		if ok == strings.HasPrefix(name, "!") {
			t.Errorf("%s: %v", name, ok)
		}
	}
}

func check(t *testing.T, v *Verifier, s verify.Subject, challenge, answer string) bool {
	t.Helper()
	got, err := v.Check(t.Context(), s, challenge, answer)
	if err != nil {
		t.Error(err)
	}
	return got.Right
}

func flip(code string) string { return string('0'+(code[0]-'0'+1)%10) + code[1:] }

func TestNoAddressNoCode(t *testing.T) {
	var o outbox
	v := New(&o, keys(1))
	s := verify.Subject{Contacts: protocol.Contacts{Primary: []string{"a@b.c"}}}
	if v.Usable(t.Context(), s) {
		t.Error("usable with nothing but the address that is being recovered")
	}
	if _, err := v.Open(t.Context(), s); err == nil || len(o.mail) > 0 {
		t.Errorf("sent to %d, error %v", len(o.mail), err)
	}
}

func TestAMailThatWasNotTakenIsAnErrorWithoutTheCode(t *testing.T) {
	o := outbox{err: errors.New("421 try later")}
	v := New(&o, keys(1))
	c, err := v.Open(t.Context(), verify.Subject{Contacts: protocol.Contacts{Mail: []string{"a@b.c"}}})
	if err != nil {
		t.Fatal(err)
	}
	_, err = c.Send(t.Context())
	if !errors.Is(err, o.err) || strings.Contains(err.Error(), o.mail[0].Code.Reveal()) {
		t.Errorf("error %v", err)
	}
	if text := fmt.Sprintf("%v %+v %#v", o.mail[0], o.mail[0], o.mail[0]); strings.Contains(text, o.mail[0].Code.Reveal()) {
		t.Error("a printed message shows the code")
	}
}

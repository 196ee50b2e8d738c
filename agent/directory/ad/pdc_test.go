package ad

import (
	"encoding/hex"
	"errors"
	"os"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func hexOf(b []byte) string { return hex.EncodeToString(b) }

func unhex(t *testing.T, s string) []byte {
	t.Helper()
	b, err := hex.DecodeString(s)
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// Accounts are looked at and changed at the PDC emulator, and at another controller
// while that is away.
func TestPasswordsAreSetAtThePDCEmulator(t *testing.T) {
	one, two := testenv.StartSambaPair(t)
	joiner := addPerson(t, one, "pdc.joiner")
	two.Pull(t, one)
	ca, err := os.ReadFile(two.CAFile)
	if err != nil {
		t.Fatal(err)
	}
	d := openAt(t, one, func(c *Config) { c.URLs, c.CA = []string{two.URL(), one.URL()}, ca })
	if got, err := d.Get(t.Context(), protocol.Ref{ID: joiner.ID}); err != nil || len(got) != 1 {
		t.Fatal(got, err)
	}
	one.Lock(t, joiner.DN) // the other controller has not heard of it
	if f, err := d.Facts(t.Context(), joiner.ID); err != nil || !f.Locked {
		t.Errorf("facts = %+v, %v", f, err)
	}
	c := change(t, d, joiner.ID, reset, "Fresh-start-2031")
	if !strings.Contains(c.Stamp, one.URL()) {
		t.Errorf("the stamp is of %s, want the PDC emulator %s", c.Stamp, one.URL())
	}
	if _, err := d.Perform(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := one.Bind(t, joiner.DN, "Fresh-start-2031"); err == nil || !strings.Contains(err.Error(), "data 773") {
		t.Errorf("the new password at the PDC emulator: %v", err)
	}
	one.Stop()
	if state, err := d.Settle(t.Context(), c); err == nil {
		t.Errorf("settled as %s at another controller", state)
	}
	c = change(t, d, joiner.ID, reset, "Fresh-start-2032")
	if !strings.Contains(c.Stamp, two.URL()) {
		t.Errorf("the stamp is of %s, want the one that is left", c.Stamp)
	}
	if _, err := d.Perform(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := two.Bind(t, joiner.DN, "Fresh-start-2032"); err == nil || !strings.Contains(err.Error(), "data 773") {
		t.Errorf("the new password at the other one: %v", err)
	}
}

func TestWhyTheAgentIsRefusedIsSaid(t *testing.T) {
	s := testenv.SharedSamba(t)
	for name, c := range map[string]struct {
		set  map[string][]string
		lock bool
		want directory.Refusal
	}{
		"bind.disabled": {set: map[string][]string{"userAccountControl": {"514"}}, want: directory.RefusedDisabled},
		"bind.ended":    {set: map[string][]string{"accountExpires": {"132000000000000000"}}, want: directory.RefusedExpired},
		"bind.change":   {set: map[string][]string{"pwdLastSet": {"0"}}, want: directory.RefusedMustChange},
		"bind.locked":   {lock: true, want: directory.RefusedLocked},
		"bind.nobody":   {want: directory.RefusedPassword},
	} {
		upn := name + "@corp.example"
		if c.set != nil || c.lock {
			dn, _ := s.AddPerson(t, "OU=Services,"+testenv.SambaBase, name, testenv.SambaServicePassword, nil)
			if c.set != nil {
				s.Set(t, dn, c.set)
			}
			if c.lock {
				s.Lock(t, dn)
			}
		}
		_, err := openAt(t, s, as(upn)).Describe(t.Context())
		var why directory.Refusal
		if !errors.As(err, &why) || why != c.want || protocol.CodeOf(err) != protocol.CodeServiceAuthentication {
			t.Errorf("%s: %v, %q; want %q", name, err, why, c.want)
		}
	}
	for number, r := range refusals {
		why, words := refusedSignIn(ldapconn.SignIn{Code: 49, Words: "80090308: LdapErr: DSID-0C0903A9, comment: AcceptSecurityContext error, data " + number + ", v1db1"})
		if why != r.why || words == "" {
			t.Errorf("data %s: %q, %q", number, why, words)
		}
	}
	if why, _ := refusedSignIn(ldapconn.SignIn{Words: "data ffff"}); why != "" {
		t.Errorf("an unknown number: %q", why)
	}
}

// A password that a person chose is held against history where the controller can do that;
// one that cannot, like Samba, is not asked to.
func TestT21_ChosenPasswordsObeyHistoryWhereTheControllerCan(t *testing.T) {
	for _, c := range []struct {
		listed []string
		want   string
	}{
		{[]string{"1.2.840.113556.1.4.319", "1.2.840.113556.1.4.2066", "1.2.840.113556.1.4.2239"}, "1.2.840.113556.1.4.2239"},
		{[]string{"1.2.840.113556.1.4.2066"}, "1.2.840.113556.1.4.2066"},
		{[]string{"1.2.840.113556.1.4.319"}, ""},
	} {
		got := hintsAmong(c.listed)
		if (len(got) == 1) != (c.want != "") || len(got) == 1 && (got[0].GetControlType() != c.want || !strings.Contains(got[0].String(), "true")) {
			t.Errorf("%v: %v, want %q", c.listed, got, c.want)
		}
	}
	s, d := open(t)
	id, upn, _ := person(t, s, "chooser", nil)
	c := change(t, d, id, []protocol.Task{{Operation: protocol.GetTemporaryPassword}}, "Chosen-by-a-person-1")
	c.Chosen = true
	if _, err := d.Perform(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	if err := s.Bind(t, upn, "Chosen-by-a-person-1"); err != nil {
		t.Error(err)
	}
}

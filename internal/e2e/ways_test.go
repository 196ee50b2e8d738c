package e2e

import (
	"fmt"
	"slices"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// choose chooses how to prove who one is, and waits for the page that asks.
func (j *journey) choose(method, then string) {
	j.t.Helper()
	j.b.WaitText("How would you like to prove that it is you?")
	j.b.Wait(`document.documentElement.dataset.ready`)
	j.b.Click("label:has([value=" + method + "])")
	j.b.Click("main form button")
	j.b.Wait(then)
}

const asksForACode = `document.querySelector('#code') && document.documentElement.dataset.ready`

func TestSeveralWaysToProveWhoOneIsInABrowser(t *testing.T) {
	t.Parallel()
	s := corp(t)
	ines, igor := hire(t, s, "ines", ""), hire(t, s, "igor", "")
	v := sharedEdge(t).environment(t, "ways", "ldap")
	conf := slapdAgent(s)
	conf.SMTP = fmt.Sprintf("host = %q\nfrom = \"recovery@corp.example\"\ntls = \"off\"", v.edge.mail.Addr())
	v.startAgent(conf)
	b := testenv.Chromium(t)
	b.Viewport(360, 740)

	t.Run("two in a combination", func(t *testing.T) {
		v.change(map[string]any{"methods": map[string]any{"default": [][]string{{"mail_code", "agent_code"}}}})
		j := v.on(b)
		j.start(ines.mail, "password")
		j.b.Type("#code", v.code(ines.private, 0))
		j.b.Click("main form button")
		j.b.WaitText("We sent a code to i•••@")
		j.prove(v.code(ines.private, 1))
		secret := j.reset()
		if err := s.WhoAmI(ines.dn, secret); err != nil {
			t.Errorf("after both codes: %v", err)
		}
		if got := ines.writes(t, s); !slices.Equal(got, []string{"modify"}) {
			t.Errorf("the directory logged %v", got)
		}
	})
	t.Run("one of two", func(t *testing.T) {
		v.change(map[string]any{"methods": map[string]any{"default": [][]string{{"mail_code"}, {"agent_code"}}}})
		j := v.on(b)
		j.b.Open(j.site + "/")
		j.b.Type("#email", igor.mail)
		j.b.Click("main button")
		j.b.WaitText("What do you need?")
		j.b.Click("label:has([value=password])")
		j.b.Click("main form button")
		j.choose("agent_code", asksForACode)
		first := v.code(igor.private, 0)
		j.b.Click("a[href$='/method']") // another way makes the first code void
		j.choose("mail_code", asksForACode)
		second := v.code(igor.private, 1)
		if first != second {
			j.b.Type("#code", first)
			j.b.Click("main form button")
			j.b.Wait(`document.querySelector('#code-error')`)
		}
		j.prove(second)
		secret := j.reset()
		if err := s.WhoAmI(igor.dn, secret); err != nil {
			t.Errorf("after the other code: %v", err)
		}
	})
}

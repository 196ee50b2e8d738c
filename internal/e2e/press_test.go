package e2e

import (
	"net/http"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// presses is how often the button is pressed at once.
const presses = 200

func TestP07_TwoHundredPressesAtOnceAreOneModify(t *testing.T) {
	t.Parallel()
	s := corp(t)
	greta := hire(t, s, "greta", "")
	v := sharedEdge(t).environment(t, "presses", "ldap")
	v.startAgent(slapdAgent(s))
	p := v.visit()
	p.begin(greta.mail, "password")
	p.prove(v.code(greta.private, 0))
	statuses := pressAtOnce(p, presses)
	for status, n := range statuses {
		if status != http.StatusOK {
			t.Errorf("%d presses were answered with %d", n, status)
		}
	}
	p.get("")
	secret := p.finish()
	if got := greta.writes(t, s); !slices.Equal(got, []string{"modify"}) {
		t.Errorf("the directory logged %v, want one modify", got)
	}
	if err := s.WhoAmI(greta.dn, secret); err != nil {
		t.Errorf("the temporary password does not sign in: %v", err)
	}
	if pressAtOnce(p, 20); len(greta.writes(t, s)) != 1 {
		t.Error("presses after the end changed the directory again")
	}
}

// pressAtOnce presses the button of the visitor's page n times at the same moment, each
// over a connection of its own, and counts the answers by status.
func pressAtOnce(p *visitor, n int) map[int]int {
	var mu sync.Mutex
	var all sync.WaitGroup
	counted, ready := map[int]int{}, make(chan struct{})
	for range n {
		one := *p
		all.Go(func() {
			<-ready
			one.press()
			mu.Lock()
			defer mu.Unlock()
			counted[one.status]++
		})
	}
	close(ready)
	all.Wait()
	return counted
}

func TestASecondTabOfTheSameSessionShowsTheSameResultAndResetsNothing(t *testing.T) {
	t.Parallel()
	s := corp(t)
	tilda := hire(t, s, "tilda", "")
	v := sharedEdge(t).environment(t, "tabs", "ldap")
	v.startAgent(slapdAgent(s))
	first := testenv.Chromium(t)
	j := v.on(first)
	j.start(tilda.mail, "password")
	j.prove(v.code(tilda.private, 0))
	second := first.Tab()
	k := v.on(second)
	second.Open(first.Eval("location.href"))
	second.Wait(`document.querySelector('#perform') && document.querySelector('[name=recipient]').value`)
	secret := j.reset()
	if again := k.reset(); again != secret {
		t.Error("the second tab shows another secret")
	}
	if got := tilda.writes(t, s); !slices.Equal(got, []string{"modify"}) {
		t.Errorf("the directory logged %v, want one modify", got)
	}
	if err := s.WhoAmI(tilda.dn, secret); err != nil {
		t.Errorf("the temporary password does not sign in: %v", err)
	}
	j.acknowledge(secret)
	second.Reload()
	second.Wait(`document.documentElement.dataset.ready`)
	if strings.Contains(second.Text(), secret) {
		t.Error("the second tab still shows what the first one acknowledged")
	}
}

package e2e

import (
	"net/http"
	"slices"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
)

// A hub hears of a real agent at a real directory what is true, and at most six times an
// hour.
func TestT33_AHubAsksAnAgentHowItIsAndHearsWhatIsTrue(t *testing.T) {
	t.Parallel()
	s := testenv.StartSlapd(t, testenv.SlapdOptions{})
	v := sharedEdge(t).environment(t, "examined", "ldap")
	v.startAgent(slapdAgent(s))
	agents := "/api/directories/" + v.directory + "/agents"
	var list struct{ Agents []struct{ ID string } }
	v.do(http.MethodGet, agents, nil, &list)
	if len(list.Agents) != 1 {
		t.Fatalf("%+v", list)
	}
	path := agents + "/" + list.Agents[0].ID + "/examine"
	says := func(want ...string) {
		t.Helper()
		var e struct {
			Directory, Bases, Disk string
			Findings               []struct{ Number int }
		}
		v.do(http.MethodPost, path, nil, &e)
		if got := []string{e.Directory, e.Bases, e.Disk}; !slices.Equal(got, want) || (len(e.Findings) > 0) != (e.Directory != "serves") {
			t.Errorf("%v, findings %v; want %v", got, e.Findings, want)
		}
	}
	says("serves", "found", "enough")
	s.Stop()
	says("away", "unknown", "enough")
	s.Start(t)
	for range 4 {
		v.do(http.MethodPost, path, nil, nil)
	}
	if status, _, err := v.try(http.MethodPost, path, nil); err != nil || status != http.StatusTooManyRequests {
		t.Errorf("the seventh time: %d, %v", status, err)
	}
}

package agent

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/protocol"
)

// A hub may start a fixed part of doctor: its answers are words of a closed list, whatever
// is wrong, six times an hour, and nothing of an account or a right is among them.
func TestT33_HubMayAskHowTheAgentIsAndGetsWordsOfAClosedList(t *testing.T) {
	r := newRig(t, rulesOfTests)
	clock := time.Now()
	r.service.now = func() time.Time { return clock }
	for err, want := range map[error]protocol.ExaminedDirectory{
		nil: protocol.DirectoryServes,
		protocol.Err(protocol.CodeServiceAuthentication, "canary: cn=agent has a wrong password"): protocol.DirectoryRefuses,
		protocol.Err(protocol.CodeUnavailable, "canary: no connection to ldaps://dc1"):            protocol.DirectoryAway,
		errors.New("canary"): protocol.DirectoryBroken,
	} {
		r.company.down = err
		got, failed := ask[protocol.Examination](t, r.service, protocol.MethodExamine, map[string]any{"account": accountID(1), "paste": true})
		text, _ := json.Marshal(got)
		if failed != nil || got.Directory != want || got.Bases != protocol.BasesUnknown || got.Disk == "" || strings.Contains(string(text), "canary") {
			t.Errorf("%v: %s, %v", err, text, failed)
		}
	}
	r.company.down = nil
	for i := range 4 {
		_, err := ask[protocol.Examination](t, r.service, protocol.MethodExamine, protocol.Empty{})
		if limited := protocol.CodeOf(err) == protocol.CodeRateLimited; limited != (i >= 2) {
			t.Errorf("examination %d: %v", i+5, err)
		}
	}
	clock = clock.Add(time.Hour)
	if _, err := ask[protocol.Examination](t, r.service, protocol.MethodExamine, protocol.Empty{}); err != nil {
		t.Errorf("an hour later: %v", err)
	}
	if r.company.writes(t) != 0 {
		t.Error("an examination changed an account")
	}
}

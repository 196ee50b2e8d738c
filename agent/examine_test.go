package agent

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/doctor"
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

// What a hub shows of an answer is what this machine says of it.
func TestTheHubsWordsOfFindingsAreThoseOfTheAgentsTable(t *testing.T) {
	worst := []protocol.Examination{
		{Directory: protocol.DirectoryAway, Bases: protocol.BasesMissing, Disk: protocol.DiskFull},
		{Directory: protocol.DirectoryUntrusted, Disk: protocol.DiskLow}, {Directory: protocol.DirectoryRefuses}, {Directory: protocol.DirectoryBroken},
	}
	seen := 0
	for _, e := range worst {
		for _, f := range e.Findings() {
			row := doctor.ByNumber(f.Number)
			if row.Number == 0 || f.Fix != row.Fix || f.Page != row.Page() {
				t.Errorf("%+v, want %+v", f, row)
			}
			seen++
		}
	}
	if well := (protocol.Examination{Directory: protocol.DirectoryServes, Bases: protocol.BasesFound, Disk: protocol.DiskEnough}); seen != 7 || well.Findings() != nil {
		t.Errorf("%d findings; well: %+v", seen, well.Findings())
	}
	if odd := (protocol.Examination{Directory: "<b>", Bases: "x", Disk: "y"}).Known(); odd != (protocol.Examination{Directory: protocol.DirectoryBroken, Bases: protocol.BasesUnknown, Disk: protocol.DiskUnknown}) {
		t.Errorf("words of nobody's: %+v", odd)
	}
}

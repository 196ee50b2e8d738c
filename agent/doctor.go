package agent

import (
	"context"
	"fmt"
	"log/slog"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/doctor"
)

// examineLife bounds each step of Doctor.
const examineLife = 30 * time.Second

// Areas of a report.
const (
	areaMachine   = "this machine"
	areaHub       = "hub"
	areaDirectory = "directory"
	areaAccount   = "account"
	areaGuard     = "guard"
	areaEvidence  = "evidence and messages"
)

// An examination walks through everything that the agent needs and changes nothing.
type examination struct {
	*doctor.Report
	o       Options
	account string       // "" for one of the first page
	running bool         // another process holds the state folder: the agent
	release func() error // gives the journal back
}

// Doctor looks at machine, hub, directory, rights, guard, evidence and mail, lists one page
// and dry-runs the allowed operations on one account: the one that account names by
// immutable id or identifier, else one of the first page. It changes nothing anywhere,
// and works beside a running agent. The report may name the account: it is for the
// administrator of this machine.
func Doctor(ctx context.Context, o Options, account string) *doctor.Report {
	if o.Log == nil {
		o.Log = slog.New(slog.DiscardHandler)
	}
	x := &examination{Report: &doctor.Report{Version: o.Version, Time: time.Now()}, o: o, account: account}
	id := x.machine()
	x.hub(ctx, id)
	if x.release != nil {
		_ = x.release() // nothing was written
	}
	x.directory(ctx)
	x.evidence()
	x.sinks()
	x.mail(ctx)
	x.sms()
	return x.Report
}

// ok notes a step that is well.
func (x *examination) ok(area, what, format string, args ...any) {
	x.OK(area, what, withoutAddresses(fmt.Sprintf(format, args...)))
}

// found notes a finding with the words of an error.
func (x *examination) found(area, what string, number int, err error) {
	x.Found(area, what, number, doctor.OneLine(withoutAddresses(strings.TrimPrefix(err.Error(), "agent: "))))
}

package console

import (
	"context"
	"errors"
	"net/http"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// examinePath is what the status page's button sends to.
const examinePath = root + "/agents/examine"

// examined is what an agent says of itself, in words of a closed list.
type examined struct {
	Agent, Directory string
	Says             *protocol.Examination // nil: it gave no answer
	Wrong            string                // key of why
}

// A fact is one line of the page. Health is that of directories: ok, wait, bad.
type fact struct{ Name, Word, Health string }

// Facts are what was looked at, as keys.
func (e examined) Facts() []fact {
	worst := func(good bool, unknown bool) string {
		switch {
		case good:
			return "ok"
		case unknown:
			return "wait"
		}
		return "bad"
	}
	s := e.Says
	return []fact{
		{"directory", string(s.Directory), worst(s.Directory == protocol.DirectoryServes, false)},
		{"bases", string(s.Bases), worst(s.Bases == protocol.BasesFound, s.Bases == protocol.BasesUnknown)},
		{"disk", string(s.Disk), worst(s.Disk == protocol.DiskEnough, s.Disk != protocol.DiskFull)},
	}
}

// notExamined are the keys of why an agent gives no answer.
var notExamined = map[protocol.Code]string{
	protocol.CodeRateLimited: "console.examine.often", protocol.CodeUnsupported: "console.examine.cannot", protocol.CodeUnavailable: "console.examine.away",
}

// examine asks one agent how it is, and shows that. What it said stands in the audit log.
func (v *visit) examine() {
	ctx, cancel := v.context()
	defer cancel()
	env := v.field("env")
	if err := v.owns(ctx, env); err != nil {
		v.fail(err)
		return
	}
	a, d, err := v.agent(ctx, env)
	if errors.Is(err, store.ErrNotFound) {
		err = errNoPage
	}
	if err != nil {
		v.fail(err)
		return
	}
	e := &examined{Agent: a.Name, Directory: nameOf(d)}
	said, err := v.console.cfg.Agents.Examine(ctx, env, a.Directory, a.ID)
	switch e.Wrong = notExamined[protocol.CodeOf(err)]; {
	case err == nil:
		e.Says = &said
		err = v.recordExamined(ctx, a, said)
	case e.Wrong != "":
		err = nil
	}
	if err != nil {
		v.fail(err)
		return
	}
	s := v.screen()
	s.Title, s.Examined, s.SignedIn = s.T("console.examine.title", "agent", e.Agent), e, true
	v.show(http.StatusOK, "examine", s)
}

// agent finds what the form names, if it is the environment's.
func (v *visit) agent(ctx context.Context, env string) (a store.Agent, d store.Directory, err error) {
	err = v.console.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		if a, err = tx.Agent(ctx, env, v.field("agent")); err != nil {
			return err
		}
		d, err = tx.Directory(ctx, env, a.Directory)
		return err
	})
	return a, d, err
}

func (v *visit) recordExamined(ctx context.Context, a store.Agent, said protocol.Examination) error {
	return audit.Write(ctx, v.console.cfg.Store, audit.Event{Env: a.Env, Kind: audit.AgentExamined, Actor: v.actor(),
		Detail: map[string]any{"directory": a.Directory, "agent": a.ID, "says": said}})
}

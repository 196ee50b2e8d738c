package agent

import (
	"context"
	"fmt"
	"strings"
	"time"

	"github.com/postern-id/postern/agent/doctor"
	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/agent/settings"
)

// evidence reads what the file names, as the agent does when it starts.
func (x *examination) evidence() {
	e := x.o.Config.Evidence
	if !e.On() {
		x.Found(areaEvidence, "evidence", doctor.HubAlone, "the file asks for no evidence that the agent checks itself")
		return
	}
	checker, err := proof.Open(e)
	if err == nil {
		_, err = newVeto(e)
	}
	if err != nil {
		x.found(areaEvidence, "evidence", doctor.EvidenceSettings, err)
		return
	}
	people, err := known.Approvers(x.o.Config.StateDir)
	if err != nil {
		x.found(areaEvidence, "approvers", doctor.ApproversUnread, err)
		return
	}
	x.ok(areaEvidence, "evidence", "%d groups, %d issuers, %d providers, %d approvers", len(e.Groups), checker.Issuers(), len(e.Providers), len(people))
}

// mail signs in to the mail server and sends nothing.
func (x *examination) mail(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, examineLife)
	defer cancel()
	cfg := x.o.Config
	m, err := newMailer(cfg.SMTP)
	switch {
	case err != nil:
		x.found(areaEvidence, "mail", doctor.MailAway, err)
	case m == nil && len(cfg.Guard.SensitiveGroups) > 0 && !cfg.SMS.on() && !cfg.Evidence.On():
		x.Found(areaEvidence, "mail", doctor.SensitiveNoRoute, "guard.sensitive_groups is set, and the agent has no way to ask for a code")
	case m == nil:
		x.ok(areaEvidence, "mail", "no route of its own; the hub sends the codes")
	default:
		if err := m.probe(ctx); err != nil {
			x.found(areaEvidence, "mail", doctor.MailAway, err)
			return
		}
		x.ok(areaEvidence, "mail", "%s accepts this agent", cfg.SMTP.Host)
	}
}

// sms reads what a message needs, and sends none: it would cost money.
func (x *examination) sms() {
	cfg := x.o.Config.SMS
	t, err := newTexter(cfg, time.Now)
	if t == nil && err == nil {
		return
	}
	if err == nil && cfg.SecretFile != "" {
		_, err = settings.ReadSecret(cfg.SecretFile)
	}
	if err != nil {
		x.found(areaEvidence, "text messages", doctor.MessagesSettings, err)
		return
	}
	x.ok(areaEvidence, "text messages", "%s", fmt.Sprintf("codes go to numbers that begin with %s; none was sent now", strings.Join(cfg.Prefixes, ", ")))
}

package agent

import (
	"context"
	"crypto/rsa"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"io"
	"os"
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
	x.anchors(e.Trust)
	x.ok(areaEvidence, "evidence", "%d groups, %d issuers, %d providers, %d approvers", len(e.Groups), checker.Issuers(), len(e.Providers), len(people))
}

// maxAnchors bounds what is read of one file of authorities.
const maxAnchors = 4 << 20

// anchors looks at the certificates that documents are checked against.
func (x *examination) anchors(files []string) {
	for _, path := range files {
		f, err := os.Open(path)
		if err != nil {
			return // named already
		}
		text, _ := io.ReadAll(io.LimitReader(f, maxAnchors)) // what could not be read was named, too
		_ = f.Close()
		for block, rest := pem.Decode(text); block != nil; block, rest = pem.Decode(rest) {
			c, err := x509.ParseCertificate(block.Bytes)
			if err != nil {
				continue
			}
			if why := weakness(c, time.Now()); why != "" {
				x.Found(areaEvidence, "evidence.trust", doctor.AnchorWeak, path+": "+why, doctor.Chain([]*x509.Certificate{c})...)
			}
		}
	}
}

// leastRSA is the shortest RSA key that may still sign (NIST SP 800-131A).
const leastRSA = 2048

// weakness says why a certificate is no anchor to rest on; "" if it is one.
func weakness(c *x509.Certificate, now time.Time) string {
	key, isRSA := c.PublicKey.(*rsa.PublicKey)
	switch {
	case now.After(c.NotAfter):
		return "it has ended"
	case isRSA && key.N.BitLen() < leastRSA:
		return fmt.Sprintf("its RSA key has %d bits", key.N.BitLen())
	case c.SignatureAlgorithm == x509.SHA1WithRSA || c.SignatureAlgorithm == x509.ECDSAWithSHA1 || c.SignatureAlgorithm == x509.MD5WithRSA:
		return "it is signed with " + c.SignatureAlgorithm.String()
	}
	return ""
}

// sinks looks whether what was seen of the audit log outlives this machine.
func (x *examination) sinks() {
	sinks := x.o.Config.Log.Sinks
	for _, s := range sinks {
		if s != "file" {
			x.ok(areaEvidence, "log.sinks", "%s", strings.Join(sinks, ", "))
			return
		}
	}
	x.Found(areaEvidence, "log.sinks", doctor.WitnessedHere, "only the file in the state folder")
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

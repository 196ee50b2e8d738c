package provider

import (
	"context"
	"errors"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
)

// A Fault is why a provider cannot be used now, as an administrator is told.
type Fault string

// The faults.
const (
	FaultNone       Fault = ""
	FaultName       Fault = "name"       // its name is not known
	FaultReach      Fault = "reach"      // nobody answers there, or the hub may not go there
	FaultDocument   Fault = "document"   // there is no discovery document, or it cannot be read
	FaultIssuer     Fault = "issuer"     // it says that it is another issuer
	FaultEndpoint   Fault = "endpoint"   // an endpoint is missing, or not on https
	FaultKeys       Fault = "keys"       // it has no keys that can be read
	FaultChallenges Fault = "challenges" // it does not take PKCE with S256
)

// Found is what a provider says of itself.
type Found struct {
	Fault    Fault
	Detail   string // of the fault, for administrators
	Keys     int    // that sign
	Pushed   bool   // it takes requests behind the browser's back (RFC 9126)
	Verified bool   // it can be asked for verified_claims
}

// probeTime bounds a probe: an administrator waits for it.
const probeTime = 10 * time.Second

// Probe fetches now what an issuer says of itself, and its keys. Nothing is remembered.
func (v *Verifier) Probe(ctx context.Context, issuer string) Found {
	ctx, cancel := context.WithTimeout(ctx, probeTime)
	defer cancel()
	p, err := oidc.NewProvider(oidc.ClientContext(ctx, v.cfg.Client), issuer)
	if err != nil {
		return failed(err)
	}
	d := discovered{endpoint: p.Endpoint()}
	if err := p.Claims(&d.more); err != nil {
		return Found{Fault: FaultDocument, Detail: err.Error()}
	}
	if err := d.check(issuer); err != nil {
		return Found{Fault: FaultEndpoint, Detail: err.Error()}
	}
	if len(d.more.Challenge) > 0 && !slices.Contains(d.more.Challenge, "S256") {
		return Found{Fault: FaultChallenges, Detail: strings.Join(d.more.Challenge, ", ")}
	}
	keys, err := v.keys(ctx, d.more.JWKS)
	if err != nil {
		return Found{Fault: FaultKeys, Detail: hide(err).Error()}
	}
	if len(keys.Keys) == 0 {
		return Found{Fault: FaultKeys}
	}
	return Found{Keys: len(keys.Keys), Pushed: d.more.PAR != "", Verified: d.more.Claims}
}

// failed says why there is no discovery document. The client's library tells the cases
// apart in words only.
func failed(err error) Found {
	f := Found{Fault: FaultDocument, Detail: short(hide(err).Error())}
	var outside *url.Error
	var name *net.DNSError
	switch {
	case errors.As(err, &name):
		f.Fault = FaultName
	case errors.As(err, &outside):
		f.Fault = FaultReach
	case strings.Contains(err.Error(), "did not match the issuer"):
		f.Fault = FaultIssuer
	}
	return f
}

// maxDetail bounds what is shown of an answer of somebody else's, in bytes.
const maxDetail = 200

func short(text string) string {
	text = strings.Join(strings.Fields(strings.ToValidUTF8(text, "")), " ")
	if len(text) > maxDetail {
		text = strings.ToValidUTF8(text[:maxDetail], "") + "…"
	}
	return text
}

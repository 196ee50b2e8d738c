package console

import (
	"context"
	"net/http"
	"net/netip"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
)

// admitsOnly sets from where the organisation lets people in.
func (g *rig) admitsOnly(list ...string) {
	g.t.Helper()
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		o, err := tx.Organisation(ctx, g.Env.Org)
		o.Allowed = nil
		for _, p := range list {
			o.Allowed = append(o.Allowed, netip.MustParsePrefix(p))
		}
		if err != nil {
			return err
		}
		return tx.UpdateOrganisation(ctx, o)
	})
}

// forged says in every known header that the request comes from an address of the list.
func forged(r *http.Request) {
	for _, h := range []string{"X-Forwarded-For", "X-Real-IP", "Forwarded", "CF-Connecting-IP", "True-Client-IP"} {
		r.Header.Set(h, "192.0.2.7")
	}
}

func TestT35_TheConsoleIsReachedOnlyFromTheAddressesOfItsOrganisation(t *testing.T) {
	const refused = "You cannot come in from this address"
	g := newRig(t)
	owner := g.signedIn()
	ann := g.admin()
	key := g.joined(ann, g.invited(owner, staff.Owner, "ann@acme.example"))
	enter := func() *admin {
		ann.get("/console").sees(403, "Sign in with my passkey")
		form := url.Values{"form": {hidden.FindStringSubmatch(ann.body)[2]}, "answer": {string(key.Assert(challenge(t, ann.body)))}}
		return ann.do(http.MethodPost, "/console/enter", form, forged)
	}
	g.admitsOnly("192.0.2.0/24")
	enter().sees(403, refused, "asked for from ")
	if !strings.Contains(ann.body, "from 127.0.0.1.") && !strings.Contains(ann.body, "from ::1.") {
		t.Errorf("the address that was seen is not named: %s", ann.body)
	}
	refusals := g.audited(audit.ConsoleRefused)
	enter().sees(403, refused) // in the same minute
	if n := len(g.audited(audit.ConsoleRefused)); len(refusals) != 1 || n > 2 {
		t.Errorf("%d refusals are logged, then %d", len(refusals), n)
	}
	if r := refusals[0]; r.Actor.OrgMember == "" || r.RemoteAddr == "" || r.RemoteAddr == "192.0.2.7" {
		t.Errorf("%+v", r)
	}
	g.ahead(time.Minute)
	enter().sees(403, refused)
	later := len(g.audited(audit.ConsoleRefused))
	if later < 2 || later > 3 {
		t.Errorf("%d refusals are logged a minute later", later)
	}
	g.admitsOnly("192.0.2.0/24", "127.0.0.0/8", "::1/128")
	enter().sees(200, "Is recovery working?")
	token := hidden.FindStringSubmatch(ann.body)[2]
	signins := len(g.audited(audit.ConsoleSignin))

	g.admitsOnly("192.0.2.0/24") // and whoever is signed in already is held, too
	for _, r := range table() {
		if r.least == open {
			continue
		}
		path := strings.NewReplacer("{env}", g.Env.ID, "{directory}", g.Directory.ID, "{rule}", "new", "{provider}", "new", "{delivery}", "x", "{destination}", "new", "{client}", "new-openid", "{id}", "x", "{kind}", "x", "{key}", "x").Replace(r.pattern)
		if r.get != nil {
			ann.do(http.MethodGet, path, nil, forged).sees(403, refused)
		}
		switch {
		case r.pattern == trustPath: // its form brings a file
			ann.upload(path, url.Values{"form": {token}}, []byte("x")).sees(403, refused)
		case r.post != nil:
			ann.do(http.MethodPost, path, url.Values{"form": {token}}, forged).sees(403, refused)
		}
	}
	if n := len(g.audited(audit.ConsoleRefused)); n < later || n > later+2 { // though every page was asked for
		t.Errorf("%d refusals are logged, %d before", n, later)
	}
	if n := len(g.audited(audit.ConsoleSignin)); n != signins {
		t.Errorf("%d sign-ins are logged, want %d", n, signins)
	}
	owner.get("/console").sees(200) // by the link of the hub's own machine
	g.signedIn().get("/console/settings").sees(200)
	g.admitsOnly()
	ann.get("/console").sees(200, "Is recovery working?")
}

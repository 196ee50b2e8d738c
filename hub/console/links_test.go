package console

import (
	"errors"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/token"
	"github.com/postern-id/postern/internal/testenv"
)

// life is how long links of the rig's environment admit at most.
func (g *rig) life() time.Duration {
	g.t.Helper()
	life, err := g.store.LinkLife(g.t.Context(), g.Env.ID)
	if err != nil {
		g.t.Fatal(err)
	}
	return life
}

func TestAnAdministratorSaysHowLongPresignedLinksAdmit(t *testing.T) {
	g := newRig(t)
	path := "/console/settings/" + g.Env.ID + "/links"
	a := g.as(g.signedIn(), staff.Admin)
	a.get("/console/settings").sees(200, path)
	for _, c := range []struct {
		typed, shown string
		life         time.Duration
	}{{"168h", "168h", 168 * time.Hour}, {" 90m ", "1h30m", 90 * time.Minute}, {"1m", "1m", time.Minute}, {"720h", "720h", 720 * time.Hour}, {"100s", "1m40s", 100 * time.Second}, {"", "", 0}} {
		a.get(path).fill(path, `value="save"`, url.Values{"do": {"save"}, "max_link_ttl": {c.typed}}).sees(200, "Saved", `value="`+c.shown+`"`)
		if g.life() != c.life {
			t.Errorf("%q: %s, want %s", c.typed, g.life(), c.life)
		}
	}
	rows := g.audited(audit.EnvUpdated)
	if len(rows) != 6 || !strings.Contains(string(rows[0].Detail)+string(rows[5].Detail), `"max_link_ttl":"168h0m0s"`) {
		t.Errorf("%d rows: %s", len(rows), rows[0].Detail)
	}
}

func TestATimeThatLinksCannotAdmitIsRefusedWithWhatWould(t *testing.T) {
	g := newRig(t)
	path := "/console/settings/" + g.Env.ID + "/links"
	a := g.signedIn()
	for _, typed := range []string{"721h", "59s", "-1h", "90.5s", "soon", "24", "0", "7d"} {
		a.get(path).fill(path, `value="save"`, url.Values{"do": {"save"}, "max_link_ttl": {typed}}).
			sees(422, "type hours, minutes or seconds from 1m to 720h", `value="`+typed+`"`, `href="#max_link_ttl"`, `aria-invalid="true"`)
	}
	a.get(path).fill(path, `value="save"`, url.Values{"do": {"other"}, "max_link_ttl": {"1h"}}).sees(404)
	stale := a.get(path).form(path, `value="save"`, url.Values{"do": {"save"}, "max_link_ttl": {"2h"}})
	a.fill(path, `value="save"`, url.Values{"do": {"save"}, "max_link_ttl": {"3h"}}).sees(200)
	a.do(http.MethodPost, path, stale).sees(422, "Somebody else changed these settings meanwhile")
	if g.life() != 3*time.Hour {
		t.Errorf("%s", g.life())
	}
	other := storetest.Seed(t, g.store)
	a.get("/console/settings/" + other.Env.ID + "/links").sees(404)
	a.do(http.MethodPost, "/console/settings/"+other.Env.ID+"/links", stale).sees(404)
	bob := g.as(a, staff.User)
	bob.get(path).sees(403)
}

// What is typed here is what a link is judged by when it is opened.
func TestT32_ALowerTimeInTheConsoleEndsLinksThatWereMadeBefore(t *testing.T) {
	g := newRig(t)
	path := "/console/settings/" + g.Env.ID + "/links"
	now := time.Now()
	links := token.Links{Keys: g.store, Now: func() time.Time { return now }}
	text, _, err := links.Mint(t.Context(), token.Issue{Env: g.Env.ID, Request: token.Request{Email: "ada@acme.example", TTL: policy.Duration(24 * time.Hour)}})
	if err != nil {
		t.Fatal(err)
	}
	now = now.Add(2 * time.Hour)
	if _, err := links.Verify(t.Context(), g.Env.ID, text); err != nil {
		t.Fatal(err)
	}
	g.signedIn().get(path).fill(path, `value="save"`, url.Values{"do": {"save"}, "max_link_ttl": {"1h"}}).sees(200, "Saved")
	if _, err := links.Verify(t.Context(), g.Env.ID, text); !errors.Is(err, token.ErrInvalid) {
		t.Errorf("a link of two hours admits: %v", err)
	}
}

func TestPresignedLinksInABrowser(t *testing.T) {
	g := newRig(t)
	b := testenv.Chromium(t)
	b.Open(g.url + g.newLink())
	b.Click("main form button")
	b.WaitText("Is recovery working?")
	b.Open(g.url + "/console/settings/" + g.Env.ID + "/links?lang=de")
	looked(t, b, "links")
	b.Type("#max_link_ttl", "immer")
	b.Click("[value=save]")
	b.Wait(`document.querySelector('[aria-invalid=true]')`)
	looked(t, b, "links-wrong")
}

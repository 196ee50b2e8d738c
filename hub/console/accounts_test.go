package console

import (
	"context"
	"errors"
	"math"
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
)

// shutOut adds an account that failed so many proofs and whose owner objected.
func (g *rig) shutOut(id, address string, failures int) (a store.Account) {
	g.t.Helper()
	g.Accounts(g.t, g.store, protocol.Account{ID: id, Name: "Ada Lovelace", Identifiers: []string{address}})
	g.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		if a, err = tx.AccountOf(ctx, g.Env.ID, g.Directory.ID, id); err != nil {
			return err
		}
		until := time.Now().Add(time.Hour)
		if failures >= 100 {
			until = time.UnixMilli(math.MaxInt64 / 1000)
		}
		return errors.Join(tx.BlockRecovery(ctx, a.Env, a.Directory, id, time.Now().Add(time.Hour)),
			tx.SaveProofCounter(ctx, a.Env, "account:"+a.Directory+"/"+id, "mail_code", "recovery", store.ProofCounter{Total: failures, CoolUntil: until}))
	})
	return a
}

func TestP10_WhoIsShutOutIsLookedUpAndLetInAgain(t *testing.T) {
	g := newRig(t)
	g.shutOut("7", "ada@acme.example", 100)
	a := g.signedIn()
	a.send("/console/accounts", url.Values{"q": {"nobody@acme.example"}}).sees(200, "No account of this environment")
	a.get("/console").send("/console/accounts", url.Values{"q": {"ADA@acme.example"}})
	a.sees(200, "Ada Lovelace", "A hundred codes were wrong", "this was not me")
	a.send("/console/accounts/reopen", nil).sees(200, "this was not me")
	if strings.Contains(a.body, "A hundred codes") {
		t.Error("still stopped")
	}
	a.send("/console/accounts/unblock", nil).sees(200, "Nothing keeps this account from being recovered")
	rows, err := store.Get(t.Context(), g.store, func(tx *store.Tx) ([]audit.Record, error) {
		return audit.List(t.Context(), tx, g.Env.Org, store.AuditFilter{Count: 10, Kinds: []string{string(audit.RecoveryReopened), string(audit.RecoveryUnblocked)}})
	})
	if err != nil || len(rows) != 2 {
		t.Errorf("audit rows %v, %v; want one for each decision", rows, err)
	}
	g.shutOut("8", "ben@acme.example", 10)
	a.get("/console").send("/console/accounts", url.Values{"q": {"ben@acme.example"}}).sees(200, "Ten codes were wrong within a day")
}

func TestT25_AnAccountIsDecidedAboutInItsOwnEnvironmentOnly(t *testing.T) {
	g := newRig(t)
	mine := g.shutOut("7", "ada@acme.example", 100)
	a := g.signedIn()
	token := hidden.FindStringSubmatch(a.body)[2]
	var other store.Environment
	g.tx(func(ctx context.Context, tx *store.Tx) (err error) {
		other, err = tx.CreateEnvironment(ctx, store.Environment{Org: g.Env.Org, Name: "staging"})
		return err
	})
	for _, path := range []string{"/console/accounts/reopen", "/console/accounts/unblock"} {
		a.do(http.MethodPost, path, url.Values{"form": {token}, "env": {other.ID}, "account": {mine.ID}}).sees(404)
	}
	a.get("/console").send("/console/accounts", url.Values{"q": {"ada@acme.example"}}).sees(200, "A hundred codes were wrong", "blocked until")
}

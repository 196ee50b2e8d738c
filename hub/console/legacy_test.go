package console

import (
	"context"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store"
)

func TestT24_ADirectoryOfThePublicProtocolSaysThatNoCodeArrives(t *testing.T) {
	g := newRig(t)
	a := g.signedIn()
	const warning = "No mailed code can be completed here"
	if strings.Contains(a.body, warning) {
		t.Error("said of a directory that nobody serves")
	}
	g.tx(func(ctx context.Context, tx *store.Tx) error {
		return tx.SetLegacyToken(ctx, g.Env.ID, g.Directory.ID, store.HashToken("token"))
	})
	a.get("/console").sees(200, warning, "Enrol postern-agent")
	g.enrol("dc-agent-1", 1)
	if a.get("/console"); strings.Contains(a.body, warning) {
		t.Error("said of a directory with an enrolled agent")
	}
}

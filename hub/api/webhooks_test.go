package api

import (
	"context"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/store"
	hooks "github.com/postern-id/postern/hub/webhook"
)

// Every event that is sent can be subscribed to, by its name in the one vocabulary, and is
// queued for whoever did.
func TestEveryEventCanBeSubscribedToAndIsQueuedForWhoeverDid(t *testing.T) {
	st := lite(t)
	path := "/api/envs/" + st.mine.Env.ID
	for _, e := range hooks.Events {
		st.want(t, 204, "PATCH", path, `{"add_webhooks":[{"url":"https://hooks.test/`+string(e)+`","events":["`+string(e)+`"]}]}`)
	}
	bells, err := hooks.New(hooks.Config{Store: st.store})
	if err != nil {
		t.Fatal(err)
	}
	var queued []store.Delivery
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		err := bells.ManualVerificationRevoked(ctx, tx, st.mine.Env.ID, hooks.Revocation{ID: "m1", ExternalID: "a1", Reason: "a voice like hers"})
		if err == nil {
			queued, err = tx.Deliveries(ctx, st.mine.Env.ID, 10)
		}
		return err
	})
	if len(queued) != 1 || queued[0].Event != "manual_verification_revoked" || !strings.Contains(queued[0].Body, "a voice like hers") {
		t.Errorf("queued: %+v", queued)
	}
}

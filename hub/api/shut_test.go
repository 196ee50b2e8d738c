package api

import (
	"context"
	"errors"
	"math"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
)

func TestP10_AnAdministratorOpensWhatFailedProofsAndOwnersShut(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st := start(t, s)
		a := st.mine.account
		path := "/api/accounts/" + a.ID + "/recovery"
		says := func(want ...string) {
			t.Helper()
			got := st.want(t, 200, "GET", path, "")
			for _, w := range want {
				if !strings.Contains(got.body, w) {
					t.Errorf("no %s in %s", w, got.body)
				}
			}
			if (got.body == `{"stopped":false}`) != (len(want) == 0) {
				t.Errorf("%s, want %v", got.body, want)
			}
		}
		says()
		shut := func(total int, until time.Time) {
			st.tx(t, func(ctx context.Context, tx *store.Tx) error {
				return errors.Join(tx.BlockRecovery(ctx, a.Env, a.Directory, a.ImmutableID, time.Now().Add(time.Hour)),
					tx.SaveProofCounter(ctx, a.Env, "account:"+a.Directory+"/"+a.ImmutableID, "mail_code", "recovery",
						store.ProofCounter{Total: total, WindowAt: time.Now(), CoolUntil: until}))
			})
		}
		shut(10, time.Now().Add(time.Hour))
		says(`"closed_until":`, `"blocked_until":`, `"stopped":false`)
		st.want(t, 204, "DELETE", path+"/block", "")
		says(`"closed_until":`)
		st.want(t, 204, "DELETE", path+"/stop", "")
		says()
		shut(100, time.UnixMilli(math.MaxInt64/1000))
		says(`"blocked_until":`, `"stopped":true`)
		st.want(t, 204, "DELETE", path+"/stop", "")
		says(`"blocked_until":`)
	})
}

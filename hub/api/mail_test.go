package api

import (
	"context"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/notify"
	"github.com/postern-id/postern/hub/store"
)

func TestAMailThatIsSentAsATestTellsWhatTheServerAnswered(t *testing.T) {
	st := lite(t)
	path := "/api/envs/" + st.mine.Env.ID + "/mail"
	got := st.want(t, 200, "POST", path+"/test", `{"to":"ada@home.example"}`)
	if got.member(t, "taken") != true || !strings.HasPrefix(got.member(t, "answer").(string), "250 ") || got.member(t, "server") != st.mail.Addr() || len(st.mail.Messages()) != 1 {
		t.Errorf("a server that takes mails: %s", got.body)
	}
	words := "5.7.1 <ada@home.example>: Relay access denied"
	st.refusal.Store(&words)
	for range 3 {
		got = st.want(t, 200, "POST", path+"/test", `{"to":"ada@home.example"}`)
	}
	if got.member(t, "taken") != false || got.member(t, "answer") != "554 "+words || got.member(t, "step") != "recipient" || !strings.Contains(got.body, "relay") {
		t.Errorf("one that does not: %s", got.body)
	}
	if got = st.want(t, 200, "GET", path, ""); !strings.Contains(got.body, `"reason":"answer 554 5.7.1"`) || !strings.Contains(got.body, `"node":"edge1"`) || strings.Contains(got.body, "ada@") || !strings.Contains(got.body, `"next":"Several`) {
		t.Errorf("status: %s", got.body)
	}
	st.want(t, 400, "POST", path+"/test", `{"to":"ada"}`)
	if err := st.notifier.SetRoute(notify.Route{}); err != nil {
		t.Fatal(err)
	}
	if got = st.want(t, 400, "POST", path+"/test", `{"to":"ada@home.example"}`); !strings.Contains(got.body, "smtp") || !strings.Contains(st.want(t, 200, "GET", path, "").body, `"configured":false`) {
		t.Errorf("without a mail server: %s", got.body)
	}
	leaves, err := store.Get(t.Context(), st.store, func(tx *store.Tx) ([]string, error) {
		return store.All(t.Context(), tx, store.Text, "SELECT leaf FROM audit_events WHERE env = $1 ORDER BY id", st.mine.Env.ID)
	})
	all := strings.Join(leaves, "\n")
	if err != nil || strings.Contains(all, "ada@") || strings.Count(all, `"kind":"`+string(audit.MailTested)) != 4 || strings.Count(all, `"kind":"`+string(audit.MailStuck)) != 1 {
		t.Errorf("records: %s, %v", all, err)
	}
}

// hurried are mails of somebody who is gone when the server has answered.
type hurried struct {
	Mail
	leave context.CancelFunc
}

func (h hurried) Test(ctx context.Context, env, to string) (notify.Tested, error) {
	got, err := h.Mail.Test(ctx, env, to)
	h.leave()
	return got, err
}

func TestAMailThatNobodyWaitedForIsInTheLog(t *testing.T) {
	st := lite(t)
	ctx, leave := context.WithCancel(t.Context())
	st.api.Mail = hurried{st.api.Mail, leave}
	r := httptest.NewRequestWithContext(ctx, "POST", "/api/envs/"+st.mine.Env.ID+"/mail/test", strings.NewReader(`{"to":"ada@home.example"}`))
	r.Header.Set("Authorization", "Bearer "+st.owner)
	st.api.ServeHTTP(httptest.NewRecorder(), r)
	n, err := store.Get(t.Context(), st.store, func(tx *store.Tx) (n int, err error) {
		err = tx.Row(t.Context(), []any{&n}, "SELECT COUNT(*) FROM audit_events WHERE env = $1 AND kind = $2", st.mine.Env.ID, string(audit.MailTested))
		return n, err
	})
	if err != nil || n != 1 || len(st.mail.Messages()) != 1 {
		t.Errorf("%d records of %d mails, %v", n, len(st.mail.Messages()), err)
	}
}

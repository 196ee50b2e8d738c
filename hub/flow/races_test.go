package flow_test

import (
	"context"
	"io"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"testing"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/verify/smscode"
	"github.com/postern-id/postern/protocol"
)

// A phoneService is a real HTTP server that takes messages for phones.
type phoneService struct {
	*httptest.Server
	mu   sync.Mutex
	last string
}

func newPhoneService(t *testing.T) *phoneService {
	t.Helper()
	p := &phoneService{}
	p.Server = httptest.NewServer(http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
		body, _ := io.ReadAll(r.Body)
		p.mu.Lock()
		defer p.mu.Unlock()
		p.last = string(body)
	}))
	t.Cleanup(p.Close)
	return p
}

func (p *phoneService) code() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return regexp.MustCompile(`\b\d{8}\b`).FindString(p.last)
}

// A code that was sent opens one recovery once, however many type it at the same moment,
// whoever made and judges it.
func TestP07_OfTwoHundredRightCodesOneCounts(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		service := newPhoneService(t)
		for _, method := range []policy.Method{policy.MailCode, policy.SMSCode, policy.AgentCode} {
			t.Run(string(method), func(t *testing.T) {
				s := newStack(t, c, func(f *config) {
					f.Verifiers = append(f.Verifiers, smscode.New(smscode.NewRoute(f.Store, service.Client(), f.Now)))
				})
				s.settings(func(d *store.DirectorySettings) { d.Methods = []byte(`{"default":[["` + string(method) + `"]]}`) })
				s.tx(func(ctx context.Context, tx *store.Tx) error {
					return tx.SetSMSSettings(ctx, s.env, []byte(store.JSON(smscode.Settings{URL: service.URL, Body: "to={to}&text={text}", Countries: []string{"DE"}})))
				})
				s.person("ada")
				s.agent.set(func(a *testAgent) {
					a.contacts["ada"] = protocol.Contacts{Mail: []string{"ada@private.example"}, Phone: []string{"+491701234567"}}
				})
				b := s.start("ada@example.com")
				b.choose(protocol.ActionPassword)
				b.settled("proving")
				code := map[policy.Method]func() string{
					policy.MailCode: func() string { return s.mail.last(t) }, policy.SMSCode: service.code, policy.AgentCode: func() string { return "24682468" },
				}[method]()
				won := s.race(func() error { return b.submit(code) }, recovery.ErrStep, recovery.ErrTooMany)
				if v := b.view(); won != 1 || v.Step != flow.StepReady {
					t.Errorf("%d right answers, step %s", won, v.Step)
				}
			})
		}
	})
}

package api

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"fmt"
	"io"
	"log/slog"
	"net"
	"net/http"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	hooks "github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// A checker is an organisation's own check, a real HTTPS server that recover asks.
type checker struct {
	url string

	mu     sync.Mutex
	asked  []map[string]any
	answer func(http.ResponseWriter, *http.Request, map[string]any)
}

// ServeHTTP implements http.Handler.
func (k *checker) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	var q map[string]any
	b, _ := io.ReadAll(r.Body)
	_ = json.Unmarshal(b, &q)
	k.mu.Lock()
	k.asked = append(k.asked, q)
	answer := k.answer
	k.mu.Unlock()
	if answer != nil {
		answer(w, r, q)
	}
}

func (k *checker) answers(f func(http.ResponseWriter, *http.Request, map[string]any)) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.answer = f
}

// questions are what was asked since the last call.
func (k *checker) questions() []map[string]any {
	k.mu.Lock()
	defer k.mu.Unlock()
	asked := k.asked
	k.asked = nil
	return asked
}

// status answers with a status alone.
func status(code int) func(http.ResponseWriter, *http.Request, map[string]any) {
	return func(w http.ResponseWriter, _ *http.Request, _ map[string]any) { w.WriteHeader(code) }
}

// says answers 200 with a JSON body.
func says(text string) func(http.ResponseWriter, *http.Request, map[string]any) {
	return func(w http.ResponseWriter, _ *http.Request, _ map[string]any) {
		w.Header().Set("Content-Type", "application/json")
		_, _ = io.WriteString(w, text)
	}
}

// checkerHost is where checkers listen; the operator of these tests allows it.
const checkerHost = "127.0.0.11"

// checker starts one, which the environment of the place asks, and has the API ask it.
func (st *stack) checker(t *testing.T, p place, change ...func(*hooks.Config)) *checker {
	t.Helper()
	ca, err := testenv.NewAuthority()
	if err != nil {
		t.Fatal(err)
	}
	cert, key, err := ca.Issue(checkerHost)
	if err != nil {
		t.Fatal(err)
	}
	pair, err := tls.X509KeyPair(cert, key)
	if err != nil {
		t.Fatal(err)
	}
	l, err := net.Listen("tcp", checkerHost+":0")
	if err != nil {
		t.Fatal(err)
	}
	k := &checker{url: "https://" + l.Addr().String() + "/hook"}
	srv := httptest.NewUnstartedServer(k)
	_ = srv.Listener.Close()
	srv.Listener, srv.TLS = l, &tls.Config{Certificates: []tls.Certificate{pair}}
	srv.Config.ErrorLog = slog.NewLogLogger(slog.DiscardHandler, slog.LevelError)
	srv.StartTLS()
	t.Cleanup(srv.Close)
	roots := x509.NewCertPool()
	roots.AppendCertsFromPEM(ca.PEM)
	c := hooks.Config{Store: st.store, Private: []netip.Prefix{netip.MustParsePrefix(checkerHost + "/32")}, Roots: roots, Patience: 5 * time.Second, Log: slog.New(slog.NewTextHandler(t.Output(), nil))}
	for _, f := range change {
		f(&c)
	}
	if st.api.Checks, err = hooks.New(c); err != nil {
		t.Fatal(err)
	}
	st.subscribe(t, p, k.url)
	return k
}

// subscribe has the environment of the place ask an address.
func (st *stack) subscribe(t *testing.T, p place, url string) {
	t.Helper()
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		_, err := tx.AddWebhook(ctx, store.Webhook{Env: p.Env.ID, URL: url, Enabled: true, Events: []string{string(hooks.Recover)}})
		return err
	})
}

// somebody makes another person of the place known, and returns their subject.
func (st *stack) somebody(t *testing.T, p place, name string) (subject string) {
	t.Helper()
	st.tx(t, func(ctx context.Context, tx *store.Tx) error {
		person, err := tx.PersonID(ctx, p.Env.ID, name)
		subject = request.Subject(p.Env.ID, person)
		if err != nil {
			return err
		}
		return tx.AddPerson(ctx, p.Env.ID, person)
	})
	return subject
}

// bound is whom an account is bound to.
func (st *stack) bound(t *testing.T, id string) any {
	t.Helper()
	return st.want(t, 200, "GET", "/api/accounts/"+id, "").member(t, "subject")
}

// many sends a bulk update and returns what came of each row.
func (st *stack) many(t *testing.T, rows ...string) []accountResult {
	t.Helper()
	var out accountResults
	got := st.want(t, 200, "PATCH", "/api/accounts", `{"accounts":[`+strings.Join(rows, ",")+`]}`)
	if err := json.Unmarshal([]byte(got.body), &out); err != nil || len(out.Results) != len(rows) {
		t.Fatal(got.body, err)
	}
	return out.Results
}

func TestTheOrganisationIsAskedBeforeAnAccountIsBound(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st := start(t, s)
		k := st.checker(t, st.mine)
		path, body := "/api/accounts/alice@mine.test", `{"subject":"`+st.mine.subject+`"}`
		german := func(r *http.Request) { r.Header.Set("Accept-Language", "de-AT,de;q=0.9") }
		if got := st.do(t, st.mine.key, "PATCH", path, body, german); got.status != 204 || st.bound(t, "mine-1") != st.mine.subject {
			t.Fatal(got.status, got.body)
		}
		asked := k.questions()
		if len(asked) != 1 {
			t.Fatalf("%d questions", len(asked))
		}
		if _, err := time.Parse(time.RFC3339, fmt.Sprint(asked[0]["date"])); err != nil {
			t.Error(err)
		}
		delete(asked[0], "date")
		want := map[string]any{"event_type": "recover", "action": "account-binding", "subject": st.mine.subject, "external_id": "mine-1",
			"directory": st.mine.Directory.ID, "language": "de-AT,de;q=0.9", "org_name": st.mine.Org.Name, "env_name": st.mine.Env.Name}
		if fmt.Sprint(asked[0]) != fmt.Sprint(want) {
			t.Errorf("%v; want %v", asked[0], want)
		}
		got := st.want(t, 200, "GET", "/api/envs/"+st.mine.Env.ID+"/webhooks?event=recover", "")
		if strings.Count(got.body, `"event_type":"recover"`) != 1 || !strings.Contains(got.body, "account-binding") || !strings.Contains(got.body, `"state":"delivered"`) {
			t.Errorf("history: %s", got.body)
		}
	})
}

func TestP19_WhatTheOrganisationDoesNotAgreeToIsNotBound(t *testing.T) {
	st := lite(t)
	k := st.checker(t, st.mine, func(c *hooks.Config) { c.Patience = 3 * time.Second }) // whoever answers is in time on a busy machine too
	path, body := "/api/accounts/mine-1", `{"subject":"`+st.mine.subject+`","birth_date":"1985-03-09"}`
	hang := func(_ http.ResponseWriter, r *http.Request, _ map[string]any) { <-r.Context().Done() }
	elsewhere := func(w http.ResponseWriter, r *http.Request, _ map[string]any) {
		http.Redirect(w, r, k.url, http.StatusTemporaryRedirect)
	}
	for name, c := range map[string]struct {
		answer func(http.ResponseWriter, *http.Request, map[string]any)
		status int
		says   string
	}{
		"denied":                    {says(`{"deny_user_message":"Not on a Sunday."}`), 403, "Not on a Sunday."},
		"denied, without a word":    {says(`{"deny_user_message":""}`), 403, "The organisation's own check refused this."},
		"status 500":                {status(500), 503, "A custom integration failed"},
		"status 204":                {status(204), 503, "A custom integration failed"},
		"a redirect":                {elsewhere, 503, "A custom integration failed"},
		"JSON that cannot be read":  {says(`{"deny_user_message"`), 503, "A custom integration failed"},
		"no answer":                 {hang, 503, "A custom integration failed"},
		"an answer of another type": {says(`{"deny_user_message":7}`), 503, "A custom integration failed"},
	} {
		k.answers(c.answer)
		got := st.want(t, c.status, "PATCH", path, body)
		if !strings.Contains(got.body, `"subject: account `+st.mine.account.ID+": "+c.says) {
			t.Errorf("%s: %s", name, got.body)
		}
		if n := len(k.questions()); n != 1 {
			t.Errorf("%s: asked %d times", name, n)
		}
		if (got.header.Get("Retry-After") != "") != (c.status == 503) {
			t.Errorf("%s: Retry-After %q", name, got.header.Get("Retry-After"))
		}
	}
	k.answers(nil)
	st.subscribe(t, st.mine, "https://127.0.0.1:1/inside")
	if got := st.want(t, 503, "PATCH", path, body); !strings.Contains(got.body, "A custom integration failed") || len(k.questions()) != 1 {
		t.Errorf("one of two has a private address: %s", got.body)
	}
	if got := st.want(t, 200, "GET", path, ""); got.member(t, "subject") != nil || got.member(t, "have_birth_date") != false {
		t.Errorf("what was refused changed something: %s", got.body)
	}
	if strings.Contains(string(st.leaves(t)), "account_updated") {
		t.Error("the log says that an account was changed")
	}
}

// The log says what the organisation did not agree to, of one account and of many, as it
// does of recoveries: the update itself leaves no record of it.
func TestP19_WhatTheOrganisationDoesNotAgreeToStandsInTheLog(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st := start(t, s)
		k := st.checker(t, st.mine)
		st.mine.Accounts(t, s, protocol.Account{ID: "bob", Name: "Bob"}, protocol.Account{ID: "carol", Name: "Carol"})
		k.answers(func(w http.ResponseWriter, r *http.Request, q map[string]any) {
			switch q["external_id"] {
			case "bob":
				says(`{"deny_user_message":"Bob is a contractor."}`)(w, r, q)
			case "carol":
				w.WriteHeader(500)
			}
		})
		row := func(id string) string { return `{"id":"` + id + `","subject":"` + st.mine.subject + `"}` }
		st.want(t, 403, "PATCH", "/api/accounts/bob", `{"subject":"`+st.mine.subject+`"}`)
		st.many(t, row("bob"), row("carol"), row("mine-1"))
		got := st.vetoes(t)
		if len(got) != 3 {
			t.Fatalf("%d vetoes stand in the log: %+v", len(got), got)
		}
		for i, want := range []string{`"denied":true`, `"denied":true`, `"denied":false,"directory":"` + st.mine.Directory.ID + `","error":"no answer"`} {
			for _, part := range []string{want, `"action":"account-binding"`, `"subject":"` + st.mine.subject + `"`, `"account":"` + got[i].Account + `"`} {
				if !strings.Contains(string(got[i].Detail), part) || strings.Contains(string(got[i].Detail), "contractor") {
					t.Errorf("no %s in %s", part, got[i].Detail)
				}
			}
			if got[i].Env != st.mine.Env.ID || got[i].Actor.APIKey == "" || got[i].Account == "" || got[i].Trace == "" {
				t.Errorf("%+v", got[i])
			}
		}
		if got[0].Account != got[1].Account || got[1].Account == got[2].Account || got[0].Trace == got[1].Trace {
			t.Errorf("of which account: %+v", got)
		}
	})
}

// vetoes are what the log has of those, oldest first.
func (st *stack) vetoes(t *testing.T) (list []audit.Record) {
	t.Helper()
	st.tx(t, func(ctx context.Context, tx *store.Tx) (err error) {
		list, err = audit.List(ctx, tx, st.mine.Org.ID, store.AuditFilter{Kinds: []string{string(audit.RecoveryVetoed)}, Count: 10})
		slices.Reverse(list)
		return err
	})
	return list
}

func TestNobodyIsAskedWhereNothingIsBound(t *testing.T) {
	st := lite(t)
	st.want(t, 204, "PATCH", "/api/accounts/mine-1", `{"subject":"`+st.mine.subject+`"}`)
	k := st.checker(t, st.mine)
	k.answers(status(500))
	st.mine.Accounts(t, st.store, protocol.Account{ID: "bob", Identifiers: []string{"alice@mine.test"}, Name: "Bob"})
	for _, c := range []struct {
		path, body string
		status     int
	}{
		{"mine-1", `{"subject":"` + st.mine.subject + `"}`, 204}, // bound to them already
		{"mine-1", `{"birth_date":"1985-03-09"}`, 204},
		{"mine-1", `{"subject":"nobody@` + st.mine.Env.ID + `.postern"}`, 400},
		{"bob", `{"subject":"` + st.mine.subject + `","birth_date":"1985-13-09"}`, 400},
		{"alice@mine.test", `{"subject":"` + st.mine.subject + `"}`, 409}, // two of this name
		{"nobody", `{"subject":"` + st.mine.subject + `"}`, 404},
		{st.other.account.ID, `{"subject":"` + st.other.subject + `"}`, 204}, // of an environment that has no check
		{"mine-1", `{"subject":""}`, 204},
	} {
		st.want(t, c.status, "PATCH", "/api/accounts/"+c.path, c.body)
		st.want(t, 200, "PATCH", "/api/accounts", `{"accounts":[{"id":"`+c.path+`",`+c.body[1:]+`]}`)
	}
	if asked := k.questions(); len(asked) > 0 {
		t.Errorf("asked about %v", asked)
	}
}

func TestOneNoOfManyRefusesItsRowAlone(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st := start(t, s)
		k := st.checker(t, st.mine)
		st.mine.Accounts(t, s, protocol.Account{ID: "bob", Name: "Bob"}, protocol.Account{ID: "carol", Name: "Carol"}, protocol.Account{ID: "dora", Name: "Dora"})
		other := st.somebody(t, st.mine, "somebody else")
		k.answers(func(w http.ResponseWriter, r *http.Request, q map[string]any) {
			switch q["external_id"] {
			case "bob":
				says(`{"deny_user_message":"Bob is a contractor."}`)(w, r, q)
			case "carol":
				w.WriteHeader(500)
			}
		})
		row := func(id, subject string) string {
			return `{"id":"` + id + `","subject":"` + subject + `","birth_date":"1985-03-09"}`
		}
		got := st.many(t, row("mine-1", st.mine.subject), row("bob", st.mine.subject), row("carol", st.mine.subject), row("dora", "nobody@x"), row("dora", st.mine.subject), row("dora", other), row("nobody", other))
		for i, want := range []struct {
			status int
			says   string
		}{{204, ""}, {403, "Bob is a contractor."}, {503, "A custom integration failed"}, {400, "subject: "}, {204, ""}, {204, ""}, {404, "account not found"}} {
			if got[i].Status != want.status || !strings.Contains(got[i].Error, want.says) || (got[i].Error == "") != (want.says == "") {
				t.Errorf("row %d: %+v; want %+v", i, got[i], want)
			}
		}
		asked := k.questions()
		slices.SortFunc(asked, func(a, b map[string]any) int {
			return strings.Compare(fmt.Sprint(a["external_id"]), fmt.Sprint(b["external_id"]))
		})
		var whom []string
		for _, q := range asked {
			whom = append(whom, fmt.Sprint(q["external_id"]))
		}
		if strings.Join(whom, " ") != "bob carol dora dora mine-1" {
			t.Errorf("asked about %v", whom)
		}
		for id, want := range map[string]any{"mine-1": st.mine.subject, "bob": nil, "carol": nil, "dora": other} {
			if got := st.want(t, 200, "GET", "/api/accounts/"+id, ""); got.member(t, "subject") != want || got.member(t, "have_birth_date") != (want != nil) {
				t.Errorf("%s: %s", id, got.body)
			}
		}
	})
}

func TestABindingThatIsNoLongerTheOneThatWasAskedAboutIsNotMade(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st := start(t, s)
		k := st.checker(t, st.mine)
		other := st.somebody(t, st.mine, "somebody else")
		k.answers(func(http.ResponseWriter, *http.Request, map[string]any) {
			st.tx(t, func(ctx context.Context, tx *store.Tx) error {
				return tx.SetSubject(ctx, st.mine.Env.ID, st.mine.account.ID, other)
			})
		})
		got := st.want(t, 409, "PATCH", "/api/accounts/mine-1", `{"subject":"`+st.mine.subject+`"}`)
		if !strings.Contains(got.body, "send it again") || st.bound(t, "mine-1") != other {
			t.Errorf("somebody else bound it meanwhile: %s", got.body)
		}
		k.answers(says(`{"deny_user_message":"no"}`))
		rows := st.many(t, `{"id":"mine-1","subject":"`+st.mine.subject+`"}`, `{"id":"mine-1","subject":"`+st.somebody(t, st.mine, "a third")+`"}`)
		if rows[0].Status != 403 || rows[1].Status != 409 || st.bound(t, "mine-1") != other {
			t.Errorf("the row before was refused: %+v", rows)
		}
	})
}

func TestT23_AYesToABindingIsGoodForAMinute(t *testing.T) {
	st := lite(t)
	st.checker(t, st.mine, func(c *hooks.Config) {
		c.Now = func() time.Time { return time.Now().Add(-hooks.Fresh - time.Second) }
	})
	got := st.want(t, 409, "PATCH", "/api/accounts/mine-1", `{"subject":"`+st.mine.subject+`"}`)
	if !strings.Contains(got.body, "older than a minute") || st.bound(t, "mine-1") != nil {
		t.Error(got.body)
	}
}

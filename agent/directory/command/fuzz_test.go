package command

import (
	"encoding/json"
	"log/slog"
	"os"
	"strings"
	"testing"
	"time"
	"unicode"
	"unicode/utf8"

	"github.com/postern-id/postern/protocol"
)

// Whatever a worker writes, nothing unclean leaves the kind.
func FuzzReply(f *testing.F) {
	for _, text := range []string{
		`{}`, `{"error":{"code":"account_not_found","message":"x@y.example"}}`, `[]`, `{"configure":null}`, "\ufeff{}",
		`{"get_account":{"accounts":[{"immutable_id":"0B5E54E3-2C0B-4B43-9E63-AB6C0F8F4A01","ids":["a@b.example","\u0000"],"name":"A\u0007","groups":[{"immutable_id":"g","name":"G"}],"birth_date":"1990-02-03","updated_at":"2026-01-02T03:04:05+02:00","mail":["a@b.example","c@d.example"],"locked":true,"enabled":false}]}}`,
		`{"list_accounts":{"accounts":null,"next_cursor":"x","deleted_ids":["a"]}}`, `{"perform_operation":{"temporary_password":"x","password_link":"javascript:alert(1)"}}`,
		`{"get_account":{"accounts":[{"immutable_id":7}]}}`, `{"get_account":{"accounts":[{"updated_at":7,"name":"\ud800"}]}}`,
	} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		r, err := parse(raw)
		if err != nil {
			return
		}
		if r.Error != nil {
			if e := r.Error.err(); e.Message == "" || len(e.Message) > maxMessage || !plain(e.Message) || strings.Contains(e.Message, "x@y.example") {
				t.Errorf("%q", e.Message)
			}
		}
		for _, page := range []*accountsPage{r.GetAccount, r.ListAccounts} {
			for i := range page.all() {
				checkAccount(t, page.Accounts[i])
			}
		}
		if r.PerformOperation != nil {
			for _, o := range []protocol.Operation{protocol.GetTemporaryPassword, protocol.GetPasswordLink, protocol.GetMFALink} {
				res, err := step{performRequest: performRequest{Operation: o}}.result(*r.PerformOperation)
				if err == nil && (!clean(res.Secret.Reveal()) || o != protocol.GetTemporaryPassword && !strings.HasPrefix(strings.ToLower(res.Secret.Reveal()), "http")) {
					t.Errorf("%s gives %q", o, res.Secret.Reveal())
				}
			}
		}
	})
}

func (p *accountsPage) all() []account {
	if p == nil {
		return nil
	}
	return p.Accounts
}

// plain reports whether text may stand in a log or on a page.
func plain(text string) bool {
	return utf8.ValidString(text) && strings.IndexFunc(text, unicode.IsControl) < 0 && len(text) <= maxText
}

func checkAccount(t *testing.T, a account) {
	t.Helper()
	if !clean(a.ImmutableID) {
		return // refused before
	}
	l := a.listed([]byte("key"))
	words := append([]string{l.Name}, l.Identifiers...)
	for _, g := range l.Groups {
		words = append(words, g.ID, g.Name, g.Kind)
	}
	c := a.contacts()
	words = append(append(append(words, c.Mail...), c.Primary...), c.Phone...)
	for _, w := range append(words, c.Manager, c.Language) {
		if !plain(w) {
			t.Errorf("%q of %+v", w, a)
		}
	}
	for _, m := range c.Mail {
		if a.has(m) {
			t.Errorf("the identifier %q is a second address", m)
		}
	}
	if l.BirthDate != "" && !protocol.IsBirthDateHash(l.BirthDate) {
		t.Errorf("birth date %q", l.BirthDate)
	}
}

// Whatever comes over the pipe, at most one document answers a request, and nothing
// stays behind.
func FuzzListen(f *testing.F) {
	for _, text := range []string{"{}", "{}{}", "{} x", "x", "{\"a\":", "\n\n{}\n", "1 2 3", strings.Repeat("[", 20000), "\"\xff\""} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		r, w, err := os.Pipe()
		if err != nil {
			t.Fatal(err)
		}
		p := &process{reaped: true, waiting: true, stdin: w, read: make(chan struct{}), replies: make(chan json.RawMessage, 1), chatter: &chatter{log: slog.Default()}}
		go p.listen(r)
		_, _ = w.Write(b[:min(len(b), 60000)])
		_ = w.Close()
		select {
		case <-p.read:
		case <-time.After(time.Minute):
			t.Fatal("the reader does not end")
		}
		if len(p.replies) > 1 || p.ended() == nil {
			t.Errorf("%d replies, %v", len(p.replies), p.ended())
		}
	})
}

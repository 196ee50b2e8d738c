package notify

import (
	"bufio"
	"context"
	"errors"
	"net"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

// records counts what the log of the environment has of a kind, and returns the last.
func (b *bench) records(t *testing.T, kind audit.Kind) (n int, last string) {
	t.Helper()
	leaves, err := store.Get(t.Context(), b.store, func(tx *store.Tx) ([]string, error) {
		return store.All(t.Context(), tx, store.Text, "SELECT leaf FROM audit_events WHERE env = $1 ORDER BY id", b.env)
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, l := range leaves {
		if strings.Contains(l, `"`+string(kind)+`"`) {
			n, last = n+1, l
		}
	}
	return n, last
}

func (b *bench) troubles(t *testing.T) []store.MailTrouble {
	t.Helper()
	list, err := store.Get(t.Context(), b.store, func(tx *store.Tx) ([]store.MailTrouble, error) { return tx.MailTroubles(t.Context(), b.env) })
	if err != nil {
		t.Fatal(err)
	}
	return list
}

func (b *bench) said(t *testing.T, stuck, flow int) {
	t.Helper()
	s, last := b.records(t, audit.MailStuck)
	f, _ := b.records(t, audit.MailFlows)
	if s != stuck || f != flow {
		t.Errorf("the log says %d times that mail is stuck and %d times that it flows, want %d and %d: %s", s, f, stuck, flow, last)
	}
}

func TestMailThatCannotBeSentIsRecordedOnceByTwoHubsAndEndsOnce(t *testing.T) {
	b := newBench(t, storetest.SQLite(t), mailbox.Config{User: "hub", Password: "right"})
	wrong := func(node string) *Notifier {
		n := b.notifier(t, func(r *Route) { r.User, r.Password = "hub", protocol.NewSecret("canary-password") })
		n.node = node
		return n
	}
	first, second := wrong("edge1"), wrong("edge2")
	for range 2 {
		for _, n := range []*Notifier{first, second} {
			if err := n.SendCode(t.Context(), b.code()); err == nil {
				t.Fatal("a wrong password was taken")
			}
		}
	}
	if err := b.queue(t, first, b.notice()); err != nil {
		t.Fatal(err)
	}
	if err := first.sendDue(t.Context()); err != nil {
		t.Fatal(err)
	}
	b.said(t, 1, 0)
	list := b.troubles(t)
	if len(list) != 2 || list[0].Node != "edge1" || list[0].Step != string(SignIn) || list[0].Reason != "answer 535" || list[0].Since.IsZero() {
		t.Errorf("troubles %+v", list)
	}
	if _, row := b.records(t, audit.MailStuck); strings.Contains(row, "anna@") || strings.Contains(row, "canary") || !strings.Contains(row, "535") {
		t.Errorf("the record %s", row)
	}
	for _, n := range []*Notifier{first, second} {
		if err := n.SetRoute(Route{Host: b.mail.Addr(), From: "hub@example.com", User: "hub", Password: protocol.NewSecret("right"), TLS: Off}); err != nil {
			t.Fatal(err)
		}
	}
	if err := first.SendCode(t.Context(), b.code()); err != nil {
		t.Fatal(err)
	}
	b.said(t, 1, 0) // the other one still cannot
	for range 2 {
		if err := second.SendCode(t.Context(), b.code()); err != nil {
			t.Fatal(err)
		}
	}
	b.said(t, 1, 1)
	if list := b.troubles(t); len(list) != 0 {
		t.Errorf("still %+v", list)
	}
}

func TestOneWrongAddressIsNoTroubleAndManyInARowAre(t *testing.T) {
	var takes atomic.Bool
	b := newBench(t, storetest.SQLite(t), mailbox.Config{Judge: func(_ string, to []string) (int, string) {
		if takes.Load() {
			return 0, ""
		}
		return 554, "5.7.1 <" + to[0] + ">: Relay access denied"
	}})
	n := b.notifier(t)
	for i := range 4 {
		if err := n.SendCode(t.Context(), b.code()); !errors.Is(err, ErrRefused) {
			t.Fatal(err)
		}
		if got, want := len(b.troubles(t)) > 0, i >= 2; got != want {
			t.Errorf("after %d refusals: trouble %v", i+1, got)
		}
	}
	b.said(t, 1, 0)
	if list := b.troubles(t); len(list) != 1 || list[0].Reason != "answer 554 5.7.1" || list[0].Step != string(Recipient) {
		t.Errorf("troubles %+v", list)
	}
	takes.Store(true)
	got, err := n.Test(t.Context(), b.env, "anna@home.example")
	if err != nil || !got.Taken || !strings.HasPrefix(got.Answer, "250 ") || got.Server != b.mail.Addr() {
		t.Errorf("a test: %+v, %v", got, err)
	}
	b.said(t, 1, 1)
	if m := b.mail.Messages(); len(m) != 1 || !strings.Contains(m[0].Subject, "test mail") || m[0].To[0] != "anna@home.example" {
		t.Errorf("mails %+v", m)
	}
}

func TestWhyMailIsStuckIsToldByStep(t *testing.T) {
	b := newBench(t, storetest.SQLite(t), mailbox.Config{})
	for want, change := range map[string]func(*Route){
		"connect connection refused": func(r *Route) { r.Host = "127.0.0.1:1" },
		"encrypt answer 502":         func(r *Route) { r.TLS = StartTLS },
		"encrypt first record":       func(r *Route) { r.TLS = Implicit },
		"sign_in answer 535":         func(r *Route) { r.User, r.Password = "hub", protocol.NewSecret("canary") },
	} {
		step, reason, _ := strings.Cut(want, " ")
		n := b.notifier(t, change)
		got, err := n.Test(t.Context(), b.env, "anna@home.example")
		list := b.troubles(t)
		if err != nil || got.Taken || string(got.Step) != step || len(list) != 1 || !strings.Contains(list[0].Reason, reason) || strings.Contains(list[0].Reason+got.Answer, "canary") {
			t.Errorf("%s: %+v, %v, troubles %+v", want, got, err, list)
		}
		if words := got.Step.Next(); strings.Contains(words, "console.mail") || !strings.Contains(words, "Caddyfile") {
			t.Errorf("%s: next %q", step, words)
		}
	}
}

func TestSomebodyWhoLeavesWhileAMailIsSentIsNoTrouble(t *testing.T) {
	held := make(chan struct{})
	asked := make(chan struct{}, 4)
	b := newBench(t, storetest.SQLite(t), mailbox.Config{Judge: func(string, []string) (int, string) { asked <- struct{}{}; <-held; return 0, "" }})
	defer close(held)
	n := b.notifier(t)
	ctx, leave := context.WithCancel(t.Context())
	done := make(chan error, 1)
	go func() { done <- n.SendCode(ctx, b.code()) }()
	<-asked
	leave()
	if err := <-done; err == nil || len(b.troubles(t)) != 0 {
		t.Errorf("%v, troubles %+v", err, b.troubles(t))
	}
	for range 3 {
		slow, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
		_ = n.SendCode(slow, b.code())
		cancel()
	}
	if list := b.troubles(t); len(list) != 1 || list[0].Reason != "no answer in time" {
		t.Errorf("a silent server: %+v", list)
	}
}

// A server that answers in words alone may repeat the address in them.
func TestWordsThatAreNoAnswerOfSMTPAreNotKept(t *testing.T) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = l.Close() }()
	go func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			say := bufio.NewReader(c)
			_, _ = c.Write([]byte("220 here\r\n"))
			for {
				line, err := say.ReadString('\n')
				if err != nil {
					break
				}
				answer := "250 so be it\r\n"
				if strings.HasPrefix(line, "RCPT") {
					answer = "nobody is called" + line[len("RCPT TO:"):]
				}
				_, _ = c.Write([]byte(answer))
			}
			_ = c.Close()
		}
	}()
	b := newBench(t, storetest.SQLite(t), mailbox.Config{})
	n := b.notifier(t, func(r *Route) { r.Host = l.Addr().String() })
	for range 3 {
		got, err := n.Test(t.Context(), b.env, "anna@example.com")
		if err != nil || got.Taken || got.Step != Recipient {
			t.Fatalf("%+v, %v", got, err)
		}
	}
	_, row := b.records(t, audit.MailStuck)
	if list := b.troubles(t); len(list) != 1 || strings.Contains(list[0].Reason, "anna") || !strings.Contains(list[0].Reason, "SMTP") || row == "" || strings.Contains(row, "anna") {
		t.Errorf("troubles %+v, the record %s", list, row)
	}
}

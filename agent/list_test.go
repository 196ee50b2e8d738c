package agent

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

func (r *rig) page(t *testing.T, q protocol.ListRequest) (protocol.ListPage, error) {
	t.Helper()
	return ask[protocol.ListPage](t, r.service, protocol.MethodList, q)
}

func TestPassListsEveryAccountPageByPage(t *testing.T) {
	r := newRig(t, rulesOfTests)
	seen := map[string]bool{}
	q := protocol.ListRequest{Page: 7}
	pages := 0
	for {
		p, err := r.page(t, q)
		if err != nil {
			t.Fatal(err)
		}
		if p.Fingerprint != "company" || !p.Full {
			t.Errorf("page %d = %+v", pages, p)
		}
		for _, a := range p.Accounts {
			seen[a.ID] = true
		}
		q.Pass = p.Pass
		if p.Done {
			if p.State != "state-1" {
				t.Errorf("state = %q", p.State)
			}
			break
		}
		pages++
	}
	if len(seen) != 20 || pages != 3 {
		t.Errorf("%d accounts on %d pages", len(seen), pages)
	}
	_, err := r.page(t, q)
	wantCode(t, err, protocol.CodeNotBegun)
}

func TestThirdPassEndsTheOldestOne(t *testing.T) {
	r := newRig(t, rulesOfTests)
	var first [3]protocol.ListPage
	for i := range first {
		var err error
		if first[i], err = r.page(t, protocol.ListRequest{Page: 1}); err != nil {
			t.Fatal(err)
		}
	}
	_, err := r.page(t, protocol.ListRequest{Pass: first[0].Pass})
	wantCode(t, err, protocol.CodeNotBegun)
	for _, p := range first[1:] {
		if _, err := r.page(t, protocol.ListRequest{Pass: p.Pass}); err != nil {
			t.Error(err)
		}
	}
}

// stuck is a directory whose listing waits until its context ends.
type stuck struct {
	*company
	ended chan struct{}
}

// List implements directory.Reader.
func (s stuck) List(ctx context.Context, _ string, _ int, yield func(directory.Page) error) (string, error) {
	defer close(s.ended)
	if err := yield(directory.Page{}); err != nil {
		return "", err
	}
	<-ctx.Done()
	return "", ctx.Err()
}

func TestPassThatNobodyAsksForEnds(t *testing.T) {
	r := newRig(t, rulesOfTests)
	s := stuck{r.company, make(chan struct{})}
	r.service.dir = s
	p, err := r.page(t, protocol.ListRequest{})
	if err != nil {
		t.Fatal(err)
	}
	one := r.passes.find(p.Pass)
	one.idle.Reset(time.Millisecond)
	<-s.ended
	_, err = r.page(t, protocol.ListRequest{Pass: p.Pass})
	wantCode(t, err, protocol.CodeNotBegun)
}

func TestListingThatFailsEndsItsPassWithTheReason(t *testing.T) {
	r := newRig(t, rulesOfTests)
	p, err := r.page(t, protocol.ListRequest{Page: 1})
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	s := stuck{r.company, make(chan struct{})}
	r.service.dir = s
	_, err = askWith[protocol.ListPage](ctx, r.service, protocol.MethodList, protocol.ListRequest{})
	if err == nil {
		t.Error("a page came after the caller hung up")
	}
	_, err = r.page(t, protocol.ListRequest{Since: strings.Repeat("x", maxState+1)})
	wantCode(t, err, protocol.CodeBadRequest)
	if _, err := r.page(t, protocol.ListRequest{Pass: p.Pass}); err != nil {
		t.Errorf("the other pass: %v", err)
	}
}

func TestGroupsAndAccountsAreLookedUp(t *testing.T) {
	r := newRig(t, rulesOfTests)
	g, err := ask[protocol.GroupList](t, r.service, protocol.MethodListGroups, protocol.GroupsRequest{Prefix: "fin"})
	if err != nil || len(g.Groups) != 1 {
		t.Errorf("groups = %+v, %v", g, err)
	}
	a, err := ask[protocol.AccountList](t, r.service, protocol.MethodGet, protocol.Ref{ID: accountID(3)})
	if err != nil || len(a.Accounts) != 1 || a.Accounts[0].ID != accountID(3) {
		t.Errorf("accounts = %+v, %v", a, err)
	}
}

func TestContactsAreReadForARecoveryThatWasBegunAndNotTooOften(t *testing.T) {
	r := newRig(t, rulesOfTests)
	_, err := ask[protocol.Contacts](t, r.service, protocol.MethodContacts, protocol.RecoveryRef{Recovery: "nobody"})
	wantCode(t, err, protocol.CodeNotBegun)
	q, b := r.beginOn(t, accountID(1), reset)
	ref := protocol.RecoveryRef{Recovery: protocol.RecoveryID(q.Recovery, b.Recovery)}
	for range readsPerRecovery {
		c, err := ask[protocol.Contacts](t, r.service, protocol.MethodContacts, ref)
		if err != nil || c.Mail[0] != "user1@home.example" {
			t.Fatalf("contacts = %+v, %v", c, err)
		}
	}
	_, err = ask[protocol.Contacts](t, r.service, protocol.MethodContacts, ref)
	wantCode(t, err, protocol.CodeRateLimited)
	var reads contactReads
	for i := range readsPerHour {
		if !reads.allow(fmt.Sprint(i), time.Unix(0, 0)) {
			t.Fatalf("read %d is refused", i)
		}
	}
	if reads.allow("one more", time.Unix(3599, 0)) || !reads.allow("later", time.Unix(3600, 0)) {
		t.Error("the limit of all reads does not hold for an hour")
	}
	q, b = r.beginOn(t, accountID(2), reset)
	r.clock.forward(shortRecovery + readsAfter + time.Second)
	_, err = ask[protocol.Contacts](t, r.service, protocol.MethodContacts, protocol.RecoveryRef{Recovery: protocol.RecoveryID(q.Recovery, b.Recovery)})
	wantCode(t, err, protocol.CodeExpired)
}

func TestEventLogIsRotatedBySize(t *testing.T) {
	dir := t.TempDir()
	l, err := openEvents(dir)
	if err != nil {
		t.Fatal(err)
	}
	for range keepEvents + 3 {
		l.size = maxEvents
		if err := l.write(event{Method: "begin"}); err != nil {
			t.Fatal(err)
		}
	}
	if err := l.close(); err != nil {
		t.Fatal(err)
	}
	files, err := filepath.Glob(filepath.Join(dir, "*"))
	if err != nil || len(files) != keepEvents+1 {
		t.Errorf("files = %v, %v", files, err)
	}
	text, err := os.ReadFile(filepath.Join(dir, eventsFile))
	if err != nil || strings.Count(string(text), "\n") != 1 {
		t.Errorf("the newest file has %q, %v", text, err)
	}
}

func TestAddressesAreMasked(t *testing.T) {
	for in, want := range map[string]string{
		"kim@example.com": "k•••@example.com",
		"in the form name@domain, and name@domain.": "in the form name@domain, and name@domain.", // help
		"name@domain.example":                       "n•••@domain.example",
		"äöü@x.de":                                  "ä•••@x.de",
		"no such uid=kim@example.com,ou=people!":    "no such uid=k•••@example.com,ou=people!",
		"@":                                         "@",
		"nothing":                                   "nothing",
		`"kim doe"@example.com`:                     `"kim doe"@example.com`,
	} {
		if got := withoutAddresses(in); got != want {
			t.Errorf("%q = %q, want %q", in, got, want)
		}
	}
	if got := maskMail("@x"); got != "•••@x" {
		t.Errorf("got %q", got)
	}
}

package ldapconn

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"net"
	"slices"
	"strings"
	"testing"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

func TestAStreamReadsWhatGoLDAPReads(t *testing.T) {
	server := testenv.SharedSlapd(t, testenv.SlapdOptions{People: 600})
	p := open(t, Config{URLs: []string{server.URL()}, CAFile: server.CAFile})
	names := []string{"entryUUID", "cn", "mail", "memberOf"}
	want := map[string]*ldap.Entry{}
	err := p.Do(t.Context(), "", func(c *Conn) error {
		r := Request(testenv.SlapdPeople, ldap.ScopeWholeSubtree, 0, "(objectClass=inetOrgPerson)", names...)
		return c.Pages(t.Context(), r, 1000, func(e *ldap.Entry) error { want[e.DN] = e; return nil })
	})
	if err != nil {
		t.Fatal(err)
	}
	s, err := p.Stream(t.Context(), "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	pages := 0
	q := Query{Base: testenv.SlapdPeople, Filter: "(objectClass=inetOrgPerson)", Attributes: names, Page: 100}
	err = s.Search(t.Context(), q, func(r *Row) error {
		e := want[r.DN]
		if e == nil {
			t.Fatalf("unexpected or repeated %s", r.DN)
		}
		for _, n := range names {
			if got := r.Values(n); !slices.Equal(got, e.GetAttributeValues(n)) {
				t.Errorf("%s: %s is %q, go-ldap reads %q", r.DN, n, got, e.GetAttributeValues(n))
			}
			if got, want := r.First(strings.ToUpper(n)), e.GetAttributeValue(n); got != want {
				t.Errorf("%s: first %s is %q, go-ldap reads %q", r.DN, n, got, want)
			}
		}
		delete(want, e.DN)
		return nil
	}, func() error { pages++; return nil })
	if err != nil || len(want) != 0 || pages != 7 {
		t.Errorf("%d entries are missing after %d pages: %v", len(want), pages, err)
	}
}

func TestAStreamEndsWithItsContextAndCallbacks(t *testing.T) {
	server := testenv.SharedSlapd(t, testenv.SlapdOptions{People: 600})
	p := open(t, Config{URLs: []string{server.URL()}, CAFile: server.CAFile})
	stop := errors.New("enough")
	q := Query{Base: testenv.SlapdBase, Filter: "(uid=emp*)", Attributes: []string{"uid"}, Page: 10}
	for name, c := range map[string]struct {
		query Query
		each  error
		page  error
		want  error
	}{
		"entry refused":  {q, stop, nil, stop},
		"page refused":   {q, nil, stop, stop},
		"no such base":   {Query{Base: "dc=elsewhere", Filter: "(uid=*)", Page: 10}, nil, nil, &protocol.Error{Code: protocol.CodeConfiguration}},
		"broken filter":  {Query{Base: testenv.SlapdBase, Filter: "(uid=", Page: 10}, nil, nil, &protocol.Error{Code: protocol.CodeConfiguration}},
		"nothing at all": {Query{Base: testenv.SlapdBase, Filter: "(uid=nobody)", Page: 10}, stop, nil, nil},
	} {
		s, err := p.Stream(t.Context(), "")
		if err != nil {
			t.Fatal(err)
		}
		err = s.Search(t.Context(), c.query, func(*Row) error { return c.each }, func() error { return c.page })
		if !errors.Is(err, c.want) {
			t.Errorf("%s: %v, want %v", name, err, c.want)
		}
		s.Close()
	}
	ctx, cancel := context.WithCancel(t.Context())
	s, err := p.Stream(ctx, "")
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	if err := s.Search(ctx, q, func(*Row) error { cancel(); return nil }, func() error { return nil }); !errors.Is(err, context.Canceled) {
		t.Errorf("cancelled: %v", err)
	}
}

func TestAStreamWithAWrongPasswordIsRefused(t *testing.T) {
	server := testenv.SharedSlapd(t, testenv.SlapdOptions{})
	p := open(t, Config{URLs: []string{server.URL()}, CAFile: server.CAFile, BindDN: testenv.SlapdDN("ben"), Password: protocol.NewSecret("wrong")})
	for range 3 {
		if _, err := p.Stream(t.Context(), ""); protocol.CodeOf(err) != protocol.CodeServiceAuthentication {
			t.Errorf("%v", err)
		}
	}
	if err := server.WhoAmI(testenv.SlapdDN("ben"), testenv.SlapdEmployeePassword); err != nil {
		t.Errorf("three tries locked the account: %v", err)
	}
}

// feed makes a stream that reads bytes as if a server had sent them, and expects
// answers to message 1.
func feed(b []byte) *Stream {
	client, server := net.Pipe()
	_ = server.Close()
	return &Stream{conn: client, r: bufio.NewReaderSize(bytes.NewReader(b), 64), asked: func() {}, id: 1}
}

func FuzzStream(f *testing.F) {
	entry := element(tagSearchEntry, text(tagOctets, "uid=a"), element(tagSequence,
		element(tagSequence, text(tagOctets, "cn"), element(tagSet, text(tagOctets, "A"), text(tagOctets, "B")))))
	done := element(tagSearchDone, integer(tagEnumerated, 0), text(tagOctets, ""), text(tagOctets, ""))
	id := integer(tagInteger, 1)
	f.Add(append(element(tagSequence, id, entry), element(tagSequence, id, done, paging(0, []byte("cookie")))...))
	f.Add(element(tagSequence, id, element(tagSearchDone, integer(tagEnumerated, 32), text(tagOctets, "dc=x"), text(tagOctets, "gone"))))
	f.Add(element(tagSequence, id, element(0x73, text(tagOctets, "ldap://elsewhere"))))
	f.Add([]byte{0x30, 0x84, 0x7f, 0xff, 0xff, 0xff})
	f.Fuzz(func(t *testing.T, b []byte) {
		s := feed(b)
		var row Row
		for range 3 {
			_, err := s.page(t.Context(), &row, func(r *Row) error {
				for _, v := range r.Values("cn") {
					if len(v) > len(b) {
						t.Error("a value is longer than what was sent")
					}
				}
				return nil
			})
			if err != nil {
				return
			}
		}
	})
}

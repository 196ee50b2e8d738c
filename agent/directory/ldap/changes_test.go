package ldap

import (
	"fmt"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/directorytest"
	"github.com/postern-id/postern/internal/testenv"
)

// words are what a schema calls things.
type words struct{ class, name, family, mail, team, member, title string }

var (
	usual = words{"inetOrgPerson", "cn", "sn", "mail", "groupOfNames", "member", "cn"}
	acme  = words{"acmeMember", "acmeName", "acmeFamily", "acmeMail", "acmeTeam", "acmeMate", "acmeTitle"}
)

// An administered server takes what its administrator does.
type administered interface {
	Modify(t testing.TB, ldif string)
	Values(t testing.TB, dn, attribute string) []string
}

// hands are those of the administrator.
func hands(s administered, w words) *directorytest.Hands {
	change := func(t *testing.T, dn, kind string, lines ...string) {
		t.Helper()
		s.Modify(t, "dn: "+dn+"\nchangetype: "+kind+"\n"+strings.Join(lines, "\n")+"\n")
	}
	return &directorytest.Hands{
		Add:    func(t *testing.T, login string) directorytest.Person { t.Helper(); return addPerson(t, s, w, login) },
		Delete: func(t *testing.T, dn string) { t.Helper(); change(t, dn, "delete") },
		Rename: func(t *testing.T, p directorytest.Person, name string) directorytest.Person {
			t.Helper()
			to := "uid=" + strings.ReplaceAll(p.Name, " ", ".") + ".renamed"
			change(t, p.DN, "modrdn", "newrdn: "+to, "deleteoldrdn: 0")
			p.DN, p.Name = to+","+testenv.SlapdPeople, name
			change(t, p.DN, "modify", "replace: "+w.name, w.name+": "+name)
			return p
		},
		Leave: func(t *testing.T, p directorytest.Person) directorytest.Person {
			t.Helper()
			rdn, _, _ := strings.Cut(p.DN, ",")
			change(t, p.DN, "modrdn", "newrdn: "+rdn, "deleteoldrdn: 0", "newsuperior: ou=services,"+testenv.SlapdBase)
			p.DN = rdn + ",ou=services," + testenv.SlapdBase
			return p
		},
		Group: func(t *testing.T, name string, members ...string) string {
			t.Helper()
			dn := "cn=" + name + "," + testenv.SlapdGroups
			lines := []string{"objectClass: " + w.team, "cn: " + name, w.member + ": " + testenv.SlapdAgent} // a group is never empty
			if w.title != "cn" {
				lines = append(lines, w.title+": "+name)
			}
			for _, m := range members {
				lines = append(lines, w.member+": "+m)
			}
			change(t, dn, "add", lines...)
			return dn
		},
		Member: func(t *testing.T, group, dn string, in bool) {
			t.Helper()
			what := "delete: "
			if in {
				what = "add: "
			}
			change(t, group, "modify", what+w.member, w.member+": "+dn)
		},
		RenameGroup: func(t *testing.T, group, name string) string {
			t.Helper()
			change(t, group, "modrdn", "newrdn: cn="+name, "deleteoldrdn: 1")
			if w.title != "cn" {
				change(t, "cn="+name+","+testenv.SlapdGroups, "modify", "replace: "+w.title, w.title+": "+name)
			}
			return "cn=" + name + "," + testenv.SlapdGroups
		},
	}
}

func addPerson(t *testing.T, s administered, w words, login string) directorytest.Person {
	t.Helper()
	dn, mail := "uid="+login+","+testenv.SlapdPeople, login+"@corp.example"
	more, id := "", "entryUUID"
	if w == acme {
		more, id = "acmeNumber: "+testenv.SlapdNumber(dn)+"\n", "acmeNumber"
	}
	s.Modify(t, "dn: "+dn+"\nchangetype: add\nobjectClass: "+w.class+"\nuid: "+login+"\n"+w.name+": "+login+"\n"+w.family+": "+login+"\n"+w.mail+": "+mail+"\n"+more+
		"userPassword: "+testenv.SlapdEmployeePassword+"\n")
	found := s.Values(t, dn, id)
	if ds, ok := s.(*testenv.DS389); ok {
		found = []string{ds.ID(t, dn)}
	}
	if len(found) != 1 {
		t.Fatalf("%s of %s: %v", id, dn, found)
	}
	return directorytest.Person{ID: found[0], DN: dn, Identifier: mail, Name: login, Password: testenv.SlapdEmployeePassword}
}

// restorable is a server of its own.
func restorable(t *testing.T, o testenv.SlapdOptions, change func(*Config)) directorytest.Restorable {
	o.People = 8
	s := testenv.StartSlapd(t, o)
	w, touches := usual, 0
	if o.Custom {
		w = acme
	}
	return directorytest.Restorable{
		Open: func(t *testing.T) directory.Directory {
			cfg := configFor(t, s.Addr(), s.CAFile)
			if change != nil {
				change(&cfg)
			}
			return openAt(t, cfg)
		},
		Add: func(t *testing.T, login string) directorytest.Person { t.Helper(); return addPerson(t, s, w, login) },
		Touch: func(t *testing.T, dn string) {
			t.Helper()
			touches++
			s.Modify(t, fmt.Sprintf("dn: %s\nchangetype: modify\nreplace: title\ntitle: touched %d\n", dn, touches))
		},
		Keep: func(t *testing.T) { t.Helper(); s.Keep(t) },
		Back: func(t *testing.T) { t.Helper(); s.Restore(t) },
	}
}

// A server that was put back and has caught up with its numbers is noticed by an agent
// that ran all the time, and what it lists then is what the server has.
func TestARestoredServerIsNoticedByAnAgentThatRanOn(t *testing.T) {
	for name, change := range map[string]func(*Config){
		"asked what changed": func(*Config) {},
		"times are compared": func(cfg *Config) { cfg.NoSync = true },
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := restorable(t, testenv.SlapdOptions{}, change)
			d := r.Open(t)
			old := r.Add(t, "r.old")
			r.Keep(t)
			since := r.Add(t, "r.new")
			full := listAll(t, d, "")
			next := listAll(t, d, full.state)
			if next.full || len(next.ids) > 0 {
				t.Fatalf("nothing changed, but %+v", next)
			}
			r.Back(t)
			for range 20 {
				r.Touch(t, old.DN)
			}
			r.Add(t, "r.later")
			after := listAll(t, d, next.state)
			if !after.full || after.ids[since.ID] || !after.ids[old.ID] {
				t.Errorf("after the restore: %+v", after)
			}
			r.Touch(t, old.DN)
			if last := listAll(t, d, after.state); last.full || len(last.ids) != 1 || !last.ids[old.ID] {
				t.Errorf("one change after the restore: %+v", last)
			}
		})
	}
}

// An agent that was started anew remembers nothing, and lists everything as soon as
// something happened that it cannot tell.
func TestAnAgentWithoutMemoryMissesNothing(t *testing.T) {
	r := restorable(t, testenv.SlapdOptions{}, nil)
	one := r.Add(t, "r.one")
	full := listAll(t, r.Open(t), "")
	next := listAll(t, r.Open(t), full.state)
	if next.full || len(next.ids) > 0 {
		t.Errorf("nothing changed, but %+v", next)
	}
	r.Touch(t, one.DN)
	if last := listAll(t, r.Open(t), next.state); !last.full || !last.ids[one.ID] || len(last.ids) != len(full.ids) {
		t.Errorf("something changed: %+v", last)
	}
}

// A pass that nobody goes on from does not make the hub's next one a full one.
func TestALookAtEverythingDisturbsNoChainOfPasses(t *testing.T) {
	r := restorable(t, testenv.SlapdOptions{}, nil)
	d := r.Open(t)
	full := listAll(t, d, "")
	if once := listAll(t, d, directory.Once); !once.full || len(once.ids) != len(full.ids) {
		t.Fatalf("%d accounts of %d", len(once.ids), len(full.ids))
	}
	one := r.Add(t, "r.late")
	if next := listAll(t, d, full.state); next.full || len(next.ids) != 1 || !next.ids[one.ID] {
		t.Errorf("after a look: %+v", next)
	}
}

type listing struct {
	state string
	full  bool
	ids   map[string]bool
}

func listAll(t *testing.T, d directory.Directory, since string) listing {
	t.Helper()
	l := listing{ids: map[string]bool{}}
	var err error
	l.state, err = d.List(t.Context(), since, 100, func(p directory.Page) error {
		l.full = p.Full
		for _, a := range p.Accounts {
			l.ids[a.ID] = true
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return l
}

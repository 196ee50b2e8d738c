package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// Size of the directory, and of a page: what hub/directory asks for.
const (
	people   = 100_000
	listPage = 1000
)

// measureSync reads a directory of 100,000 people once by ldapsearch and through the
// product: the agent as its own process, Noise inside the tunnel, the hub's decoding;
// then with the hub's accounts written, again with nothing to write, and what a few
// changes take.
func measureSync(s *stage, rounds int) []row {
	slapd := testenv.StartSlapd(s, testenv.SlapdOptions{People: people})
	slapd.Modify(s, rename("First")) // what is read again with changes does not reach back to when the directory was filled
	agent := program{path: build(s, agentPackage)}
	stores := []*durable{inSQLite(), inPostgres(s)}
	var search, read series
	s.act(func(s *stage) {
		h := startHub(s, store.Config{Dir: s.disk()}, false)
		_, ticket := h.enrol(s, agent, "ldap", ldapTable(s, slapd))
		readAll(s, h, ticket.Directory) // warm
		for range rounds {
			search = append(search, searchAll(s, slapd))
			read = append(read, readAll(s, h, ticket.Directory))
			for _, d := range stores {
				d.round(s, agent, slapd)
			}
		}
	})
	rows := []row{{name: "sync: read, send, decode", unit: "ms", anchor: searchAnchor, base: search, ours: read, goal: atMost(4)}}
	for _, d := range stores {
		rows = append(rows, d.rows(search)...)
	}
	return rows
}

const searchAnchor = "ldapsearch pr=1000"

// A durable measures synchronisations into one kind of store.
type durable struct {
	name    string
	config  func(*stage) store.Config // of an empty store
	missing string                    // why there is none

	first, unchanged, changes series
}

func inSQLite() *durable {
	return &durable{name: "SQLite", config: func(s *stage) store.Config { return store.Config{Dir: s.disk()} }}
}

func inPostgres(s *stage) *durable {
	d := &durable{name: "PostgreSQL"}
	if _, err := testenv.Look("postgres"); err != nil {
		d.missing = err.Error()
		return d
	}
	server := testenv.StartDurablePostgres(s, s.disk())
	d.config = func(s *stage) store.Config { return store.Config{Dir: s.disk(), URL: server.Database(s)} }
	return d
}

// changed is how many people change between two passes.
const changed = 100

// rename gives some people another name, as LDIF.
func rename(name string) string {
	var b strings.Builder
	for i := range changed {
		fmt.Fprintf(&b, "dn: %s\nchangetype: modify\nreplace: displayName\ndisplayName: %s\n\n", testenv.SlapdDN(fmt.Sprintf("emp%06d", i*people/changed)), name)
	}
	return b.String()
}

// newName is what the people are called in this round and store.
func (d *durable) newName() string { return fmt.Sprintf("Renamed %d for %s", len(d.changes), d.name) }

// syncChanges is a pass over what has changed since the last one. It ends the experiment
// if the hub then does not know the new names.
func (d *durable) syncChanges(s *stage, h *hub, directory string) float64 {
	began := time.Now()
	s.need(h.directories.SyncChanges(s.ctx, h.env, directory))
	took := millis(time.Since(began))
	n, err := store.Get(s.ctx, h.store, func(tx *store.Tx) (int, error) {
		return tx.CountMatching(s.ctx, h.env, store.AccountFilter{Query: d.newName()})
	})
	s.need(err)
	if n != changed {
		s.Fatalf("%d of %d changes arrived", n, changed)
	}
	return took
}

// round synchronises an empty hub, then again, and then what has changed.
func (d *durable) round(s *stage, agent program, slapd *testenv.Slapd) {
	if d.missing != "" {
		return
	}
	s.act(func(s *stage) {
		h := startHub(s, d.config(s), false)
		_, ticket := h.enrol(s, agent, "ldap", ldapTable(s, slapd))
		d.first = append(d.first, syncAll(s, h, ticket.Directory))
		d.unchanged = append(d.unchanged, syncAll(s, h, ticket.Directory))
		slapd.Modify(s, rename(d.newName()))
		d.changes = append(d.changes, d.syncChanges(s, h, ticket.Directory))
	})
}

func (d *durable) rows(search series) []row {
	if d.missing != "" {
		return []row{{name: "sync: durable in " + d.name, missing: d.missing}}
	}
	return []row{
		{name: "sync: durable in " + d.name, unit: "ms", anchor: searchAnchor, base: search, ours: d.first, goal: atMost(5.5)},
		{name: "sync: nothing changed, " + d.name, unit: "ms", anchor: searchAnchor, base: search, ours: d.unchanged, goal: atMost(2)},
		{name: fmt.Sprintf("sync: %d changes, %s", changed, d.name), unit: "ms", anchor: searchAnchor, base: search, ours: d.changes},
	}
}

// ldapTable is the agent's table [directory] for slapd's company.
func ldapTable(s *stage, slapd *testenv.Slapd) string {
	password := filepath.Join(s.disk(), "password")
	s.need(os.WriteFile(password, []byte(testenv.SlapdAgentPassword), 0o600))
	return fmt.Sprintf("kind = \"ldap\"\nurls = [%q]\nca_file = %q\nbind_dn = %q\nbind_password_file = %q\nbase_dns = [%q]\nbirth_date_attribute = \"corpBirthDate\"\n"+
		"disabled_attribute = \"corpStatus\"\ndisabled_values = [\"left\"]\nprivileged_groups = [\"admins\"]\n",
		slapd.URL(), slapd.CAFile, testenv.SlapdAgent, password, testenv.SlapdPeople)
}

// attributes are those that the kind ldap lists with that table.
var attributes = []string{"cn", "corpBirthDate", "corpStatus", "displayName", "entryCSN", "entryUUID", "mail", "pwdAccountLockedTime", "pwdEndTime", "pwdStartTime", "uid"}

// searchAll is the anchor: OpenLDAP's own client on the same server, with the same
// sign-in, filter and attributes, its output thrown away.
func searchAll(s *stage, slapd *testenv.Slapd) float64 {
	args := append([]string{"-x", "-LLL", "-H", slapd.URL(), "-D", testenv.SlapdAgent, "-w", testenv.SlapdAgentPassword,
		"-b", testenv.SlapdPeople, "-E", fmt.Sprintf("pr=%d/noprompt", listPage), "(objectClass=inetOrgPerson)"}, attributes...)
	cmd := exec.CommandContext(s.ctx, testenv.Need(s, "ldapsearch"), args...)
	cmd.Env = append(os.Environ(), "LDAPTLS_CACERT="+slapd.CAFile)
	began := time.Now()
	s.need(cmd.Run())
	return millis(time.Since(began))
}

// readAll lists every account through the tunnel and decodes it, as a pass does.
func readAll(s *stage, h *hub, directory string) float64 {
	began, n := time.Now(), 0
	q := protocol.ListRequest{Page: listPage}
	for done := false; !done; {
		var page protocol.ListPage
		s.need(h.tunnels.Call(s.ctx, h.to(directory), protocol.MethodList, protocol.PrioritySync, q, &page))
		n, q.Pass, done = n+len(page.Accounts), page.Pass, page.Done
	}
	if n < people {
		s.Fatalf("%d accounts", n)
	}
	return millis(time.Since(began))
}

// syncAll is a whole pass of hub/directory.
func syncAll(s *stage, h *hub, directory string) float64 {
	began := time.Now()
	s.need(h.directories.Sync(s.ctx, h.env, directory))
	took := millis(time.Since(began))
	d, err := store.Get(s.ctx, h.store, func(tx *store.Tx) (store.Directory, error) { return tx.Directory(s.ctx, h.env, directory) })
	s.need(err)
	if d.Sync.Count < people {
		s.Fatalf("%d accounts", d.Sync.Count)
	}
	return took
}

func millis(d time.Duration) float64 { return float64(d) / float64(time.Millisecond) }

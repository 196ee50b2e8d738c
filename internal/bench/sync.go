package main

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"runtime"
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
// changes take. It also asks for one account again and again while all stream.
func measureSync(s *stage, rounds int) []row {
	slapd, agent := company(s)
	sqlite := &durable{name: "SQLite", config: func(s *stage) store.Config { return store.Config{Dir: s.disk()} }, goals: [2]goal{atMost(2.2), atMost(1)}}
	var search, read, waits, peaks series
	s.act(func(s *stage) {
		h := startHub(s, store.Config{Dir: s.disk()}, true)
		child, ticket := h.enrol(s, agent, "ldap", ldapTable(s, slapd))
		readAll(s, h, ticket.Directory) // warm
		for range rounds {
			search = append(search, searchAll(s, slapd))
			read = append(read, readAll(s, h, ticket.Directory))
			sqlite.round(s, agent, slapd)
			waits = append(waits, lookupsBeside(s, h, ticket.Directory))
		}
		peak, err := peakOf(child.PID())
		s.need(err)
		peaks = append(peaks, peak/megabyte)
	})
	rows := []row{{name: "sync: read, send, decode", unit: "ms", anchor: searchAnchor, base: search, ours: read, goal: atMost(0.75)}}
	return append(append(rows, sqlite.rows(search)...),
		row{name: "sync: look-up while all stream", unit: "ms", ours: waits, goal: valueAtMost(2)},
		row{name: "sync: agent's largest memory, reading only", unit: "MB", ours: peaks, goal: valueAtMost(20)})
}

// measureSyncPostgres is what of measureSync ends in PostgreSQL.
func measureSyncPostgres(s *stage, rounds int) []row {
	if _, err := testenv.Look("postgres"); err != nil {
		return []row{{name: "sync: durable in PostgreSQL", missing: err.Error()}}
	}
	slapd, agent := company(s)
	server := testenv.StartDurablePostgres(s, s.disk())
	d := &durable{name: "PostgreSQL", goals: [2]goal{atMost(1.8), atMost(1)},
		config: func(s *stage) store.Config { return store.Config{Dir: s.disk(), URL: server.Database(s)} }}
	var search series
	for range rounds {
		search = append(search, searchAll(s, slapd))
		d.round(s, agent, slapd)
	}
	return d.rows(search)
}

// company starts slapd with its people, and builds the agent.
func company(s *stage) (*testenv.Slapd, program) {
	slapd := testenv.StartSlapd(s, testenv.SlapdOptions{People: people})
	slapd.Modify(s, rename("First")) // what is read again with changes does not reach back to when the directory was filled
	return slapd, program{path: build(s, agentPackage)}
}

const searchAnchor = "ldapsearch pr=1000"

// A durable measures synchronisations into one kind of store.
type durable struct {
	name   string
	config func(*stage) store.Config // of an empty store
	goals  [2]goal                   // of the first synchronisation, and with nothing changed

	first, names, unchanged, changes, peaks series
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
	s.act(func(s *stage) {
		h := startHub(s, d.config(s), true)
		child, ticket := h.enrol(s, agent, "ldap", ldapTable(s, slapd))
		d.first = append(d.first, syncAll(s, h, ticket.Directory))
		began := time.Now()
		s.need(h.directories.KeyNames(s.ctx, h.env, ticket.Directory))
		d.names = append(d.names, millis(time.Since(began)))
		d.unchanged = append(d.unchanged, syncAll(s, h, ticket.Directory))
		slapd.Modify(s, rename(d.newName()))
		d.changes = append(d.changes, d.syncChanges(s, h, ticket.Directory))
		peak, err := peakOf(child.PID())
		s.need(err)
		d.peaks = append(d.peaks, peak/megabyte)
	})
}

func (d *durable) rows(search series) []row {
	return []row{
		{name: "sync: durable in " + d.name, unit: "ms", anchor: searchAnchor, base: search, ours: d.first, goal: d.goals[0]},
		{name: "sync: after it, names are made to be found", unit: "ms", ours: d.names},
		{name: "sync: nothing changed, " + d.name, unit: "ms", anchor: searchAnchor, base: search, ours: d.unchanged, goal: d.goals[1]},
		{name: fmt.Sprintf("sync: %d changes, %s", changed, d.name), unit: "ms", ours: d.changes, goal: valueAtMost(25)},
		{name: "sync: agent's largest memory, " + d.name, unit: "MB", ours: d.peaks, goal: valueAtMost(20)},
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
	q := protocol.ListRequest{Page: listPage, Packed: true}
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

// lookupsBeside returns the median wait of a look-up while all accounts are read.
func lookupsBeside(s *stage, h *hub, directory string) float64 {
	over := make(chan struct{})
	go func() {
		defer close(over)
		readAll(s, h, directory)
	}()
	var waits series
	for {
		select {
		case <-over:
			if s.failed != "" {
				runtime.Goexit()
			}
			return waits.median()
		default:
		}
		began := time.Now()
		var found protocol.AccountList
		ref := protocol.Ref{Identifier: fmt.Sprintf("emp%06d@corp.example", len(waits)%people)}
		s.need(h.tunnels.Call(s.ctx, h.to(directory), protocol.MethodGet, protocol.PriorityLookup, ref, &found))
		if len(found.Accounts) != 1 {
			s.Fatalf("%s is %d accounts", ref.Identifier, len(found.Accounts))
		}
		waits = append(waits, millis(time.Since(began)))
	}
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

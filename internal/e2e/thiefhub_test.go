package e2e

import (
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/openid"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// stolen runs a second hub, of a thief: the program as it is published, on copies of the
// first one's database and keys, with its Redis, at its address. The first one ends.
func (e *edge) stolen(t *testing.T) *edge {
	t.Helper()
	dir, err := testenv.ShortDir()
	if err != nil {
		t.Fatal(err)
	}
	th := &edge{conf: e.conf, dir: dir, url: e.url, port: e.port, env: e.env, key: e.key, names: e.names}
	t.Cleanup(th.remove)
	e.kill()
	if err := os.CopyFS(th.file("data"), os.DirFS(e.file("data"))); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(th.file("data/master.key"), 0o600); err != nil { // a key that others may read is refused
		t.Fatal(err)
	}
	if err := th.startMail(); err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(th.file("Caddyfile"), []byte(th.caddyfile()), 0o600); err != nil {
		t.Fatal(err)
	}
	th.start(t)
	return th
}

// taken is the vault with the thief's hub in front of its agent.
func (k *vault) taken() *vault {
	k.t.Helper()
	th := k.edge.stolen(k.t)
	env := *k.environment
	env.edge, env.rest = th, th.rest(k.t)
	taken := *k
	taken.environment = &env
	poll(k.t, "the agent comes to the thief's hub", func() bool { return taken.hasAgent() })
	return &taken
}

// hasAgent reports whether the environment's hub has an agent.
func (v *environment) hasAgent() bool {
	v.t.Helper()
	var list struct{ Agents []agentRow }
	v.do(http.MethodGet, "/api/directories/"+v.directory+"/agents", nil, &list)
	return slices.ContainsFunc(list.Agents, func(a agentRow) bool { return len(a.Nodes) > 0 })
}

// falsifies writes into the thief's database that a recovery has proven what the agent
// asks for besides.
func (k *vault) falsifies(p *visitor, proven ...string) {
	k.t.Helper()
	p.until("what the agent asks for besides", `name="method"`)
	id := strings.TrimPrefix(p.recovery(), "/r/")
	list, err := json.Marshal(proven)
	if err != nil {
		k.t.Fatal(err)
	}
	db := k.edge.rows(k.t)
	if _, err := db.Exec(`UPDATE verifications SET proven = ?, state = 'proven', version = version + 1 WHERE env = ? AND recovery = ?`, string(list), k.id, id); err != nil {
		k.t.Fatal(err)
	}
	r, err := db.Exec(`UPDATE recoveries SET state = 'ready', problem = '', version = version + 1 WHERE env = ? AND id = ?`, k.id, id)
	if err != nil {
		k.t.Fatal(err)
	}
	if n, err := r.RowsAffected(); n != 1 || err != nil {
		k.t.Fatalf("%d rows of the recovery, %v", n, err)
	}
	p.get("")
	p.until("the button that the database promises", `id="perform"`)
}

// The thief's hub is a second process with everything that the first one kept, and an
// administrator's session and key: every setting of the hub can be changed, every proof
// that the hub checks can be made up, and its database says what the thief writes into it.
// Nothing is written to a strict account, each attempt stands in the agent's own log, and
// what passes through in a legitimate reset cannot be read (T2, T3, T5, T15).
func TestT02_T03_T05_T15_TheThiefsOwnHubWritesNothingToAStrictAccount(t *testing.T) {
	t.Parallel()
	k := openVault(t, edgeConfig{Redis: testenv.SharedRedis(t).URL()}, "Beute", "Viktor", "Konrad").taken()
	victim, colleague := k.people["Viktor"], k.people["Konrad"]
	owner := k.edge.owner(k.environment)
	eve, mal := k.voucher(owner, "fence"), k.voucher(owner, "lookout")
	forger, err := evidencetest.NewAuthority("UT", "Utopia", time.Now())
	if err != nil {
		t.Fatal(err)
	}
	k.trusts("forger", forger)
	front := openid.New(t)
	front.ClientID = "front"
	k.asks("Front", front)
	k.change(map[string]any{"methods": map[string]any{
		"default":   [][]string{{"mail_code"}, {"digital_credential"}, {"identity_provider"}, {"mail_code", "approval"}},
		"approvals": map[string]any{"staff": []string{eve.mail, mal.mail, k.ute.mail}, "count": 2},
	}})
	stamp := k.stamp(victim)
	var table attacks
	attempt := func(name string, way func(p *visitor)) {
		t.Helper()
		p := k.visit()
		way(p)
		k.refused(p, victim, stamp, name)
		table.add(name, k.agent.lastRefusal(victim.id))
	}
	attempt("a policy of the hub's code alone, and a database that says that the rest was proven", func(p *visitor) {
		sent := k.codes(victim.private)
		p.starts(victim.mail)
		p.way("mail_code", asksCode)
		p.post("code", "code", k.environment.code(victim.private, sent))
		k.falsifies(p, "mail_code", "digital_credential", "agent_code")
	})
	attempt("a trust anchor of the thief, and a forged document", func(p *visitor) {
		k.byPapers(p, victim, forger)
		k.falsifies(p, "digital_credential", "agent_code")
	})
	attempt("a provider of the thief", func(p *visitor) {
		k.byBank(p, victim, front)
		k.falsifies(p, "identity_provider", "agent_code")
	})
	attempt("two approvers of the thief, invited in the console", func(p *visitor) { k.byVouchers(p, victim, eve, mal) })

	// A colleague's legitimate reset passes through: the hub and its disk do not hold it.
	p := k.visit()
	k.published(p)
	k.byPapers(p, colleague, k.authority)
	k.code(p, colleague.private, len(k.agentCodes(colleague.private)))
	p.press()
	secret := p.finish()
	if err := k.dc.Bind(t, colleague.mail, secret); !said(err, "data 773") {
		t.Errorf("a legitimate reset through the thief's hub: %v", err)
	}
	table.add("a legitimate reset passes through", k.unread(secret))
	if now := k.stamp(victim); now != stamp {
		t.Errorf("the victim was written to: %s, want %s", now, stamp)
	}
	table.table(t)
}

// published checks that the edge serves the very scripts and styles of the bundle that the
// program prints and the hub's log records, and that the first page's scripts are among
// them: what a thief, unlike a hostile hub, serves (T4).
func (k *vault) published(p *visitor) {
	k.t.Helper()
	p.get("/")
	scripts := regexp.MustCompile(`<script[^>]*src="([^"]+)"`).FindAllStringSubmatch(p.page, -1)
	if len(scripts) == 0 {
		k.t.Fatalf("the first page has no script: %s", p.page)
	}
	list, err := exec.CommandContext(k.t.Context(), programs.postern, "bundle", "--list").Output()
	if err != nil {
		k.t.Fatal(err)
	}
	name := fmt.Sprintf("%x", sha256.Sum256(list))
	poll(k.t, "the log names the bundle", func() bool {
		var n int
		err := k.edge.rows(k.t).QueryRow(`SELECT count(*) FROM audit_events WHERE env = ? AND kind = 'recovery_bundle_changed' AND leaf LIKE ?`, k.id, "%"+name+"%").Scan(&n)
		return err == nil && n == 1
	})
	folder := path.Dir(scripts[0][1])
	served := map[string]bool{}
	for line := range strings.Lines(string(list)) {
		sum, file, _ := strings.Cut(strings.TrimSpace(line), "  ")
		if path.Base(path.Dir(file)) != "static" {
			continue
		}
		address := folder + "/" + path.Base(file)
		if p.get(address); fmt.Sprintf("%x", sha256.Sum256([]byte(p.page))) != sum {
			k.t.Errorf("%s is not the file that is published", address)
		}
		served[address] = true
	}
	for _, s := range scripts {
		if !served[s[1]] {
			k.t.Errorf("the first page runs %s, which is not in the bundle", s[1])
		}
	}
}

// lastRefusal is what the agent wrote down last about an account, in a word.
func (a *agent) lastRefusal(id string) string {
	a.t.Helper()
	word := ""
	for _, e := range a.allEvents("perform") {
		if e.Account == id && e.Code != "" {
			word = e.Code
		}
	}
	return word
}

// unread looks for a temporary password in all that the hub keeps: disk, logs, memory.
func (k *vault) unread(secret string) string {
	k.t.Helper()
	looked := 0
	err := filepath.WalkDir(k.edge.dir, func(path string, d os.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		looked++
		if strings.Contains(string(text), secret) {
			k.t.Errorf("%s holds the temporary password", path)
		}
		return nil
	})
	if err != nil {
		k.t.Fatal(err)
	}
	if strings.Contains(string(memory(k.t, k.edge.child.PID())), secret) {
		k.t.Error("the hub's memory holds the temporary password")
	}
	return fmt.Sprintf("done; in none of %d files, nor in memory", looked)
}

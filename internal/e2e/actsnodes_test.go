package e2e

import (
	"bytes"
	"encoding/json"
	"fmt"
	"net/http"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// A registry is two nodes and an office whose agent changes accounts, some of them only
// if a second administrator agrees.
type registry struct {
	*cluster
	*office
	t     *testing.T
	agent *agent
	kim   *second
}

// A second is another administrator, at whichever node the balancer gives them.
type second struct {
	*visitor
	key *evidencetest.Authenticator
}

const staffGroup = "cn=staff," + testenv.SlapdGroups

func openRegistry(t *testing.T) *registry {
	t.Helper()
	r := &registry{cluster: startCluster(t, 2), office: openOfficeWith(t, testenv.SlapdOptions{People: colleagues, MustChange: true, Acts: true}), t: t}
	r.front.lead(r.nodes[0])
	file := r.office.agent()
	file.Directory = strings.NewReplacer("disabled_attribute = \"corpStatus\"\n", "", "disabled_values = [\"left\"]\n", "").Replace(file.Directory)
	file.Guard = `acts = ["enable", "disable", "set_must_change", "add_to_group", "remove_from_group", "set_attribute", "delete_account"]
act_attributes = ["telephoneNumber"]
act_groups = ["` + staffGroup + `"]
second_administrator = ["set_attribute", "delete_account"]`
	r.agent = r.startAgent(file)
	r.connected()
	r.kim = r.invited("kim")
	return r
}

// invited lets one more administrator in, who makes a passkey and signs in with it.
func (r *registry) invited(name string) *second {
	r.t.Helper()
	site := r.front.url("localhost")
	_, token, _ := strings.Cut(r.nodes[0].invite(r.t, store.Staff{Name: name, Mail: name + "@corp.example", Role: "owner"}), "#") // admins delete nobody
	s := &second{newVisitor(r.t, site, r.front.port), evidencetest.NewAuthenticator(site)}
	s.get("/console/join")
	s.do(http.MethodPost, "/console/join", s.form("token", token))
	s.want(http.StatusOK, "the page of the invitation")
	s.do(http.MethodPost, "/console/join/key", s.form("answer", string(s.key.Register(s.challenge()))))
	s.get("/console")
	s.do(http.MethodPost, "/console/enter", s.form("answer", string(s.key.Assert(s.challenge()))))
	s.want(http.StatusOK, "the console")
	return s
}

// looks opens what an order would change now, and is asked for the passkey over it.
func (s *second) looks(order string) {
	s.t.Helper()
	var path string
	poll(s.t, "the order is shown, and its agent can be asked", func() bool {
		s.get("/console/orders")
		if path = s.attribute(`action="(/console/orders/[^/"]*/` + order + `)"`); path == "" {
			return false
		}
		return s.do(http.MethodPost, path, s.form()) == http.StatusOK
	})
	s.path = path
}

// agrees gives the passkey's word for what the page shows.
func (s *second) agrees() int {
	s.t.Helper()
	return s.do(http.MethodPost, s.path+"/confirm", s.form("answer", string(s.key.Assert(s.challenge()))))
}

// An ordered operation is one as the REST API shows it.
type orderedAct struct{ ID, Operation, State, Code, Message string }

// gives orders an operation at a node.
func (r *registry) gives(at *edge, who colleague, body map[string]any) (out orderedAct) {
	r.t.Helper()
	r.at(at)
	at.rest(r.t).do(http.MethodPost, "/api/accounts/"+who.email+"/operations", body, &out)
	return out
}

// acts are the operations of an account as a node knows them, the newest first.
func (r *registry) acts(at *edge, who colleague) []orderedAct {
	r.t.Helper()
	var list struct{ Operations []orderedAct }
	at.rest(r.t).do(http.MethodGet, "/api/accounts/"+who.email+"/operations", nil, &list)
	return list.Operations
}

// recorded counts the audit log's events of a kind that name an operation.
func (r *registry) recorded(at *edge, kind, operation string) (n int) {
	r.t.Helper()
	var list struct{ Events []json.RawMessage }
	at.rest(r.t).do(http.MethodGet, "/api/audit?count=1000&kind="+kind, nil, &list)
	said, _ := json.Marshal(operation) // a string
	for _, e := range list.Events {
		if bytes.Contains(e, bytes.Trim(said, `"`)) {
			n++
		}
	}
	return n
}

// held has the agent's write about somebody wait before the server, once a node says that
// the order was sent. It is the second of that kind then: the agent tries first what it may.
func (r *registry) held(at *edge, who colleague) (came <-chan struct{}, release func()) {
	there, free := make(chan struct{}), make(chan struct{})
	release = sync.OnceFunc(func() { close(free) })
	sent := 0
	r.cutter.On(func(op byte) testenv.Cut {
		if _, body, _ := at.rest(r.t).try(http.MethodGet, "/api/accounts/"+who.email+"/operations", nil); op == testenv.LDAPModify && bytes.Contains(body, []byte(`"sent"`)) {
			sent++
			if sent == 2 {
				close(there)
				<-free
			}
		}
		return testenv.Pass
	})
	r.t.Cleanup(release)
	return there, release
}

// once checks that what was agreed to happened one time: in the directory's own log, and
// in ours, as a node tells it.
func (r *registry) once(at *edge, who colleague, value string) {
	r.t.Helper()
	var list []orderedAct
	defer func() {
		if r.t.Failed() {
			r.t.Logf("%s: %+v; the administrator's page: %d %s", who.email, list, r.kim.status, r.kim.text())
		}
	}()
	poll(r.t, "the outcome", func() bool { list = r.acts(at, who); return len(list) > 0 && list[0].State == "done" })
	if len(list) != 1 {
		r.t.Errorf("%s: %+v", who.email, list)
	}
	if got := r.slapd.Values(r.t, who.dn, "telephoneNumber"); !slices.Equal(got, []string{value}) {
		r.t.Errorf("%s: the directory has %q", who.email, got)
	}
	if n := r.changes(who); n != 1 {
		r.t.Errorf("%s: %d modifies in the directory's own log, want 1", who.email, n)
	}
	for _, kind := range []string{"operation_waiting", "operation_agreed", "operation_requested", "operation_finished"} {
		if n := r.recorded(at, kind, list[0].Operation); n != 1 {
			r.t.Errorf("%s: the log has %d events %s, want 1", who.email, n, kind)
		}
	}
}

// sets orders an attribute to be set, which waits for somebody else, and returns the order.
func (r *registry) sets(at *edge, who colleague, value string) string {
	r.t.Helper()
	out := r.gives(at, who, map[string]any{"operation": "set_attribute", "attribute": "telephoneNumber", "values": []string{value}})
	if out.State != "waiting" || out.ID == "" {
		r.t.Fatalf("%s: %+v", who.email, out)
	}
	return out.ID
}

// A canaryValue is a telephone number that stands nowhere by chance.
func canaryValue(n int) string { return fmt.Sprintf("+49(30)555-%04d-8%d177", 471+n, n) }

// kept is everything that the servers of the installation hold or were told.
func (r *registry) kept(dump string, said []byte) places {
	r.t.Helper()
	sql, err := exec.CommandContext(soon(r.t), dump, "--no-owner", r.nodes[0].conf.Store).Output()
	if err != nil {
		r.t.Fatal(err)
	}
	keys, err := r.redis.Do(soon(r.t), "EVAL", `local r = {} for _, k in ipairs(redis.call('KEYS', '*')) do r[#r+1] = k .. '\n' .. redis.call('DUMP', k) end return table.concat(r, '\n')`, "0")
	if err != nil {
		r.t.Fatal(err)
	}
	return places{"PostgreSQL": sql, "Redis": []byte(keys), "what was said to Redis": said}
}

// The agent is at one node; orders are given and agreed at the other one, which may end
// meanwhile, or the agent's: each is carried out once. What was set stands in the
// directory alone.
func TestP25_P06_AccountOperationsOverTwoNodesHappenOnceAndLeaveNoValue(t *testing.T) {
	t.Parallel()
	dump := testenv.Need(t, "pg_dump")
	r := openRegistry(t)
	near, far := r.nodes[0], r.nodes[1] // from the agent
	traffic := monitor(t, r.redis.Addr)
	values := canaries{}
	value := func(n int) string { v := canaryValue(n); values[fmt.Sprintf("value %d", n)] = v; return v }

	t.Run("what one administrator may do", func(t *testing.T) { r.alone(far) })

	waits := r.sets(far, r.colleague(1), value(1)) // until the end
	whileWaiting := r.kept(dump, traffic())
	denied := r.sets(near, r.colleague(1), value(2))

	t.Run("given at one node and agreed at the other", func(t *testing.T) {
		order := r.sets(near, r.colleague(2), value(3))
		r.at(far)
		r.kim.looks(order)
		if r.kim.agrees(); !strings.Contains(r.kim.text(), "Done") {
			t.Errorf("agreed: %d %s", r.kim.status, r.kim.text())
		}
		r.once(near, r.colleague(2), value(3))
	})

	t.Run("the node where it is agreed dies while the agent writes", func(t *testing.T) {
		order := r.sets(far, r.colleague(3), value(4))
		r.kim.looks(order)
		came, release := r.held(near, r.colleague(3))
		go func() { <-came; r.kill(far); release() }()
		if r.kim.agrees() == http.StatusOK { // the balancer says that the node did not answer
			t.Errorf("agreed at a node that was killed: %s", r.kim.text())
		}
		<-far.child.Done()
		r.once(near, r.colleague(3), value(4))
	})
	far.start(t)

	t.Run("the agent's node dies while the agent writes", func(t *testing.T) {
		order := r.sets(far, r.colleague(4), value(5))
		r.kim.looks(order)
		came, release := r.held(far, r.colleague(4))
		go func() { <-came; r.front.lead(far); near.kill(); release() }()
		if r.kim.agrees(); r.kim.status != http.StatusOK || strings.Contains(r.kim.text(), "Not carried out") { // it waits for the outcome a while
			t.Errorf("agreed: %d %s", r.kim.status, r.kim.text())
		}
		r.once(far, r.colleague(4), value(5))
	})
	near.start(t)

	t.Run("the agent's node dies before anybody agrees", func(t *testing.T) { // which is far now
		order := r.sets(near, r.colleague(5), value(6))
		r.front.lead(near)
		r.kill(far)
		r.kim.looks(order)
		if r.kim.agrees(); !strings.Contains(r.kim.text(), "Done") {
			t.Errorf("agreed: %d %s", r.kim.status, r.kim.text())
		}
		r.once(near, r.colleague(5), value(6))
	})
	far.start(t)

	r.denies(far, denied)
	r.front.serve(r.nodes...)
	r.kim.get("/console/orders")
	if !strings.Contains(r.kim.page, waits) || len(regexp.MustCompile(`/deny"`).FindAllString(r.kim.page, -1)) != 1 {
		t.Errorf("one order waits: %s", r.kim.text())
	}
	if n := r.changes(r.colleague(1)); n != 0 {
		t.Errorf("%d writes for what nobody agreed to", n)
	}
	r.verified(t)

	where := r.kept(dump, traffic())
	for place, text := range whileWaiting {
		where[place+" while it waits"] = text
	}
	for i, n := range r.nodes {
		files(t, where, n.dir, fmt.Sprint("node ", i), "master.key", "Caddyfile")
	}
	files(t, where, filepath.Join(r.pg.Dir(), "data"), "PostgreSQL's files")
	files(t, where, r.agent.dir, "agent", "keys.json", "ldap-password")
	for i, m := range r.nodes[0].mail.Messages() {
		where[fmt.Sprint("mail ", i)] = []byte(m.Text)
	}
	seen(t, where, map[string]string{
		"PostgreSQL": "set_attribute?attribute=telephoneNumber", "PostgreSQL while it waits": "act_orders", "Redis": "postern", "what was said to Redis": "publish",
		"node 0, access.log": "/operations", "node 1, access.log": "/operations", "node 0, edge.log": r.directory, "node 1, edge.log": r.directory, "agent, agent.log": "set_attribute",
	})
	search(t, where, values)
}

// alone orders, at a node, what needs nobody else, and asks the directory about it.
func (r *registry) alone(at *edge) {
	who, gone := r.colleague(0), r.colleague(7)
	signsIn := func() bool { return r.slapd.WhoAmI(who.dn, testenv.SlapdEmployeePassword) == nil }
	in := func() bool { return slices.Contains(r.slapd.Values(r.t, staffGroup, "member"), who.dn) }
	mustChange := func() bool { return slices.Equal(r.slapd.Values(r.t, who.dn, "pwdReset"), []string{"TRUE"}) }
	for _, step := range []struct {
		operation, group string
		dry              bool
		want             string
		holds            func() bool
		now              bool
	}{
		{"disable", "", true, "foreseen", signsIn, true},
		{"disable", "", false, "done", signsIn, false},
		{"disable", "", false, "refused", signsIn, false},
		{"enable", "", false, "done", signsIn, true},
		{"add_to_group", "staff", false, "done", in, true},
		{"remove_from_group", "staff", false, "done", in, false},
		{"add_to_group", "admins", false, "refused", in, false},
		{"set_must_change", "", false, "done", mustChange, true},
	} {
		body := map[string]any{"operation": step.operation, "dry_run": step.dry}
		if step.group != "" {
			body["group"] = step.group
		}
		if out := r.gives(at, who, body); out.State != step.want {
			r.t.Errorf("%s %s: %+v, want %s", step.operation, step.group, out, step.want)
		}
		if got := step.holds(); got != step.now {
			r.t.Errorf("after %s %s (dry run: %v) the directory says %v", step.operation, step.group, step.dry, got)
		}
	}
	out := r.gives(at, gone, map[string]any{"operation": "delete_account"})
	r.kim.looks(out.ID)
	if out.State != "waiting" || len(r.slapd.Values(r.t, gone.dn, "uid")) != 1 {
		r.t.Errorf("deleted by one alone: %+v", out)
	}
	if r.kim.agrees(); r.slapd.WhoAmI(gone.dn, testenv.SlapdEmployeePassword) == nil {
		r.t.Errorf("agreed, and the account is there: %s", r.kim.text())
	}
}

// denies ends an order.
func (r *registry) denies(at *edge, order string) {
	r.t.Helper()
	r.at(at)
	r.kim.get("/console/orders")
	path := r.kim.attribute(`action="(/console/orders/[^/"]*/` + order + `/deny)"`)
	r.kim.do(http.MethodPost, path, r.kim.form())
	r.kim.want(http.StatusOK, "the order is denied")
}

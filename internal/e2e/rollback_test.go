package e2e

import (
	"net/http"
	"os"
	"os/exec"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// keeps copies the hub's disk, which is at rest, and returns where the copy is.
func (e *edge) keeps(t *testing.T) string {
	t.Helper()
	to := e.file("kept")
	e.copied(t, to, e.file("data"))
	return to
}

// restores puts a copy in the place of the hub's disk, as a backup is restored, or as
// somebody runs a second hub with the first one's keys.
func (e *edge) restores(t *testing.T, from string) {
	t.Helper()
	if err := os.RemoveAll(e.file("data")); err != nil {
		t.Fatal(err)
	}
	e.copied(t, e.file("data"), from)
}

func (e *edge) copied(t *testing.T, to, from string) {
	t.Helper()
	if err := os.CopyFS(to, os.DirFS(from)); err != nil {
		t.Fatal(err)
	}
	if err := os.Chmod(to+"/master.key", 0o600); err != nil { // a key that others may read is refused
		t.Fatal(err)
	}
}

// attempts walks the way to the button and presses it, if there is one.
func (v *environment) attempts(who colleague) {
	v.t.Helper()
	p, sent := v.visit(), v.codes(who.personal)
	p.begin(who.email, "password")
	p.post("code", "code", v.code(who.personal, sent))
	if p.ready() {
		p.press()
	}
}

// logStopped is the hash by which the environment's agent stopped, as REST says it.
func (v *environment) logStopped() string {
	v.t.Helper()
	var list struct {
		Agents []struct {
			LogStopped string `json:"log_stopped"`
		}
	}
	v.do(http.MethodGet, "/api/directories/"+v.directory+"/agents", nil, &list)
	if len(list.Agents) != 1 {
		v.t.Fatalf("%d agents", len(list.Agents))
	}
	return list.Agents[0].LogStopped
}

// refused reports whether the agent wrote down that it refused, with a code.
func (a *agent) refused(code string, methods ...string) bool {
	for _, m := range methods {
		if slices.ContainsFunc(a.events(m), func(e event) bool { return e.Code == code }) {
			return true
		}
	}
	return false
}

// acceptLog runs postern-agent accept-log.
func (a *agent) acceptLog(hash ...string) (string, error) {
	a.t.Helper()
	out, err := exec.CommandContext(soon(a.t), programs.agent, append(append([]string{"accept-log"}, hash...), "--config", a.config())...).CombinedOutput()
	return string(out), err
}

// Whoever has the hub's disk and keys can write what they like, and make each entry of an
// attempt say something else before anybody reads it: then the agent does not act, and
// has the attempt in its own log. A hub whose database was put back is found out, and
// goes on when the agent's administrator says so.
func TestT08_T09_NoAttemptIsHiddenFromTheLogAndNoLogIsPutBack(t *testing.T) {
	t.Parallel()
	o, e := openOffice(t), startEdge(t, edgeConfig{})
	v := e.environment(t, "witnessed", "ldap")
	a := v.startAgent(o.agent())
	reset := func(who colleague) {
		t.Helper()
		sent := v.codes(who.personal)
		o.wasReset(who, v.visit().reset(who.email, func() string { return v.code(who.personal, sent) }))
	}
	reset(o.colleague(0))

	db := e.rows(t)
	if _, err := db.Exec(`CREATE TRIGGER hide AFTER INSERT ON audit_recent WHEN NEW.kind = 'operation_requested' BEGIN
		UPDATE audit_recent SET kind = 'recovery_notified', leaf = replace(leaf, 'operation_requested', 'recovery_notified') WHERE id = NEW.id; END`); err != nil {
		t.Fatal(err)
	}
	v.attempts(o.colleague(1))
	poll(t, "the agent has the hidden attempt in its own log", func() bool { return a.refused("log_unproven", "perform") })
	o.unchanged(o.colleague(1))
	if _, err := db.Exec(`DROP TRIGGER hide`); err != nil {
		t.Fatal(err)
	}
	_ = db.Close()

	e.kill()
	kept := e.keeps(t)
	e.start(t)
	poll(t, "the agent is back", func() bool { return v.hasAgent() })
	reset(o.colleague(2))
	e.kill()
	e.restores(t, kept)
	e.start(t)
	poll(t, "the hub knows that its agent was shown another history", func() bool { return v.logStopped() != "" })
	v.attempts(o.colleague(3))
	o.unchanged(o.colleague(3))
	if !a.refused("log_inconsistent", "witness", "perform") {
		t.Error("the agent's log does not have the other history")
	}
	shown, err := a.acceptLog()
	hashes := regexp.MustCompile(`[0-9a-f]{64}`).FindAllString(shown, -1)
	if err != nil || len(hashes) != 3 || hashes[1] != v.logStopped() || hashes[0] == hashes[1] {
		t.Fatalf("accept-log prints %v: %s", err, shown)
	}
	if out, err := a.acceptLog(hashes[0]); err == nil {
		t.Errorf("the hash of what was seen is accepted: %s", out)
	}
	o.unchanged(o.colleague(3))
	if out, err := a.acceptLog(hashes[1]); err != nil || !strings.Contains(out, "Accepted") {
		t.Fatalf("accept-log: %v %s", err, out)
	}
	poll(t, "the hub knows that its agent acts again", func() bool { return v.logStopped() == "" })
	reset(o.colleague(4))
}

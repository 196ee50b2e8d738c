package e2e

import (
	"fmt"
	"net/http"
	"os"
	"slices"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// heldTables are a rule of strict mode: the agent's own code, in a message that names
// what is asked, and a delay that the agent keeps.
const heldTables = `
[evidence]
origins = ["https://recover.example.com"]
[[evidence.group]]
group = "team00"
require_agent_verifiable = true
methods = [["agent_code"]]
confirm = "agent"
delay = "2s"
`

// Hub, pages and agent together: the person proves to the hub what its policy asks for,
// then to the agent what its file asks for, the agent holds the operation, and the same
// button carries it out.
func TestT01_T05_T23_AStrictAccountGetsBackInThroughHubAndAgent(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	who, free := o.colleague(0), o.colleague(1)
	mails := testenv.StartSMTP(t, mailbox.Config{})
	v := sharedEdge(t).environment(t, "strict", "ldap")
	v.permit()
	c := o.agent()
	c.Evidence = heldTables
	c.SMTP = fmt.Sprintf("host = %q\nfrom = \"recovery@corp.example\"\ntls = \"off\"", mails.Addr())
	a := v.startAgent(c)

	p := v.visit()
	p.begin(who.email, "password")
	p.post("code", "code", v.code(who.personal, 0))
	if p.ready() {
		t.Fatal("the hub's own code was enough")
	}
	m, err := mails.Wait(soon(t), func(m mailbox.Message) bool { return eightDigits.MatchString(m.Text) })
	if err != nil {
		t.Fatalf("no code of the agent: %s", p.text())
	}
	if !strings.Contains(m.Text, who.email) || !strings.Contains(m.Text, "set a new temporary password") {
		t.Errorf("the agent's message does not name account and operation: %s", m.Text)
	}
	poll(t, "the page that asks for the agent's code", func() bool { p.get(""); return strings.Contains(p.page, `name="code"`) })
	p.prove(eightDigits.FindString(m.Text))
	p.press()
	poll(t, "the agent holds it", func() bool { p.get(""); return p.ready() && strings.Contains(p.text(), "holds this for a while") })
	o.unchanged(who)
	poll(t, "the button carries it out", func() bool {
		if p.ready() {
			p.press()
		}
		p.get("")
		return p.done()
	})
	o.wasReset(who, p.secret())
	if _, err := mails.Wait(soon(t), func(m mailbox.Message) bool {
		return strings.Contains(m.Subject, "recovered") && slices.Contains(m.To, who.personal)
	}); err != nil {
		t.Errorf("the agent did not tell the owner: %v", err)
	}
	if !slices.ContainsFunc(a.events("perform"), func(e event) bool { return e.State == "accepted" && slices.Equal(e.Proven, []string{"agent_code"}) }) {
		t.Errorf("the agent's log: %+v", a.events("perform"))
	}
	o.wasReset(free, v.visit().reset(free.email, func() string { return v.code(free.personal, 0) })) // in no strict group
	t.Logf("agent in strict mode: %s", strings.Join(strings.Fields(resident(t, a)), " "))
}

// resident is what the process has in memory.
func resident(t *testing.T, a *agent) string {
	t.Helper()
	text, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", a.child.PID()))
	if err != nil {
		return err.Error()
	}
	for line := range strings.Lines(string(text)) {
		if strings.HasPrefix(line, "VmRSS") {
			return line
		}
	}
	return ""
}

// A thief who answers the agent in the words of the public protocol, with the own
// subprotocol or without, gets nothing from it: an agent that is enrolled speaks only
// inside the encrypted channel, to the hub key of its ticket (T24).
func TestT24_TheThiefReachesNothingThroughTheLegacySocket(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	who := o.colleague(0)
	h := startHostileHub(t)
	c := o.agent()
	c.Evidence = heldTables
	c.SMTP = "host = \"127.0.0.1:1\"\nfrom = \"recovery@corp.example\"\ntls = \"off\""
	a, link := h.agent(c)
	var dialled atomic.Int64
	legacy := `{"id":"1","reset_password":{"immutable_id":"` + testenv.SlapdID(who.dn) + `"},"perform_operation":{"immutable_id":"` + testenv.SlapdID(who.dn) + `","operation":"get_temporary_password"}}`
	old := http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		up := websocket.Upgrader{}
		if dialled.Add(1)%2 == 0 {
			up.Subprotocols = []string{protocol.Subprotocol}
		}
		ws, err := up.Upgrade(w, r, nil)
		if err != nil {
			return
		}
		defer ws.Close()
		for range 3 {
			_ = ws.WriteMessage(websocket.TextMessage, []byte(legacy))
			_ = ws.WriteMessage(websocket.BinaryMessage, []byte(legacy))
		}
		_ = ws.SetReadDeadline(time.Now().Add(time.Second))
		_, _, _ = ws.ReadMessage()
	})
	h.instead.Store(&old)
	link.Close(protocol.CloseComeBack, "now in the old words")
	poll(t, "the agent comes back", func() bool { return dialled.Load() >= 4 })
	if n := len(a.events("perform")) + len(a.events("begin")); n != 0 {
		t.Errorf("%d requests were taken", n)
	}
	o.unchanged(who)
}

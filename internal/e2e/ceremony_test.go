package e2e

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
	"github.com/postern-id/postern/protocol/seal"
)

const (
	recoverySite = "https://recover.example.com"
	lookAlike    = "https://recover.examp1e.com"
)

// A strictSite is a directory whose people are strict, and who looks at its own log.
type strictSite struct {
	conf   agentConfig
	victim string                 // immutable id, whom the thief is after
	other  string                 // a colleague who helps the thief
	record func(id string) string // what changes with each write to somebody, by the server's own record
	every  int                    // which bytes are flipped: a server that is slow to read takes its time
	signIn func(id, password string) error
}

// A thief has the hub's keys, and may send an agent whatever a hub may send.
type thief struct {
	t         *testing.T
	hub       *hostileHub
	site      strictSite
	agent     *agent
	link      *protocol.Link
	mails     *mailbox.Server
	authority *evidencetest.Authority // that the agents' file trusts
	forger    *evidencetest.Authority // the thief's own
	papers    *evidencetest.MDoc      // of the victim
	card      *evidencetest.SDJWT
	boss, hr  *evidencetest.Authenticator // approvers, entered by the local administrator

	mu   sync.Mutex
	asks []string // ids of the frames that must stand in the agent's log
	mail int

	outcomes attacks
}

var victimsPapers = evidencetest.Person{Family: "Hatano", Given: "Kim", BirthDate: "1988-02-29", Document: "D-1", Expires: "2040-01-01"}

// evidenceTables are what the agents' file believes and asks for.
const evidenceTables = `
[evidence]
origins = ["https://recover.example.com"]
trust = ["iaca.pem"]
[[evidence.group]]
group = "*"
require_agent_verifiable = true
methods = [["digital_credential", "agent_code"], ["passkey", "agent_code"], ["approval"]]
approvals = 2
`

func newThief(t *testing.T, site strictSite) *thief {
	t.Helper()
	th := &thief{t: t, hub: startHostileHub(t), site: site, mails: testenv.StartSMTP(t, mailbox.Config{})}
	var err1, err2, err3, err4 error
	th.authority, err1 = evidencetest.NewAuthority("UT", "Utopia", time.Now())
	th.forger, err2 = evidencetest.NewAuthority("UT", "Utopia", time.Now()) // the same name, another key
	th.papers, err3 = th.authority.IssueMDoc(victimsPapers, time.Now())
	th.card, err4 = th.authority.IssueSDJWT(victimsPapers, time.Now())
	for _, err := range []error{err1, err2, err3, err4} {
		if err != nil {
			t.Fatal(err)
		}
	}
	c := site.conf
	c.Evidence, c.SMTP = evidenceTables, fmt.Sprintf("host = %q\nfrom = \"recovery@corp.example\"\ntls = \"off\"", th.mails.Addr())
	c.Guard = "per_account_per_hour = 100"
	c.Secrets["iaca.pem"] = string(th.authority.PEM())
	th.site.conf = c
	th.agent, th.link = th.hub.agent(c)
	th.boss, th.hr = th.approver("boss"), th.approver("hr")
	return th
}

// approver enters a person with a passkey at the agent's own machine.
func (th *thief) approver(id string) *evidencetest.Authenticator {
	th.t.Helper()
	a := evidencetest.NewAuthenticator(recoverySite)
	text, err := json.Marshal(a.Credential())
	if err != nil {
		th.t.Fatal(err)
	}
	hash := a.Credential().Hash()
	cmd := exec.CommandContext(soon(th.t), programs.agent, "approver", "add", "--config", th.agent.config(),
		"--id", id, "--person", "person-of-"+id, "--fingerprint", hex.EncodeToString(hash[:]))
	cmd.Stdin = strings.NewReader(string(text))
	if out, err := cmd.CombinedOutput(); err != nil {
		th.t.Fatalf("approver add: %v\n%s", err, out)
	}
	return a
}

// begun is a recovery with the key of whoever made its recipient.
type begun struct {
	protocol.PerformRequest
	key *ecdh.PrivateKey
}

// begin begins an operation on somebody with a fresh recipient.
func (th *thief) begin(account, operation string) begun {
	th.t.Helper()
	q := protocol.BeginRequest{Recovery: make([]byte, protocol.RandomPart), Account: account, Operation: operation, Origin: "recover.example.com"}
	_, _ = rand.Read(q.Recovery)
	var b protocol.Begun
	if err := th.link.Call(th.t.Context(), protocol.MethodBegin, protocol.PriorityRecovery, q, &b); err != nil || b.Finding != nil && operation != "unlock" { // nothing is locked; evidence can be asked for all the same
		th.t.Fatalf("begin: %v, finding %v", err, b.Finding)
	}
	key, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		th.t.Fatal(err)
	}
	m := protocol.Members{Recovery: protocol.RecoveryID(q.Recovery, b.Recovery), Directory: "directory-1", Account: b.Account, Operation: operation, NotAfter: b.NotAfter}
	if !strings.HasPrefix(operation, "enroll_key") && operation != "unlock" {
		m.Recipient = recipientOf(th.t, key)
	}
	return begun{protocol.PerformRequest{TTL: 60, Sent: time.Now().Unix(), Members: m, Context: m.Context()}, key}
}

func recipientOf(t *testing.T, key *ecdh.PrivateKey) []byte {
	t.Helper()
	r, err := seal.Encode(key.PublicKey())
	if err != nil {
		t.Fatal(err)
	}
	return r
}

// perform sends a frame under a name that the agent's log must know afterwards.
func (th *thief) perform(l *protocol.Link, name string, q protocol.PerformRequest, pieces ...protocol.Evidence) (protocol.Outcome, error) {
	th.mu.Lock()
	q.ID = fmt.Sprintf("%s-%d", name, len(th.asks))
	th.asks = append(th.asks, q.ID)
	th.mu.Unlock()
	q.Evidence = pieces
	if q.Sent == 0 {
		q.Sent = time.Now().Unix()
	}
	out, err := th.hub.perform(l, q)
	th.outcomes.add(name, outcomeOf(out, err))
	return out, err
}

// attacks counts what came of each attack, by its name.
type attacks struct {
	sync.Mutex
	names []string
	came  map[string]map[string]int
}

func (a *attacks) add(name, outcome string) {
	if kind, _, many := strings.Cut(name, " byte "); many {
		name = kind
	}
	a.Lock()
	defer a.Unlock()
	if a.came == nil {
		a.came = map[string]map[string]int{}
	}
	if a.came[name] == nil {
		a.came[name] = map[string]int{}
		a.names = append(a.names, name)
	}
	a.came[name][outcome]++
}

// table prints them, one line each.
func (a *attacks) table(t *testing.T) {
	a.Lock()
	defer a.Unlock()
	var b strings.Builder
	wide := 0
	for _, name := range a.names {
		wide = max(wide, len(name))
	}
	for _, name := range a.names {
		var came []string
		for _, outcome := range slices.Sorted(maps.Keys(a.came[name])) {
			came = append(came, fmt.Sprintf("%s ×%d", outcome, a.came[name][outcome]))
		}
		fmt.Fprintf(&b, "\n  %-*s  %s", wide, name, strings.Join(came, ", "))
	}
	t.Logf("attack and outcome:%s", b.String())
}

// outcomeOf is what the agent answered, in a word.
func outcomeOf(out protocol.Outcome, err error) string {
	switch {
	case err != nil:
		return string(protocol.CodeOf(err))
	case out.Error != nil:
		return string(out.State) + ": " + string(out.Error.Code)
	case out.Replayed:
		return string(out.State) + ", the same result again"
	}
	return string(out.State)
}

// tries sends a frame that must change nothing.
func (th *thief) tries(name string, q begun, pieces ...protocol.Evidence) {
	th.t.Helper()
	out, err := th.perform(th.link, name, q.PerformRequest, pieces...)
	if err == nil && (out.State == protocol.Done || out.State == protocol.Accepted || len(out.Sealed) > 0) {
		th.t.Errorf("%s: %s", name, out.State)
	}
}

var eightDigits = regexp.MustCompile(`\b[0-9]{8}\b`)

// typesCode is the victim, who gets the agent's code and types it into the page that
// the hub serves.
func (th *thief) typesCode(q begun) {
	th.t.Helper()
	var sent protocol.SentCode
	if err := th.link.Call(th.t.Context(), protocol.MethodSendCode, protocol.PriorityRecovery, protocol.SendCodeRequest{Recovery: q.Members.Recovery}, &sent); err != nil {
		th.t.Fatalf("send_code: %v", err)
	}
	th.mail++
	m, err := th.mails.Wait(soon(th.t), func(m mailbox.Message) bool {
		n, _ := strconv.Atoi(m.ID)
		return n >= th.mail && eightDigits.MatchString(m.Text)
	})
	if err != nil {
		th.t.Fatal(err)
	}
	th.mail, _ = strconv.Atoi(m.ID)
	var checked protocol.CheckedCode
	err = th.link.Call(th.t.Context(), protocol.MethodCheckCode, protocol.PriorityRecovery,
		protocol.CheckCodeRequest{Recovery: q.Members.Recovery, Code: eightDigits.FindString(m.Text)}, &checked)
	if err != nil || !checked.OK {
		th.t.Fatalf("check_code: %v %+v", err, checked)
	}
}

// shows is a wallet that presents a document at an origin.
func shows(t *testing.T, d *evidencetest.MDoc, at string, c protocol.Context) protocol.Evidence {
	t.Helper()
	tr, err := evidence.Transcript("OpenID4VPDCAPIHandover", at, c.String(), nil)
	if err != nil {
		t.Fatal(err)
	}
	_, required, optional, _ := evidence.DocTypeElements(evidencetest.DocType)
	response, err := d.Present(tr, append(required, optional...)...)
	if err != nil {
		t.Fatal(err)
	}
	return presented(t, evidence.TypeMDoc, at, response)
}

func showsCard(t *testing.T, d *evidencetest.SDJWT, at string, c protocol.Context) protocol.Evidence {
	t.Helper()
	required, optional := evidence.CredentialClaims()
	text, err := d.Present("origin:"+at, c.String(), time.Now(), append(required, optional...)...)
	if err != nil {
		t.Fatal(err)
	}
	return presented(t, evidence.TypeSDJWT, at, []byte(text))
}

func presented(t *testing.T, kind, at string, response []byte) protocol.Evidence {
	t.Helper()
	raw, err := evidence.Presentation{Transport: evidence.TransportDCAPI, Origin: at, Response: response}.Raw()
	if err != nil {
		t.Fatal(err)
	}
	return protocol.Evidence{Type: kind, Raw: raw}
}

func relabelled(e protocol.Evidence) protocol.Evidence {
	e.Raw = []byte(strings.ReplaceAll(string(e.Raw), lookAlike, recoverySite))
	return e
}

func asserted(a *evidencetest.Authenticator, c protocol.Context) protocol.Evidence {
	return protocol.Evidence{Type: evidence.TypePasskey, Raw: a.Assert(c)}
}

func approved(a *evidencetest.Authenticator, c protocol.Context, id string) protocol.Evidence {
	return protocol.Evidence{Type: evidence.TypeApproval, Raw: a.Approve(c, id)}
}

// allEvents reads the older files of the event log too.
func (a *agent) allEvents(method string) []event {
	a.t.Helper()
	all := a.events(method)
	older, err := filepath.Glob(filepath.Join(a.dir, "state", "events.jsonl.*"))
	if err != nil {
		a.t.Fatal(err)
	}
	for _, name := range older {
		text, err := os.ReadFile(name)
		if err != nil {
			a.t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			var e event
			if json.Unmarshal([]byte(line), &e) == nil && e.Method == method {
				all = append(all, e)
			}
		}
	}
	return all
}

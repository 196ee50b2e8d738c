package e2e

import (
	"crypto/ecdh"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
	"github.com/postern-id/postern/protocol/seal"
)

const strictReset = "get_temporary_password"

// makesUp sends proofs, passkeys and approvers that the thief made.
func (th *thief) makesUp() {
	th.t.Helper()
	own := evidencetest.NewAuthenticator(recoverySite)
	named := *own
	named.ID = th.boss.ID
	papers, err1 := th.forger.IssueMDoc(victimsPapers, time.Now())
	card, err2 := th.forger.IssueSDJWT(victimsPapers, time.Now())
	token := jwt.NewWithClaims(jwt.SigningMethodES256, jwt.MapClaims{"iss": "https://id.example.net", "aud": "recovery", "sub": "kim", "iat": time.Now().Unix(), "exp": time.Now().Add(time.Hour).Unix()})
	signed, err3 := token.SignedString(th.forger.Credentials.Key)
	if err1 != nil || err2 != nil || err3 != nil {
		th.t.Fatal(err1, err2, err3)
	}
	q := th.begin(th.site.victim, strictReset)
	c := q.Context
	th.tries("nothing", q)
	for _, kind := range []string{"mail_code", "sms_code", "totp", "saved_code", "review", "manual", "agent_code", "passkey", "mdoc", "sdjwt", "id_token", "approval"} {
		th.tries("the-hubs-word", q, protocol.Evidence{Type: kind}, protocol.Evidence{Type: kind, Raw: []byte(`{"ok":true}`)})
	}
	th.tries("made-up-mdoc", q, shows(th.t, papers, recoverySite, c), asserted(own, c))
	th.tries("made-up-sdjwt", q, showsCard(th.t, card, recoverySite, c), asserted(own, c))
	th.tries("made-up-token", q, protocol.Evidence{Type: evidence.TypeIDToken, Raw: []byte(signed)}, asserted(own, c))
	th.tries("made-up-passkey", q, asserted(own, c), asserted(&named, c))
	th.tries("made-up-approvers", q, approved(own, c, "boss"), approved(&named, c, "boss"), approved(own, c, "thief"), approved(own, c, "hr"))
	th.tries("one-approver-twice", q, approved(th.boss, c, "boss"), approved(th.boss, c, "boss"), approved(th.boss, c, "hr"))
	th.enrols(own, nil)
	th.enrols(own, func(c protocol.Context) []protocol.Evidence { return []protocol.Evidence{asserted(own, c)} })
	q = th.begin(th.site.victim, strictReset)
	th.tries("enrolled-by-itself", q, asserted(own, q.Context))
}

// enrols asks the agent to let the thief's passkey in for the victim.
func (th *thief) enrols(own *evidencetest.Authenticator, pieces func(protocol.Context) []protocol.Evidence) {
	th.t.Helper()
	hash := own.Credential().Hash()
	q := th.begin(th.site.victim, "enroll_key?key="+hex.EncodeToString(hash[:]))
	text, err := json.Marshal(own.Credential())
	if err != nil {
		th.t.Fatal(err)
	}
	q.Credential = text
	var with []protocol.Evidence
	if pieces != nil {
		with = pieces(q.Context)
	}
	th.tries("made-up-registration", q, with...)
}

// collects uses what the victim really showed, for something else.
func (th *thief) collects(spent begun, shown []protocol.Evidence) {
	th.t.Helper()
	fresh := th.begin(th.site.victim, strictReset)
	th.tries("replayed", fresh, shown...)
	th.tries("replayed-approvals", fresh, approved(th.boss, spent.Context, "boss"), approved(th.hr, spent.Context, "hr"))
	unlock := th.begin(th.site.victim, "unlock")
	asked := []protocol.Evidence{shows(th.t, th.papers, recoverySite, unlock.Context), approved(th.boss, unlock.Context, "boss"), approved(th.hr, unlock.Context, "hr")}
	th.tries("another-operation", fresh, asked...)
	for _, operation := range []string{"get_temporary_password", "get_temporary_password?must_change=false", "remove_all_mfa"} {
		q := unlock
		q.Members.Operation, q.Members.Recipient = operation, fresh.Members.Recipient
		q.Context = q.Members.Context()
		th.tries("another-parameter", q, asked...)
	}
	ours := th.begin(th.site.other, strictReset) // a colleague with real papers of their own
	th.tries("another-account", fresh, approved(th.boss, ours.Context, "boss"), approved(th.hr, ours.Context, "hr"))
	moved := ours
	moved.Members.Account = th.site.victim
	moved.Context = moved.Members.Context()
	th.tries("another-account", moved, approved(th.boss, moved.Context, "boss"), approved(th.hr, moved.Context, "hr"))
	namesake, err := th.authority.IssueMDoc(namesakesPapers(), time.Now())
	if err != nil {
		th.t.Fatal(err)
	}
	th.tries("a-namesake", fresh, shows(th.t, namesake, recoverySite, fresh.Context))
	th.tries("the-papers-alone", fresh, shows(th.t, th.papers, recoverySite, fresh.Context))
}

// namesakesPapers are real papers of somebody else of the same name and birth date.
func namesakesPapers() evidencetest.Person {
	p := victimsPapers
	p.Document = "D-2"
	return p
}

// bends changes a ceremony that the victim completes, one member after another.
func (th *thief) bends() {
	th.t.Helper()
	q := th.begin(th.site.victim, strictReset)
	th.typesCode(q) // so that only the document is missing
	c := q.Context
	far := *th.boss
	far.Origin = lookAlike
	th.tries("look-alike", q, shows(th.t, th.papers, lookAlike, c))
	th.tries("look-alike-relabelled", q, relabelled(shows(th.t, th.papers, lookAlike, c)))
	th.tries("look-alike-card", q, relabelled(showsCard(th.t, th.card, lookAlike, c)))
	th.tries("look-alike-approver", q, approved(&far, c, "boss"), approved(th.hr, c, "hr"))
	swapped := q
	thiefs, err := ecdh.P256().GenerateKey(rand.Reader)
	if err != nil {
		th.t.Fatal(err)
	}
	swapped.Members.Recipient = recipientOf(th.t, thiefs)
	th.tries("swapped-recipient", swapped, shows(th.t, th.papers, recoverySite, c)) // under the old context
	swapped.Context = swapped.Members.Context()
	th.tries("swapped-recipient", swapped, shows(th.t, th.papers, recoverySite, c), approved(th.boss, c, "boss"), approved(th.hr, c, "hr"))
	late := q
	late.Members.NotAfter += 24 * 3600
	late.Context = late.Members.Context()
	th.tries("longer-life", late, shows(th.t, th.papers, recoverySite, late.Context))
	old := q
	old.Sent = time.Now().Add(-10 * time.Minute).Unix()
	th.tries("old-frame", old, shows(th.t, th.papers, recoverySite, c))
	long := time.Now().AddDate(-30, 0, 0)
	lapsed := victimsPapers
	lapsed.Expires = "2020-01-01"
	expired, err := th.authority.IssueMDoc(lapsed, time.Now())
	if err != nil {
		th.t.Fatal(err)
	}
	th.tries("expired", q, shows(th.t, expired, recoverySite, c))
	if past, err := evidencetest.NewAuthority("UT", "Utopia", long); err == nil {
		if d, err := past.IssueMDoc(victimsPapers, long); err == nil {
			th.tries("expired-issuer", q, shows(th.t, d, recoverySite, c))
		}
	}
}

// flips sends a document and a credential with one bit changed at every byte.
func (th *thief) flips() {
	th.t.Helper()
	q := th.begin(th.site.victim, strictReset)
	th.typesCode(q)
	slots := make(chan struct{}, 16)
	var calls sync.WaitGroup
	n := 0
	for kind, e := range map[string]protocol.Evidence{evidence.TypeMDoc: shows(th.t, th.papers, recoverySite, q.Context), evidence.TypeSDJWT: showsCard(th.t, th.card, recoverySite, q.Context)} {
		var p evidence.Presentation
		if err := json.Unmarshal(e.Raw, &p); err != nil {
			th.t.Fatal(err)
		}
		for i := n % th.site.every; i < len(p.Response); i += th.site.every {
			changed := slices.Clone(p.Response)
			changed[i] ^= 1 << (i / th.site.every % 8)
			n++
			slots <- struct{}{}
			calls.Go(func() {
				defer func() { <-slots }()
				out, err := th.perform(th.link, fmt.Sprint("flip-", kind, " byte ", i), q.PerformRequest, presented(th.t, kind, recoverySite, changed))
				if err == nil && out.State != protocol.Failed {
					th.t.Errorf("%s, byte %d: %s", kind, i, out.State)
				}
			})
		}
	}
	calls.Wait()
	th.t.Logf("%d flipped bytes", n)
}

// attempts is everything that the thief tries, around one legitimate reset.
func (th *thief) attempts() {
	th.t.Helper()
	before, colleagues := th.site.record(th.site.victim), th.site.record(th.site.other)
	// A legitimate reset that passes through the thief's hands.
	own := th.begin(th.site.victim, strictReset)
	th.typesCode(own)
	shown := []protocol.Evidence{shows(th.t, th.papers, recoverySite, own.Context)}
	out, err := th.perform(th.link, "legitimate", own.PerformRequest, shown...)
	if err != nil || out.State != protocol.Done {
		th.t.Fatalf("a legitimate strict reset: %v %+v %v", err, out.State, out.Error)
	}
	th.cannotOpen(own, out)
	secret, err := seal.Open(own.key, out.Context, out.Sealed)
	if err != nil {
		th.t.Fatalf("the browser cannot open its password: %v", err)
	}
	if err := th.site.signIn(th.site.victim, secret.Reveal()); err != nil {
		th.t.Errorf("the temporary password does not sign in: %v", err)
	}
	once := th.site.record(th.site.victim)
	if once == before {
		th.t.Error("the server has no record of the legitimate write")
	}
	th.makesUp()
	th.collects(own, shown)
	th.bends()
	th.flips()
	th.elsewhere(shown)
	th.stockpiles()
	if now := th.site.record(th.site.victim); now != once {
		th.t.Errorf("the victim was written to: %s, want %s", now, once)
	}
	if now := th.site.record(th.site.other); now != colleagues {
		th.t.Errorf("a colleague was written to: %s, want %s", now, colleagues)
	}
	th.stands()
}

// cannotOpen tries every key that the thief has on the sealed password, and asks for it again.
func (th *thief) cannotOpen(own begun, out protocol.Outcome) {
	th.t.Helper()
	for range 3 {
		key, err := ecdh.P256().GenerateKey(rand.Reader)
		if err != nil {
			th.t.Fatal(err)
		}
		if _, err := seal.Open(key, out.Context, out.Sealed); err == nil {
			th.t.Error("the thief opens the password")
		}
		again := own
		again.Members.Recipient = recipientOf(th.t, key)
		again.Context = again.Members.Context()
		th.tries("sealed-again", again, shows(th.t, th.papers, recoverySite, again.Context))
	}
	if key, err := ecdh.P256().NewPrivateKey(th.hub.keys.Private); err == nil { // the hub's own key
		if _, err := seal.Open(key, out.Context, out.Sealed); err == nil {
			th.t.Error("the hub's key opens the password")
		}
	}
}

// elsewhere goes to a second agent of the directory, with the same file, which did not begin it.
func (th *thief) elsewhere(shown []protocol.Evidence) {
	th.t.Helper()
	second, l := th.hub.agent(th.site.conf)
	q := th.begin(th.site.victim, strictReset)
	pieces := []protocol.Evidence{shows(th.t, th.papers, recoverySite, q.Context), approved(th.boss, q.Context, "boss"), approved(th.hr, q.Context, "hr")}
	req := q.PerformRequest
	req.ID, req.Evidence = "second-agent", append(pieces, shown...)
	out, err := th.hub.perform(l, req)
	if protocol.CodeOf(err) != protocol.CodeNotBegun {
		th.t.Errorf("a second agent: %v %+v", err, out.State)
	} else {
		th.outcomes.add("second-agent", outcomeOf(out, err))
	}
	if !slices.ContainsFunc(second.events("perform"), func(e event) bool { return e.Request == "second-agent" && e.Code != "" }) {
		th.t.Error("the second agent's log does not have the attempt")
	}
}

// stockpiles gathers evidence for a recovery, and shows it after a restart for another.
func (th *thief) stockpiles() {
	th.t.Helper()
	q := th.begin(th.site.victim, strictReset)
	c := q.Context
	gathered := []protocol.Evidence{shows(th.t, th.papers, recoverySite, c), showsCard(th.t, th.card, recoverySite, c), approved(th.boss, c, "boss"), approved(th.hr, c, "hr")}
	if err := th.link.Call(th.t.Context(), protocol.MethodDrop, protocol.PriorityRecovery, protocol.RecoveryRef{Recovery: q.Members.Recovery}, nil); err != nil {
		th.t.Fatal(err)
	}
	th.agent.kill()
	th.agent.start()
	th.link = th.hub.next()
	th.tries("stockpiled", q, gathered...) // cancelled before: final
	fresh := th.begin(th.site.victim, strictReset)
	th.tries("stockpiled", fresh, gathered...)
}

// stands checks that every attempt is in the agent's own log.
func (th *thief) stands() {
	th.t.Helper()
	log := map[string]event{}
	for _, e := range th.agent.allEvents("perform") {
		log[e.Request] = e
	}
	for _, id := range th.asks {
		e, there := log[id]
		if legitimate := strings.HasPrefix(id, "legitimate"); !there || legitimate != (e.State == string(protocol.Done)) || !legitimate && e.Code == "" {
			th.t.Errorf("the agent's log on %s: there %v, %+v", id, there, e)
		}
	}
	th.t.Logf("%d requests, all in the agent's own log", len(th.asks))
	th.outcomes.table(th.t)
}

func TestT02_T03_T05_T15_TheThiefWritesNothingToAStrictAccount_OpenLDAP(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	kim, other := o.colleague(0), o.colleague(1)
	o.slapd.Modify(t, "dn: "+kim.dn+"\nchangetype: modify\nreplace: sn\nsn: Hatano\n-\nreplace: givenName\ngivenName: Kim\n-\nadd: corpBirthDate\ncorpBirthDate: 1988-02-29\n")
	conf := o.agent()
	conf.Directory += "\nbirth_date_attribute = \"corpBirthDate\""
	dns := map[string]string{testenv.SlapdID(kim.dn): kim.dn, testenv.SlapdID(other.dn): other.dn}
	newThief(t, strictSite{
		conf: conf, victim: testenv.SlapdID(kim.dn), other: testenv.SlapdID(other.dn),
		every:  1,
		record: func(id string) string { return fmt.Sprint(o.slapd.Changes(t, dns[id], testenv.SlapdAgent)) },
		signIn: func(id, password string) error { return o.slapd.WhoAmI(dns[id], password) },
	}).attempts()
}

func TestT02_T03_T05_T15_TheThiefWritesNothingToAStrictAccount_ActiveDirectory(t *testing.T) {
	t.Parallel()
	s := testenv.SharedSamba(t)
	conf := sambaAgent(s)
	conf.Directory += "\nbirth_date_attribute = \"employeeNumber\""
	logins, dns := map[string]string{}, map[string]string{}
	person := func(login string, more map[string][]string) string {
		more["mail"], more["otherMailbox"] = []string{login + "@corp.example"}, []string{login + "@home.example"}
		dn, _ := s.AddPerson(t, testenv.SambaStaff, login, testenv.SambaEmployeePassword, more)
		id := s.ID(t, dn)
		logins[id], dns[id] = login+"@corp.example", dn
		return id
	}
	newThief(t, strictSite{
		conf:   conf,
		victim: person("kim.hatano", map[string][]string{"givenName": {"Kim"}, "sn": {"Hatano"}, "employeeNumber": {"1988-02-29"}}),
		other:  person("kims.colleague", map[string][]string{"givenName": {"Col"}, "sn": {"League"}}),
		every:  16,
		record: func(id string) string { return fmt.Sprint(s.Values(t, dns[id], "uSNChanged", "pwdLastSet")) },
		signIn: func(id, password string) error { return s.Bind(t, logins[id], password) },
	}).attempts()
}

// What a hostile hub can do, as the threat model says (T4): it serves the page, so its own
// key goes into the context, and whoever completes the ceremony there gives it the password.
func TestT04_AHostileHubReadsThePasswordOfWhoCompletesACeremonyOnItsPages(t *testing.T) {
	t.Parallel()
	o := openOffice(t)
	kim := o.colleague(0)
	o.slapd.Modify(t, "dn: "+kim.dn+"\nchangetype: modify\nreplace: sn\nsn: Hatano\n-\nreplace: givenName\ngivenName: Kim\n-\nadd: corpBirthDate\ncorpBirthDate: 1988-02-29\n")
	conf := o.agent()
	conf.Directory += "\nbirth_date_attribute = \"corpBirthDate\""
	th := newThief(t, strictSite{conf: conf, victim: testenv.SlapdID(kim.dn)})
	q := th.begin(th.site.victim, strictReset) // the key is the thief's
	th.typesCode(q)
	out, err := th.perform(th.link, "hostile-page", q.PerformRequest, shows(t, th.papers, recoverySite, q.Context))
	if err != nil || out.State != protocol.Done {
		t.Fatalf("%v %+v %v", err, out.State, out.Error)
	}
	secret, err := seal.Open(q.key, out.Context, out.Sealed)
	if err != nil || o.slapd.WhoAmI(kim.dn, secret.Reveal()) != nil {
		t.Errorf("the threat model says that a hostile hub can; then it cannot: %v", err)
	}
	if _, err := th.mails.Wait(soon(t), func(m mailbox.Message) bool {
		return strings.Contains(m.Subject, "recovered") && slices.Contains(m.To, kim.personal)
	}); err != nil {
		t.Errorf("the agent itself does not tell the owner: %v", err)
	}
}

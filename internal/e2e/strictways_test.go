package e2e

import (
	"fmt"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/notify/mailbox"
	"github.com/postern-id/postern/internal/openid"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// A vault is a company in Active Directory whose agent believes nothing that it has not
// checked itself: documents of one authority, one provider, two people who vouch.
type vault struct {
	*environment
	dc        *testenv.Samba
	agent     *agent
	mails     *mailbox.Server         // where the agent's own messages go
	authority *evidencetest.Authority // in the agent's file and at the hub
	stranger  *evidencetest.Authority // at the hub alone
	bank      *openid.Provider        // in the agent's file and at the hub
	shop      *openid.Provider        // at the hub alone
	banks     map[*openid.Provider]string
	ute, max  *voucher // known to the agent and to the hub
	eve, mal  *voucher // known to the hub alone
	people    map[string]strictPerson
}

// A strictPerson is somebody in a vault.
type strictPerson struct{ given, family, mail, private, dn, id string }

const strictBirth = "1980-02-29"

// hubsOwn is the hub's policy of a vault: each is enough for the hub.
var hubsOwn = map[string]any{
	"default":   [][]string{{"digital_credential"}, {"identity_provider"}, {"mail_code", "approval"}},
	"approvals": map[string]any{"staff": []string{"ute@corp.example", "max@corp.example", "eve@corp.example", "mal@corp.example"}, "count": 2},
}

// agentsOwn are the terms of its agent.
const agentsOwn = `
[evidence]
origins = [%q]
trust = ["iaca.pem"]
[[evidence.provider]]
issuer = %q
client_id = %q
keys_file = "bank.json"
[[evidence.group]]
group = "*"
require_agent_verifiable = true
methods = [["digital_credential", "agent_code"], ["identity_provider", "agent_code"], ["approval"]]
approvals = 2
`

// openVault starts one behind an edge of its own; its people have the family name.
func openVault(t *testing.T, conf edgeConfig, family string, given ...string) *vault {
	t.Helper()
	k := &vault{dc: testenv.SharedSamba(t), mails: testenv.StartSMTP(t, mailbox.Config{}), bank: openid.New(t), shop: openid.New(t),
		banks: map[*openid.Provider]string{}, people: map[string]strictPerson{}}
	k.shop.ClientID = "shop"
	var err1, err2 error
	k.authority, err1 = evidencetest.NewAuthority("UT", "Utopia", time.Now())
	k.stranger, err2 = evidencetest.NewAuthority("UT", "Utopia", time.Now())
	if err1 != nil || err2 != nil {
		t.Fatal(err1, err2)
	}
	for _, name := range given {
		k.employs(t, name, family)
	}
	conf.Postern = "wallet_link http://wallet.localhost/open\nrecovery_option_wait 0s\nallow_private_webhooks 127.0.0.1/32"
	e := startEdge(t, conf)
	k.environment = e.environment(t, strings.ToLower(family), "ad")
	k.permit()
	k.trusts("known", k.authority)
	k.trusts("unknown", k.stranger)
	k.asks("Bank", k.bank)
	k.asks("Shop", k.shop)
	k.change(map[string]any{"methods": hubsOwn})
	owner := e.owner(k.environment)
	k.ute, k.max, k.eve, k.mal = k.voucher(owner, "ute"), k.voucher(owner, "max"), k.voucher(owner, "eve"), k.voucher(owner, "mal")
	k.agent = k.startAgent(k.file())
	k.agent.knows(k.ute)
	k.agent.knows(k.max)
	return k
}

func (k *vault) employs(t *testing.T, given, family string) {
	t.Helper()
	name := login(given, family)
	dn, _ := k.dc.AddPerson(t, testenv.SambaStaff, name, testenv.SambaEmployeePassword, map[string][]string{"givenName": {given}, "sn": {family},
		"displayName": {given + " " + family}, "employeeNumber": {strictBirth}, "mail": {name + "@corp.example"}, "otherMailbox": {name + "@home.example"}})
	k.people[given] = strictPerson{given, family, name + "@corp.example", name + "@home.example", dn, k.dc.ID(t, dn)}
}

// file is that of the agent.
func (k *vault) file() agentConfig {
	c := sambaAgent(k.dc)
	c.Directory += "\nbirth_date_attribute = \"employeeNumber\""
	c.SMTP = fmt.Sprintf("host = %q\nfrom = \"recovery@corp.example\"\ntls = \"off\"", k.mails.Addr())
	c.Guard = "per_account_per_hour = 20"
	c.Evidence = fmt.Sprintf(agentsOwn, k.site, k.bank.URL, k.bank.ClientID)
	c.Secrets["iaca.pem"], c.Secrets["bank.json"] = string(k.authority.PEM()), string(k.bank.JWKS())
	return c
}

// trusts lets the hub trust an authority.
func (v *environment) trusts(name string, a *evidencetest.Authority) {
	v.t.Helper()
	v.do(http.MethodPost, "/api/envs/"+v.id+"/trust", map[string]string{"name": name, "pem": string(a.PEM())}, nil)
}

// asks lets the hub ask a provider.
func (k *vault) asks(name string, p *openid.Provider) {
	k.t.Helper()
	p.Redirects = []string{k.site + "/provider/return"}
	var made struct{ ID string }
	k.do(http.MethodPost, "/api/envs/"+k.id+"/identity-providers", map[string]any{
		"name": name, "issuer": p.URL, "client_id": p.ClientID, "client_secret": p.Secret, "directories": []string{k.directory}}, &made)
	k.banks[p] = made.ID
}

// papers are somebody's documents by an authority.
func (k *vault) papers(a *evidencetest.Authority, of strictPerson) *evidencetest.Wallet {
	k.t.Helper()
	w, err := a.NewWallet(evidencetest.Person{Family: of.family, Given: of.given, BirthDate: strictBirth, Document: "D-" + of.given, Expires: "2099-01-01"}, time.Now())
	if err != nil {
		k.t.Fatal(err)
	}
	return w
}

// stamp is what changes with every write to the entry, by the server's own record.
func (k *vault) stamp(of strictPerson) string {
	k.t.Helper()
	return strings.Join(k.dc.Values(k.t, of.dn, "uSNChanged", "pwdLastSet"), " ")
}

// code types the agent's own code, which comes by the agent's own route after so many.
func (k *vault) code(p *visitor, to string, after int) {
	k.t.Helper()
	p.way("agent_code", asksCode)
	text := ""
	poll(k.t, "the agent's code", func() bool {
		codes := k.agentCodes(to)
		if len(codes) > after {
			text = codes[len(codes)-1]
		}
		return text != ""
	})
	p.prove(text)
}

// agentCodes are the codes that the agent has sent to an address, the oldest first.
func (k *vault) agentCodes(to string) (codes []string) {
	for _, m := range k.mails.Messages() {
		if code := eightDigits.FindString(m.Text); code != "" && slices.Contains(m.To, to) {
			codes = append(codes, code)
		}
	}
	slices.Reverse(codes)
	return codes
}

// byPapers proves a document to the hub, through the signed request and the encrypted
// answer of a wallet app.
func (k *vault) byPapers(p *visitor, of strictPerson, a *evidencetest.Authority) {
	k.t.Helper()
	p.starts(of.mail)
	p.way("digital_credential", asksScript)
	p.redeems(p.byApp(k.edge, k.papers(a, of), p.asked()))
	p.want(http.StatusOK, "a document")
}

// byBank proves a sign-in to the hub.
func (k *vault) byBank(p *visitor, of strictPerson, bank *openid.Provider) {
	k.t.Helper()
	bank.SignIn(map[string]any{"given_name": of.given, "family_name": of.family, "birthdate": strictBirth})
	p.starts(of.mail)
	p.way("identity_provider", asksAway)
	p.signsIn(bank, k.banks[bank])
	p.want(http.StatusOK, "a sign-in")
}

// byVouchers proves to the hub that two people vouch. known is how the hub's own code
// comes to whoever asks.
func (k *vault) byVouchers(p *visitor, of strictPerson, people ...*voucher) {
	k.t.Helper()
	sent := k.codes(of.private)
	p.starts(of.mail)
	p.way("mail_code", asksCode)
	p.post("code", "code", k.environment.code(of.private, sent))
	var before []int
	for _, a := range people {
		before = append(before, len(k.environment.mails(a.mail)))
	}
	p.way("approval", asksPeople)
	const shown = `class="number"><b>(\d\d)<`
	number := p.attribute(shown)
	if number == "" {
		k.t.Fatalf("no number to tell: %s", p.page)
	}
	defer func() {
		if k.t.Failed() {
			asked := p.page
			for i, a := range people {
				for j, m := range k.environment.mails(a.mail) {
					k.t.Logf("mail %d to %s, who had %d when they were asked: %s %q: %s", j, a.mail, before[i], m.At, m.Subject, m.Text)
				}
			}
			p.get("")
			k.t.Logf("the page of whoever asks said %s: %s; loaded again it says %s: %s", number, asked, p.attribute(shown), p.page)
		}
	}()
	for i, a := range people {
		a.vouches(k.environment, number, before[i])
		if n := len(k.environment.mails(a.mail)); n != before[i]+1 {
			k.t.Errorf("%s was asked by %d mails, want 1", a.mail, n-before[i])
		}
	}
	p.until("the button", `id="perform"`)
}

// gets presses the button and checks the temporary password at the domain controller.
func (k *vault) gets(p *visitor, of strictPerson, proven ...string) {
	k.t.Helper()
	p.press()
	if err := k.dc.Bind(k.t, of.mail, p.finish()); !said(err, "data 773") {
		k.t.Errorf("%s: the temporary password: %v, want that it must be changed", of.mail, err)
	}
	if !slices.ContainsFunc(k.agent.events("perform"), func(e event) bool {
		return e.Account == of.id && e.State == "done" && slices.Equal(e.Proven, proven)
	}) {
		k.t.Errorf("%s: the agent's log: %+v", of.mail, k.agent.events("perform"))
	}
}

// refused presses the button of a recovery that the hub believes to be proven, and checks
// that the agent does not, says so in its own log, and that nothing was written.
func (k *vault) refused(p *visitor, of strictPerson, stamp, why string) {
	k.t.Helper()
	told := func() (n int) {
		for _, e := range k.agent.allEvents("perform") {
			if e.Account == of.id && e.Code != "" && e.State != "done" {
				n++
			}
		}
		return n
	}
	before := told()
	if p.press(); p.status != http.StatusOK {
		k.t.Errorf("%s: the press: %d %s", why, p.status, p.text())
	}
	defer func() {
		if k.t.Failed() {
			k.t.Logf("%s: %s; the agent's log: %+v", why, p.text(), k.agent.allEvents("perform"))
		}
	}()
	poll(k.t, why+": the agent's answer", func() bool { p.get(""); return told() > before && !strings.Contains(p.page, "data-state=") })
	if strings.Contains(p.page, "data-sealed") || p.done() {
		k.t.Errorf("%s: the page has a result: %s", why, p.text())
	}
	if now := k.stamp(of); now != stamp {
		k.t.Errorf("%s: the directory was written to: %s, want %s", why, now, stamp)
	}
}

// Each kind of evidence that an agent can check gives a strict account of Active
// Directory a new password, through hub and pages; the same kinds from sources that only
// the hub knows give nothing, and the agent's own log says so (T2, T3, T5).
func TestT02_T03_T05_StrictAccountsRecoverWithWhatTheAgentKnowsAndNothingElse(t *testing.T) {
	t.Parallel()
	k := openVault(t, edgeConfig{}, "Tresor", "Doris", "Bruno", "Clara", "Emil")
	doris, bruno, clara, emil := k.people["Doris"], k.people["Bruno"], k.people["Clara"], k.people["Emil"]

	p := k.visit()
	k.byPapers(p, doris, k.authority)
	k.code(p, doris.private, 0)
	k.gets(p, doris, "agent_code", "digital_credential")

	p = k.visit()
	k.byBank(p, bruno, k.bank)
	k.code(p, bruno.private, 0)
	k.gets(p, bruno, "agent_code", "identity_provider")

	p = k.visit()
	k.byVouchers(p, clara, k.ute, k.max)
	k.gets(p, clara, "approval")

	before := k.stamp(emil)
	p = k.visit()
	k.byPapers(p, emil, k.stranger)
	k.code(p, emil.private, 0)
	k.refused(p, emil, before, "a document of an issuer that only the hub trusts")
	p = k.visit()
	k.byBank(p, emil, k.shop)
	k.code(p, emil.private, 1)
	k.refused(p, emil, before, "a sign-in at a provider that only the hub trusts")
	p = k.visit()
	k.byVouchers(p, emil, k.eve, k.mal)
	k.refused(p, emil, before, "two people whom only the hub knows")
	p = k.visit()
	k.byVouchers(p, emil, k.ute, k.eve)
	k.refused(p, emil, before, "one of two whom the agent knows")
	if err := k.dc.Bind(t, emil.mail, testenv.SambaEmployeePassword); err != nil {
		t.Errorf("the old password: %v", err)
	}
}

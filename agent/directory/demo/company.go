package demo

import (
	"crypto/sha1"
	"encoding/hex"
	"strings"
)

// The company's names.
const (
	companyName    = "Lindenhof"
	mailDomain     = "lindenhof.example"
	baseDN         = "dc=lindenhof,dc=example"
	peopleDN       = "ou=people," + baseDN
	groupsDN       = "ou=groups," + baseDN
	agentDN        = "cn=agent,ou=services," + baseDN
	policyDN       = "cn=default,ou=policies," + baseDN
	administrators = "Administrators"
)

// Attributes that no standard schema has.
const (
	attrPersonalMail = "lindenhofPersonalMail"
	attrTotpSecret   = "lindenhofTotpSecret"
	attrBirthDate    = "lindenhofBirthDate"
)

// InitialPassword is everybody's password until the first reset.
const InitialPassword = "Lindenhof-before-1"

// SharedAddress belongs to two accounts, so that it names nobody.
const SharedAddress = "sales@" + mailDomain

// sharing is the note of the two.
const sharing = "a code comes; none comes for " + SharedAddress + ", which names two people"

// An Account is somebody of the company, for people who try Postern out.
type Account struct {
	DN            string `json:"dn"`
	Email         string `json:"email"`
	Name          string `json:"name"`
	PersonalEmail string `json:"personal_email,omitempty"`
	BirthDate     string `json:"birth_date,omitempty"` // YYYY-MM-DD
	Note          string `json:"note,omitempty"`       // what is special about the account
}

// An employee is a row of the company.
type employee struct {
	uid, name, born, language string
	personal                  bool // has a private mail address
	group                     string
	note                      string
	more                      map[string]string
}

// employees are the company. The locked one was locked by failed sign-ins, the
// disabled one by an administrator.
var employees = []employee{
	{uid: "anna.berg", name: "Anna Berg", born: "1985-03-09", language: "de", personal: true, group: "Sales", note: "has an authenticator", more: map[string]string{attrTotpSecret: "JBSWY3DPEHPK3PXP", "mobile": "+49 30 5550101"}},
	{uid: "juergen.mueller", name: "Jürgen Müller-Lüdenscheidt", born: "1970-01-31", language: "de", personal: true, group: "Sales", more: map[string]string{"mobile": "+49 30 5550102"}},
	{uid: "wang.xiuying", name: "王 秀英", born: "1991-11-02", language: "zh", personal: true, group: "Engineering"},
	{uid: "mohammed.alahmad", name: "محمد الأحمد", born: "1988-07-19", language: "ar", personal: true, group: "Engineering"},
	{uid: "olena.shevchenko", name: "Олена Шевченко", born: "1994-08-24", language: "uk", personal: true, group: "Finance"},
	{uid: "sakura.tanaka", name: "田中 さくら", born: "1999-04-01", language: "ja", personal: true, group: "Engineering"},
	{uid: "eleni.papadopoulou", name: "Ελένη Παπαδοπούλου", born: "1979-12-06", language: "el", personal: true, group: "Finance"},
	{uid: "anika.sharma", name: "अनिका शर्मा", born: "1996-02-29", language: "hi", personal: true, group: "Sales"},
	{uid: "siobhan.oneill", name: "Siobhán Ní Néill", born: "1983-10-31", language: "en", personal: true, group: "Sales", note: "locked by failed sign-ins: choose the unlock", more: map[string]string{"pwdAccountLockedTime": "20260105081500Z"}},
	{uid: "dora.dunn", name: "Dora Dunn", born: "1968-05-05", language: "en", personal: true, group: "Sales", note: "disabled: no code comes, as for an address that nobody has", more: map[string]string{"pwdAccountLockedTime": "000001010000Z"}},
	{uid: "tess.tran", name: "Tess Trần", born: "1990-09-09", language: "en", personal: true, group: "Sales", note: sharing, more: map[string]string{"mail": SharedAddress}},
	{uid: "otis.tran", name: "Otis Trần", born: "1992-06-15", language: "en", personal: true, group: "Sales", note: sharing, more: map[string]string{"mail": SharedAddress}},
	{uid: "boris.keller", name: "Boris Keller", born: "1975-01-01", language: "de", personal: true, group: administrators, note: "a protected administrator: refused after the code"},
	{uid: "minjun.kim", name: "김민준", born: "1987-03-03", language: "ko", personal: true, group: "Help Desk", note: "an administrator through a nested group: refused after the code"},
	{uid: "cleo.carter", name: "Cleo Carter", born: "2001-12-24", language: "en", group: "Engineering", note: "has no address besides the company's"},
}

// teams are the groups; Help Desk is a member of Administrators.
var teams = []string{"Sales", "Engineering", "Finance", "Help Desk", administrators}

func (e employee) dn() string   { return "uid=" + e.uid + "," + peopleDN }
func (e employee) mail() string { return e.uid + "@" + mailDomain }

// personalMail is the private address, or "".
func (e employee) personalMail() string {
	if !e.personal {
		return ""
	}
	return e.uid + "@home.example"
}

// Accounts lists the company's people.
func Accounts() []Account {
	var out []Account
	for _, e := range employees {
		out = append(out, Account{DN: e.dn(), Email: e.mail(), Name: e.name, PersonalEmail: e.personalMail(), BirthDate: e.born, Note: e.note})
	}
	return out
}

// idOf is the entryUUID of an entry: the same in every run, so that a hub that has
// seen the company knows it again.
func idOf(dn string) string {
	h := sha1.Sum([]byte("postern demo " + dn))
	h[6], h[8] = h[6]&0x0f|0x50, h[8]&0x3f|0x80
	s := hex.EncodeToString(h[:16])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// entries builds the company. agentPassword signs the agent in.
func entries(agentPassword string) []*node {
	nodes := []*node{
		newNode(baseDN, "objectClass", "organization", "o", companyName),
		newNode(peopleDN, "objectClass", "organizationalUnit", "ou", "people"),
		newNode(groupsDN, "objectClass", "organizationalUnit", "ou", "groups"),
		newNode("ou=services,"+baseDN, "objectClass", "organizationalUnit", "ou", "services"),
		newNode("ou=policies,"+baseDN, "objectClass", "organizationalUnit", "ou", "policies"),
		newNode(policyDN, "objectClass", "pwdPolicy", "cn", "default", "pwdMinLength", "10", "pwdCheckQuality", "2", "pwdMustChange", "TRUE", "pwdLockoutDuration", "0"),
	}
	agent := newNode(agentDN, "objectClass", "applicationProcess", "cn", "agent")
	agent.password = hashPassword(agentPassword)
	nodes = append(nodes, agent)
	members := map[string][]string{administrators: {groupDN("Help Desk")}}
	for _, e := range employees {
		nodes = append(nodes, e.node())
		members[e.group] = append(members[e.group], e.dn())
	}
	for _, name := range teams {
		g := newNode(groupDN(name), "objectClass", "groupOfNames", "cn", name)
		g.set("member", members[name]...)
		if name == "Help Desk" {
			g.set("memberOf", groupDN(administrators))
		}
		nodes = append(nodes, g)
	}
	return nodes
}

func groupDN(name string) string { return "cn=" + name + "," + groupsDN }

// node builds the employee's entry.
func (e employee) node() *node {
	last := e.name[strings.LastIndexByte(e.name, ' ')+1:]
	n := newNode(e.dn(), "objectClass", "inetOrgPerson", "uid", e.uid, "cn", e.name, "displayName", e.name, "sn", last,
		attrBirthDate, e.born, "preferredLanguage", e.language, "memberOf", groupDN(e.group))
	n.set("mail", e.mail())
	if p := e.personalMail(); p != "" {
		n.set(attrPersonalMail, p)
	}
	if e.group != administrators {
		n.set("manager", employees[len(employees)-3].dn())
	}
	for name, value := range e.more {
		n.set(name, append(n.get(name), value)...)
	}
	n.password = hashPassword(InitialPassword)
	return n
}

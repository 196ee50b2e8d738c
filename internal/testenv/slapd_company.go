package testenv

import (
	"bufio"
	"context"
	"crypto/sha1"
	"encoding/base64"
	"encoding/hex"
	"fmt"
	"io"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
)

// manyPeople is where a filled database is kept for the next run: 100,000 people take
// slapadd 19 s and a copy half a second.
const manyPeople = 5000

// slapdCompany is bumped when the company changes, so that kept databases are rebuilt.
const slapdCompany = 1

// A person is somebody of the named company: attributes beside uid, cn, sn and mail,
// and the groups. Every attribute name that begins with "pwd" needs ppolicy.
type person struct {
	uid, cn, mail string
	more          []string // "attribute: value"
	groups        []string
}

// people are the named company. chief and deputy are administrators, deputy through a
// nested group; dora is locked by an administrator, lea left the company; the twins
// share an address; fritz, wanda and sam have password policies of their own.
var people = []person{
	{"anna", "Anna Berg", "anna@corp.example", []string{"corpPersonalMail: anna@home.example", "mobile: +49 30 1234567", "manager: " + slapdDN("chief"),
		"corpBirthDate: 1985-03-09", "corpTotpSecret: JBSWY3DPEHPK3PXP", "preferredLanguage: de"}, []string{"staff"}},
	{"jürgen", "Jürgen Müller-Lüdenscheidt", "juergen@corp.example", []string{"corpPersonalMail: juergen@home.example", "corpBirthDate: 19700131"}, []string{"staff"}},
	{"ben", "Ben O'Brien (Sales) *", "ben@corp.example", []string{"corpPersonalMail: ben@home.example"}, []string{"staff"}},
	{"cleo", "Cleo Carter", "cleo@corp.example", nil, nil},
	{"dora", "Dora Dunn", "dora@corp.example", []string{"pwdAccountLockedTime: 000001010000Z"}, []string{"staff"}},
	{"lea", "Lea Lopez", "lea@corp.example", []string{"corpStatus: left"}, []string{"staff"}},
	{"fritz", "Fritz Frost", "fritz@corp.example", []string{"pwdPolicySubentry: cn=strict,ou=policies," + SlapdBase}, []string{"staff"}},
	{"wanda", "Wanda Weiß", "wanda@corp.example", []string{"pwdPolicySubentry: cn=mustchange,ou=policies," + SlapdBase}, []string{"staff"}},
	{"sam", "Sam Stone", "sam@corp.example", []string{"pwdPolicySubentry: cn=safe,ou=policies," + SlapdBase}, []string{"staff"}},
	{"twin1", "Tess Tran", "twin1@corp.example", []string{"mail: info@corp.example"}, nil},
	{"twin2", "Otis Tran", "twin2@corp.example", []string{"mail: info@corp.example"}, nil},
	{"chief", "王 秀英", "chief@corp.example", nil, []string{"staff", "admins"}},
	{"deputy", "Девид Депутат", "deputy@corp.example", nil, []string{"deputies"}},
}

// slapdGroups are the named groups; deputies is a member of admins.
var slapdGroups = []string{"staff", "admins", "deputies"}

// policies by name, each with what differs from the default.
var slapdPolicies = []struct{ name, minLength, mustChange, safeModify string }{
	{"strict", "24", "FALSE", "FALSE"},
	{"mustchange", "10", "TRUE", "FALSE"},
	{"safe", "10", "FALSE", "TRUE"},
}

// slapdDN is where a person of the directory stands.
func slapdDN(uid string) string { return "uid=" + uid + "," + SlapdPeople }

// SlapdDN is where a person of the directory stands.
func SlapdDN(uid string) string { return slapdDN(uid) }

// SlapdID is the entryUUID of an entry: the same in every run.
func SlapdID(dn string) string {
	h := sha1.Sum([]byte(dn))
	h[6], h[8] = h[6]&0x0f|0x50, h[8]&0x3f|0x80
	s := hex.EncodeToString(h[:16])
	return s[:8] + "-" + s[8:12] + "-" + s[12:16] + "-" + s[16:20] + "-" + s[20:]
}

// fill puts the company into the database, from a kept one if there is one.
func (s *Slapd) fill() error {
	if s.options.People < manyPeople {
		return s.slapadd(filepath.Join(s.Dir, "company.ldif"))
	}
	kept, err := s.kept()
	if err != nil {
		return err
	}
	data := filepath.Join(s.Dir, "db", "data.mdb")
	if err := copyFile(data, kept); err == nil {
		return nil
	}
	if err := s.slapadd(filepath.Join(s.Dir, "company.ldif")); err != nil {
		return err
	}
	if err := os.MkdirAll(filepath.Dir(kept), 0o700); err != nil {
		return err
	}
	part := kept + fmt.Sprintf(".%d", os.Getpid())
	if err := copyFile(part, data); err != nil {
		return err
	}
	return os.Rename(part, kept)
}

// kept is where the filled database is kept: its name holds everything that it depends on.
func (s *Slapd) kept() (string, error) {
	cache, err := os.UserCacheDir()
	if err != nil {
		return "", err
	}
	path, err := Look("slapd")
	if err != nil {
		return "", err
	}
	version, err := exec.Command(path, "-VV").CombinedOutput()
	if err != nil {
		return "", err
	}
	sum := sha1.Sum(fmt.Appendf(nil, "%d %+v %s %s", slapdCompany, s.options, version, slapdConf))
	return filepath.Join(cache, "postern-test", fmt.Sprintf("slapd-%d-%x", s.options.People, sum[:6])), nil
}

func copyFile(to, from string) error {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	if _, err := io.Copy(out, in); err != nil {
		_ = out.Close()
		return err
	}
	return out.Close()
}

func (s *Slapd) slapadd(ldif string) error {
	f, err := os.Create(ldif)
	if err != nil {
		return err
	}
	w := bufio.NewWriter(f)
	if s.options.Custom {
		writeCustom(w, s.options)
	} else {
		writeCompany(w, s.options)
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if err := f.Close(); err != nil {
		return err
	}
	path, err := Look("slapadd")
	if err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(context.Background(), 3*startWithin)
	defer cancel()
	return RunAs(ctx, "", s.Dir, path, "-q", "-f", s.conf(), "-b", SlapdBase, "-l", ldif)
}

// writeCompany writes the directory as LDIF. slapadd does not run the memberof
// overlay, so memberOf is written out.
func writeCompany(w io.Writer, o SlapdOptions) {
	fmt.Fprintf(w, "dn: %s\nobjectClass: dcObject\nobjectClass: organization\ndc: corp\no: Corp Example\nentryUUID: %s\n\n", SlapdBase, SlapdID(SlapdBase))
	for _, ou := range []string{"people", "groups", "services", "policies"} {
		fmt.Fprintf(w, "dn: ou=%s,%s\nobjectClass: organizationalUnit\nou: %s\n\n", ou, SlapdBase, ou)
	}
	writePolicies(w, o)
	fmt.Fprintf(w, "dn: %s\nobjectClass: applicationProcess\nobjectClass: simpleSecurityObject\ncn: agent\nuserPassword: %s\n\n", SlapdAgent, ssha(SlapdAgentPassword))
	// A part of the tree that another server holds: searches answer it with a referral.
	fmt.Fprintf(w, "dn: ou=elsewhere,%s\nobjectClass: referral\nobjectClass: extensibleObject\nou: elsewhere\nref: ldap://127.0.0.1:1/ou=elsewhere,%s\n\n", SlapdPeople, SlapdPeople)
	for _, p := range people {
		writePerson(w, p, o.NoPolicy)
	}
	teams := make([][]string, min(20, o.People))
	for i := range o.People {
		team := fmt.Sprintf("team%02d", i%len(teams))
		p := person{fmt.Sprintf("emp%06d", i), fmt.Sprintf("Employee %d", i), fmt.Sprintf("emp%06d@corp.example", i),
			[]string{fmt.Sprintf("displayName: Employee %d of %s", i, team), fmt.Sprintf("employeeNumber: %d", i)}, []string{team}}
		writePerson(w, p, o.NoPolicy)
		teams[i%len(teams)] = append(teams[i%len(teams)], slapdDN(p.uid))
	}
	for i, members := range teams {
		writeGroup(w, fmt.Sprintf("team%02d", i), "", members)
	}
	writeNamedGroups(w)
}

func writePolicies(w io.Writer, o SlapdOptions) {
	if o.NoPolicy {
		return
	}
	mustChange := "FALSE"
	if o.MustChange {
		mustChange = "TRUE"
	}
	writePolicy(w, "default", "10", mustChange, "FALSE")
	for _, p := range slapdPolicies {
		writePolicy(w, p.name, p.minLength, p.mustChange, p.safeModify)
	}
}

func writePolicy(w io.Writer, name, minLength, mustChange, safeModify string) {
	fmt.Fprintf(w, "dn: cn=%s,ou=policies,%s\nobjectClass: device\nobjectClass: pwdPolicy\ncn: %s\npwdAttribute: userPassword\npwdCheckQuality: 2\npwdMinLength: %s\npwdInHistory: 3\n"+
		"pwdLockout: TRUE\npwdMaxFailure: 3\npwdLockoutDuration: 0\npwdFailureCountInterval: 0\npwdMustChange: %s\npwdSafeModify: %s\npwdAllowUserChange: TRUE\npwdMaxAge: 0\npwdMinAge: 0\n\n",
		name, SlapdBase, name, minLength, mustChange, safeModify)
}

func writePerson(w io.Writer, p person, noPolicy bool) {
	dn := slapdDN(p.uid)
	sn := p.cn[strings.LastIndexByte(p.cn, ' ')+1:]
	fmt.Fprintf(w, "%s%sobjectClass: inetOrgPerson\nobjectClass: corpPerson\n%s%s%smail: %s\nuserPassword: %s\nentryUUID: %s\n",
		line("dn", dn), "", line("uid", p.uid), line("cn", p.cn), line("sn", sn), p.mail, ssha(SlapdEmployeePassword), SlapdID(dn))
	for _, m := range p.more {
		name, value, _ := strings.Cut(m, ": ")
		if noPolicy && strings.HasPrefix(name, "pwd") {
			continue
		}
		io.WriteString(w, line(name, value))
	}
	for _, g := range p.groups {
		fmt.Fprintf(w, "memberOf: cn=%s,%s\n", g, SlapdGroups)
	}
	io.WriteString(w, "\n")
}

func writeNamedGroups(w io.Writer) {
	members := map[string][]string{"admins": {"cn=deputies," + SlapdGroups}}
	for _, p := range people {
		for _, g := range p.groups {
			members[g] = append(members[g], slapdDN(p.uid))
		}
	}
	for _, g := range slapdGroups {
		memberOf := ""
		if g == "deputies" {
			memberOf = "memberOf: cn=admins," + SlapdGroups + "\n"
		}
		writeGroup(w, g, memberOf, members[g])
	}
}

func writeGroup(w io.Writer, name, memberOf string, members []string) {
	dn := "cn=" + name + "," + SlapdGroups
	fmt.Fprintf(w, "dn: %s\nobjectClass: groupOfNames\ncn: %s\nentryUUID: %s\n%s", dn, name, SlapdID(dn), memberOf)
	for _, m := range members {
		io.WriteString(w, line("member", m))
	}
	io.WriteString(w, "\n")
}

// line writes an attribute, in base64 where LDIF asks for that.
func line(name, value string) string {
	for _, c := range []byte(value) {
		if c >= 0x80 {
			return name + ":: " + base64.StdEncoding.EncodeToString([]byte(value)) + "\n"
		}
	}
	return name + ": " + value + "\n"
}

// ssha is the salted hash that slapadd stores; slapd itself makes others.
func ssha(password string) string {
	salt := []byte("saltsalt")
	h := sha1.Sum(append([]byte(password), salt...))
	return "{SSHA}" + base64.StdEncoding.EncodeToString(append(h[:], salt...))
}

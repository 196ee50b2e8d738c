package command

import (
	"context"
	"errors"
	"log/slog"
	"os"
	"slices"
	"strconv"
	"testing"
	"time"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/directory/directorytest"
	"github.com/postern-id/postern/agent/directory/ldap"
	"github.com/postern-id/postern/agent/directory/ldapconn"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// A bridge is a worker with every word of ours, in front of a real LDAP server.
type bridge struct {
	d   directory.Directory
	all []account // of the pass that is read
}

// bridgePage is how many accounts a page of it has.
const bridgePage = 5

// newBridge takes address, file of the authority, and password of the agent's account.
func newBridge(args []string) *bridge {
	d, err := ldap.Open(ldap.Config{
		Config: ldapconn.Config{
			URLs: []string{"ldaps://" + args[0]}, CAFile: args[1], BindDN: testenv.SlapdAgent,
			Password: protocol.NewSecret(args[2]), Log: slog.New(slog.NewTextHandler(os.Stderr, nil)),
		},
		BaseDNs: []string{testenv.SlapdPeople}, MailAttributes: []string{"corpPersonalMail"}, PhoneAttributes: []string{"mobile"},
		ManagerAttribute: "manager", LanguageAttribute: "preferredLanguage", BirthDateAttribute: "corpBirthDate",
		PrivilegedGroups: []string{"admins"}, DisabledAttribute: "corpStatus", DisabledValues: []string{"left"},
		MFAAttributes: []string{"corpTotpSecret"}, DefaultPolicy: "cn=default,ou=policies," + testenv.SlapdBase, ServerHashes: true,
	})
	if err != nil {
		panic(err)
	}
	return &bridge{d: d}
}

func (b *bridge) answer(q request) any {
	ctx, cancel := context.WithTimeout(context.Background(), 50*time.Second)
	defer cancel()
	member, v, err := b.ask(ctx, q)
	if err == nil {
		return map[string]any{member: v}
	}
	var e *protocol.Error
	if !errors.As(err, &e) || errors.Is(err, directory.ErrUnsure) {
		e = protocol.Err(protocol.CodeInternal, "the server's answer was lost")
	}
	return map[string]any{"error": failure{e.Code, e.Message}}
}

func (b *bridge) ask(ctx context.Context, q request) (member string, v any, err error) {
	switch {
	case q.Configure != nil:
		about, err := b.d.Describe(ctx)
		t := about.Traits
		t.CanUpdateAccountsList = false
		return "configure", configured{about.Fingerprint, traits{t, true, true, true, true}}, err
	case q.ListAccounts != nil:
		v, err = b.list(ctx, q.ListAccounts.Cursor)
		return "list_accounts", v, err
	case q.GetAccount != nil:
		v, err = b.get(ctx, q.GetAccount.Ref)
		return "get_account", v, err
	case q.ListGroups != nil:
		list, err := b.d.Groups(ctx, protocol.GroupsRequest{Prefix: q.ListGroups.Prefix, Max: q.ListGroups.Max})
		return "list_groups", groupsPage{Groups: list}, err
	case q.GetStamp != nil:
		stamp, err := b.d.Stamp(ctx, q.GetStamp.Account, parsed(q.GetStamp.Operations))
		return "get_stamp", stamped{stamp}, err
	case q.Settle != nil:
		state, err := b.d.Settle(ctx, directory.Change{ID: q.Settle.Account, Tasks: parsed(q.Settle.Operations), Stamp: q.Settle.Stamp})
		return "settle", settled{state}, err
	case q.PerformOperation != nil:
		v, err = b.perform(ctx, *q.PerformOperation)
		return "perform_operation", v, err
	}
	return "pong", true, nil
}

func parsed(text string) []protocol.Task {
	list, err := protocol.ParseTasks(text)
	if err != nil {
		panic(err)
	}
	return list
}

func (b *bridge) perform(ctx context.Context, q performRequest) (performed, error) {
	task := protocol.Task{Operation: q.Operation}
	if q.MustChange {
		task.Params = map[string]string{"must_change": "true"}
	}
	c := directory.Change{ID: q.Account, Tasks: []protocol.Task{task}, Password: protocol.NewSecret(q.Password), Stamp: q.Stamp}
	if q.Unlock {
		c.Tasks = append(c.Tasks, protocol.Task{Operation: protocol.Unlock})
	}
	if q.DryRun {
		return performed{}, b.d.DryRun(ctx, c.ID, c.Tasks)
	}
	r, err := b.d.Perform(ctx, c)
	return performed{MustChange: r.MustChange}, err
}

func (b *bridge) list(ctx context.Context, cursor string) (page accountsPage, err error) {
	at, _ := strconv.Atoi(cursor)
	if cursor == "" {
		b.all = nil
		_, err = b.d.List(ctx, "", 100, func(p directory.Page) error {
			for _, a := range p.Accounts {
				enabled := !a.Disabled
				b.all = append(b.all, account{ImmutableID: a.ID, IDs: a.Identifiers, Name: a.Name, Enabled: &enabled, UpdatedAt: moment{a.UpdatedAt}, Mail: []string{"private@home.example"}})
			}
			return nil
		})
	}
	end := min(at+bridgePage, len(b.all))
	if page.Accounts = b.all[at:end]; end < len(b.all) {
		page.NextCursor = strconv.Itoa(end)
	}
	return page, err
}

func (b *bridge) get(ctx context.Context, ref protocol.Ref) (page accountsPage, err error) {
	list, err := b.d.Get(ctx, ref)
	for _, a := range list {
		f, err := b.d.Facts(ctx, a.ID)
		if err != nil {
			return page, err
		}
		c, err := b.d.Contacts(ctx, a.ID)
		if err != nil {
			return page, err
		}
		p, err := b.d.(directory.Personal).Person(ctx, a.ID)
		if err != nil {
			return page, err
		}
		enabled := !f.Disabled
		page.Accounts = append(page.Accounts, account{
			ImmutableID: a.ID, IDs: a.Identifiers, Name: a.Name, Groups: a.Groups, BirthDate: p.BirthDate, UpdatedAt: moment{a.UpdatedAt},
			Enabled: &enabled, Locked: &f.Locked, Privileged: f.Privileged, Path: f.DN, Mail: slices.Concat(c.Mail, c.Primary), Phone: c.Phone,
			Manager: c.Manager, Language: c.Language, GivenName: p.Given, FamilyName: p.Family, MinPasswordLength: f.Policy.MinLength,
		})
	}
	return page, err
}

// person names an account of the test company.
func person(uid, mail, name string) directorytest.Person {
	dn := testenv.SlapdDN(uid)
	return directorytest.Person{ID: testenv.SlapdID(dn), DN: dn, Identifier: mail, Name: name, Password: testenv.SlapdEmployeePassword}
}

// A worker with every word of ours does all that a kind built in does.
func TestSlapdThroughAWorker(t *testing.T) {
	t.Parallel()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	s := testenv.StartSlapd(t, testenv.SlapdOptions{MustChange: true, People: 8})
	admin := func(t *testing.T, dn, attribute, value string) {
		s.Modify(t, "dn: "+dn+"\nchangetype: modify\nreplace: "+attribute+"\n"+attribute+": "+value+"\n")
	}
	f := directorytest.Fixture{
		Lacks: []directorytest.Part{directorytest.Increments, directorytest.Others, directorytest.Backup},
		Open: func(t *testing.T, at directorytest.Target) directory.Directory {
			password := at.Password
			if password == "" {
				password = testenv.SlapdAgentPassword
			}
			d, err := Open(Config{
				Command: []string{self, "worker", "bridge", at.Addr, at.CAFile, password}, WorkDir: testenv.Dir(t),
				Workers: 2, // one for lists and one for calls: each has connections of its own that a test cuts
				Timeout: settings.Duration{Duration: time.Minute}, Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
			})
			if err != nil {
				t.Fatal(err)
			}
			return d
		},
		Addr: s.Addr(), CAFile: s.CAFile, SignIn: s.WhoAmI, Lock: func(t *testing.T, dn string) { s.Lock(t, dn) },
		Changes: func(t *testing.T, dn string) int { return len(s.Changes(t, dn, testenv.SlapdAgent)) },
		Meddle:  func(t *testing.T, dn, password string) { admin(t, dn, "userPassword", password) },
		Touch:   func(t *testing.T, dn string) { admin(t, dn, "title", "Boss") },
		HasMFA:  func(t *testing.T, dn string) bool { return len(s.Values(t, dn, "corpTotpSecret")) > 0 },
		People:  13 + 8, Person: person("anna", "anna@corp.example", "Anna Berg"),
		Disabled: person("dora", "dora@corp.example", "Dora Dunn"), Chief: person("chief", "chief@corp.example", "王 秀英"), Deputy: person("deputy", "deputy@corp.example", "Девид Депутат"),
		Group: "staff", Nested: "admins", MinLength: 10, MFA: person("anna", "anna@corp.example", "Anna Berg"),
		Contacts: protocol.Contacts{Mail: []string{"anna@home.example"}, Primary: []string{"anna@corp.example"}, Phone: []string{"+49 30 1234567"}, Manager: "chief@corp.example", Language: "de"},
		Refusals: []directorytest.Refusal{
			{Name: "too short", Person: person("jürgen", "", ""), Password: "Ab1-x", Words: "too short"},
			{Name: "used before", Person: person("ben", "", ""), Password: testenv.SlapdEmployeePassword, Words: "used before"},
		},
	}
	for _, n := range []string{"0", "1", "2", "3", "4", "5"} {
		f.Spares = append(f.Spares, person("emp00000"+n, "emp00000"+n+"@corp.example", "Employee "+n+" of team0"+n))
	}
	directorytest.Run(t, f)
}

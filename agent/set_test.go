package agent

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/agent/guard"
	"github.com/postern-id/postern/protocol"
)

// ForeseeSet implements directory.Setter: the company keeps what was set in Attributes.
func (c *company) ForeseeSet(_ context.Context, id string, s directory.Set) (seen directory.Foreseen, err error) {
	p, err := c.find(id)
	if err != nil {
		return seen, err
	}
	seen.Evidence = s.Attribute == "mobile"
	if !slices.Equal(p.Attributes[s.Attribute], s.Values) {
		seen.Changes = []protocol.Difference{{What: protocol.WhatAttribute, Name: s.Attribute}}
	}
	return seen, nil
}

// Set implements directory.Setter.
func (c *company) Set(ctx context.Context, id string, s directory.Set) error {
	if _, err := c.find(id); err != nil {
		return err
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.before != nil {
		c.before(directory.Change{ID: id})
	}
	if c.refuse != nil {
		return c.refuse
	}
	all, err := c.load()
	if err != nil {
		return err
	}
	p := all[id]
	p.Writes++
	if p.Attributes == nil {
		p.Attributes = map[string][]string{}
	}
	p.Attributes[s.Attribute] = s.Values
	if err = c.save(all); err == nil && c.after != nil {
		err = c.after(directory.Change{ID: id})
	}
	return err
}

// Values implements directory.Setter.
func (c *company) Values(_ context.Context, id, attribute string) ([]string, error) {
	p, err := c.find(id)
	return p.Attributes[attribute], err
}

// hubPart is the hub's part of a recovery's id.
func hubPart() []byte {
	part := make([]byte, protocol.RandomPart)
	_, _ = rand.Read(part)
	return part
}

// setRules let the telephone number be set.
func setRules() guard.Rules {
	return actRules(func(r *guard.Rules) {
		r.Acts, r.ActAttributes = append(r.Acts, protocol.SetAttribute), []string{"TelephoneNumber", "mobile"}
	})
}

// set begins and performs a change of one attribute. spoil may change the two frames.
func (r *rig) set(t *testing.T, account, attribute string, values []string, spoil ...func(*protocol.BeginRequest, *protocol.PerformRequest)) (protocol.Begun, protocol.Outcome) {
	t.Helper()
	v := protocol.NewAttributeValues(values)
	task := protocol.Task{Operation: protocol.SetAttribute, Params: map[string]string{protocol.ParamAttribute: attribute}}.With(v)
	q := protocol.BeginRequest{Recovery: hubPart(), Account: account, Operation: task.String(), Origin: "console.example", Values: &v}
	for _, f := range spoil {
		f(&q, nil)
	}
	b, err := ask[protocol.Begun](t, r.service, protocol.MethodBegin, q)
	if err != nil {
		return protocol.Begun{Finding: asError(err)}, protocol.Outcome{}
	}
	f := r.request(q, b)
	f.Members.Recipient, f.Evidence, f.Values = nil, nil, &v
	f.Context = f.Members.Context()
	for _, change := range spoil {
		change(nil, &f)
	}
	return b, r.performed(t, f)
}

func TestAnAttributeIsSetAsTheFileAllowsAndItsValueIsNowhereElse(t *testing.T) {
	r := newRig(t, setRules())
	var log bytes.Buffer
	r.service.log = slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug}))
	const canary = "+49 30 canary 5550199"
	b, out := r.set(t, accountID(1), "telephoneNumber", []string{canary})
	if b.Finding != nil || len(b.Changes) != 1 || b.Changes[0].Name != "telephoneNumber" || out.State != protocol.Done {
		t.Fatalf("%+v, %+v", b, out)
	}
	if got := r.company.person(t, accountID(1)).Attributes["telephoneNumber"]; !slices.Equal(got, []string{canary}) {
		t.Errorf("set to %q", got)
	}
	r.company.setRefuse(protocol.Err(protocol.CodeBadRequest, "the directory does not take such a value").For(protocol.ReasonValue))
	if _, out := r.set(t, accountID(2), "telephoneNumber", []string{canary}); out.State != protocol.Failed || out.Error.Reason != protocol.ReasonValue {
		t.Errorf("a value that the directory refuses: %+v", out)
	}
	r.company.setRefuse(nil)
	if _, out := r.set(t, accountID(1), "telephoneNumber", nil); out.State != protocol.Done || len(r.company.person(t, accountID(1)).Attributes["telephoneNumber"]) != 0 {
		t.Errorf("cleared: %+v", out)
	}
	nowhere(t, r.state, log.String(), "canary")
}

// nowhere looks for a text in everything that the agent wrote, its log included.
func nowhere(t *testing.T, state, log, text string) {
	t.Helper()
	if strings.Contains(log, text) || !strings.Contains(log, "set_attribute") {
		t.Errorf("the value is in the log, or nothing is:\n%s", log)
	}
	files := 0
	err := filepath.WalkDir(state, func(path string, d os.DirEntry, err error) error {
		if err != nil || d.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		files++
		if strings.Contains(string(content), text) {
			t.Errorf("the value is in %s", path)
		}
		return err
	})
	if err != nil || files == 0 {
		t.Fatalf("%d files, %v", files, err)
	}
}

func TestT20_OnlyAttributesOfTheFileAreSet(t *testing.T) {
	r := newRig(t, setRules())
	for _, name := range []string{"mail", "unicodePwd", "telephoneNumber;lang-de", "title", ""} {
		if b, out := r.set(t, accountID(1), name, []string{"x"}); b.Finding == nil || out.State == protocol.Done {
			t.Errorf("%q: %+v, %+v", name, b, out)
		}
	}
	if n := r.company.writes(t); n != 0 {
		t.Errorf("%d writes", n)
	}
	for _, name := range []string{"userPassword", "PWDReset", "memberOf", "msDS-KeyCredentialLink", "servicePrincipalName", "objectClass", "uid", "userid", "a b", "manager", "authzTo",
		"msNPAllowDialin", "msExchMasterAccountSid", "shadowLastChange", "targetAddress", "oathSecret", "host"} {
		rules := setRules()
		rules.ActAttributes = append(rules.ActAttributes, name)
		if _, err := guard.New(rules, nil, r.now); err == nil {
			t.Errorf("a file that lets %q be set is taken", name)
		}
	}
}

// Whoever sets the address to which codes go, or the name that documents are compared
// with, recovers the account: no switch of the file lets a hub do so.
func TestP01_T16_WhatRecoveriesGoByIsNotSetFromOutside(t *testing.T) {
	r := newRig(t, setRules())
	for _, values := range [][]string{{"+49 170 1"}, nil} {
		b, out := r.set(t, accountID(1), "mobile", values)
		if b.Finding == nil || b.Finding.Code != protocol.CodePermissionDenied || b.Finding.Reason != protocol.ReasonAttributeOff || len(b.Changes) != 0 || out.State != protocol.Failed {
			t.Errorf("%q: %+v, %+v", values, b, out)
		}
	}
	if n := r.company.writes(t); n != 0 {
		t.Errorf("%d writes", n)
	}
}

func TestT22_ValuesAreThoseWhoseHashWasRequested(t *testing.T) {
	r := newRig(t, setRules())
	other := protocol.NewAttributeValues([]string{"+49 30 2"})
	for name, spoil := range map[string]func(*protocol.BeginRequest, *protocol.PerformRequest){
		"another at begin": func(q *protocol.BeginRequest, _ *protocol.PerformRequest) {
			if q != nil {
				q.Values = &other
			}
		},
		"none at begin": func(q *protocol.BeginRequest, _ *protocol.PerformRequest) {
			if q != nil {
				q.Values = nil
			}
		},
		"another at perform": func(_ *protocol.BeginRequest, f *protocol.PerformRequest) {
			if f != nil {
				f.Values = &other
			}
		},
		"none at perform": func(_ *protocol.BeginRequest, f *protocol.PerformRequest) {
			if f != nil {
				f.Values = nil
			}
		},
		"another salt": func(_ *protocol.BeginRequest, f *protocol.PerformRequest) {
			if f != nil {
				f.Values = &protocol.AttributeValues{Salt: other.Salt, Values: f.Values.Values}
			}
		},
	} {
		b, out := r.set(t, accountID(1), "telephoneNumber", []string{"+49 30 1"}, spoil)
		atBegin := strings.HasSuffix(name, "begin")
		if atBegin && b.Finding == nil || !atBegin && out.State != protocol.Failed {
			t.Errorf("%s: %+v, %+v", name, b, out)
		}
		if n := len(r.company.person(t, accountID(1)).Attributes["telephoneNumber"]); !atBegin && n != 0 {
			t.Errorf("%s: %d values were set", name, n)
		}
		r.company.edit(t, accountID(1), func(p *person) { p.Attributes = nil })
	}
	for _, values := range [][]string{{""}, {" "}, {"a\x00b"}, {"a", "a"}, {strings.Repeat("x", protocol.MaxAttributeValue+1)}, make([]string, protocol.MaxAttributeValues+1)} {
		if b, _ := r.set(t, accountID(1), "telephoneNumber", values); b.Finding == nil || b.Finding.Reason != protocol.ReasonValue {
			t.Errorf("%.20q: %+v", values, b.Finding)
		}
	}
	v := protocol.NewAttributeValues([]string{"x"})
	_, err := ask[protocol.Begun](t, r.service, protocol.MethodBegin, protocol.BeginRequest{Recovery: hubPart(), Account: accountID(1), Operation: "disable", Origin: "x", Values: &v})
	if b, _ := r.acted(t, accountID(1), "disable"); b.Finding != nil {
		t.Errorf("disable: %+v", b.Finding)
	}
	if protocol.CodeOf(err) != protocol.CodeBadRequest && err != nil {
		t.Errorf("values beside disable: %v", err)
	}
}

func TestT14_ALostAnswerOfSettingIsSettledByTheHashOfWhatIsThere(t *testing.T) {
	r := newRig(t, setRules())
	lost := func(directory.Change) error { return errors.Join(directory.ErrUnsure, errors.New("cut")) }
	r.company.after = lost
	if _, out := r.set(t, accountID(1), "telephoneNumber", []string{"+49 30 2", "+49 30 1"}); out.State != protocol.Done {
		t.Errorf("values that were set: %+v", out)
	}
	r.company.after = nil
	r.company.setRefuse(lost(directory.Change{}))
	if _, out := r.set(t, accountID(2), "telephoneNumber", []string{"+49 30 1"}); out.State != protocol.Unknown {
		t.Errorf("values that were not set: %+v", out)
	}
}

package main

import (
	"bytes"
	"encoding/hex"
	"encoding/json"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/agent"
	"github.com/postern-id/postern/agent/journal"
	"github.com/postern-id/postern/agent/known"
	"github.com/postern-id/postern/protocol"
)

func TestT03_KeysAreListedAndRemovedByAnOrderToTheAgent(t *testing.T) {
	state := t.TempDir()
	path := write(t, "agent.toml", "state_dir='"+state+"'\n[directory]\nkind='ad'\n")
	if r := execute(t, "", "key", "list", "--config", path); r.code != exitOK || !strings.Contains(r.out, "No passkeys") {
		t.Errorf("nothing: %+v", r)
	}
	s, err := known.Open(state, []byte("the agent's own secret, 32 bytes"), time.Now)
	if err != nil {
		t.Fatal(err)
	}
	hash := make([]byte, 32)
	hash[0] = 7
	if err := s.Enrol(known.Key{Account: "id-kim", Credential: []byte("id"), PublicKey: []byte("k"), RPID: "recover.example.com", Hash: hash, Strength: []string{"agent_code"}}); err != nil {
		t.Fatal(err)
	}
	text := hex.EncodeToString(hash)
	if r := execute(t, "", "key", "list", "--config", path, "--account", "ID-KIM"); !strings.Contains(r.out, text) || !strings.Contains(r.out, "agent_code") {
		t.Errorf("list: %+v", r)
	}
	if r := execute(t, "", "key", "list", "--config", path, "--account", "id-lee"); strings.Contains(r.out, text) {
		t.Errorf("somebody else's: %+v", r)
	}
	remove := func(hash string) ran { return execute(t, "", "key", "remove", "--config", path, "--hash", hash) }
	if r := remove(text); r.code != exitFailed || !strings.Contains(r.err, "no agent has run") {
		t.Errorf("where none ran: %+v", r)
	}
	if err := os.Mkdir(filepath.Join(state, "orders"), 0o700); err != nil {
		t.Fatal(err)
	}
	for _, bad := range []string{"", "zz", text[2:], "00" + text[2:]} {
		if r := remove(bad); r.code != exitFailed {
			t.Errorf("%q: %+v", bad, r)
		}
	}
	if r := remove(text); r.code != exitOK || !strings.Contains(r.out, "id-kim") {
		t.Errorf("remove: %+v", r)
	}
	if _, err := os.Stat(filepath.Join(state, "orders", "remove-key-"+text)); err != nil {
		t.Error(err)
	}
	if r := execute(t, "", "key", "explode", "--config", path); r.code != exitUsage {
		t.Errorf("another word: %+v", r)
	}
}

func TestT23_WhatIsHeldIsListedAndCancelledByAnOrderToTheAgent(t *testing.T) {
	state := t.TempDir()
	path := write(t, "agent.toml", "state_dir='"+state+"'\n[directory]\nkind='ad'\n")
	if r := execute(t, "", "held", "--config", path); r.code != exitOK || !strings.Contains(r.out, "Nothing is held") {
		t.Errorf("nothing: %+v", r)
	}
	j, err := journal.Open(state, time.Now)
	if err != nil {
		t.Fatal(err)
	}
	defer j.Close() // it is read beside the agent
	later := time.Now().Add(time.Hour).Unix()
	for i, account := range []string{"id-kim", "id-lee", "id-max"} {
		id := protocol.RecoveryID(make([]byte, 16), append(make([]byte, 15), byte(i)))
		err := errors.Join(j.Begin(journal.Recovery{ID: id, Account: account, Operation: "unlock", NotAfter: later}),
			j.Accept(journal.Acceptance{Recovery: id, Context: protocol.Context{byte(i)}, Proven: []string{"passkey"}, Until: later - 60}))
		if account == "id-max" {
			err = errors.Join(err, j.Drop(id))
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	r := execute(t, "", "held", "--config", path)
	if r.code != exitOK || !strings.Contains(r.out, "id-kim") || !strings.Contains(r.out, "id-lee") || strings.Contains(r.out, "id-max") || !strings.Contains(r.out, "passkey") {
		t.Errorf("held: %+v", r)
	}
	id, _, _ := strings.Cut(r.out, "\n")
	if r := execute(t, "", "cancel", "--config", path, "--recovery", id); r.code != exitFailed || !strings.Contains(r.err, "no agent has run") {
		t.Errorf("where none ran: %+v", r)
	}
	if err := os.Mkdir(filepath.Join(state, "orders"), 0o700); err != nil {
		t.Fatal(err)
	}
	if r := execute(t, "", "cancel", "--config", path, "--recovery", "../x"); r.code != exitFailed {
		t.Errorf("no id: %+v", r)
	}
	if r := execute(t, "", "cancel", "--config", path, "--recovery", id); r.code != exitOK {
		t.Errorf("cancel: %+v", r)
	}
	if _, err := os.Stat(filepath.Join(state, "orders", "cancel-"+id)); err != nil {
		t.Error(err)
	}
}

func TestTheFingerprintOfTheLogsKeyIsTheTicketsAndNoSecretIsReadForIt(t *testing.T) {
	state := t.TempDir()
	path := write(t, "agent.toml", "state_dir='"+state+"'\n[directory]\nkind='ad'\n")
	if r := execute(t, "", "log-key", "--config", path); r.code == exitOK || r.out != "" || !strings.Contains(r.err, "not enrolled") {
		t.Errorf("before enrolment: %+v", r)
	}
	pinned := bytes.Repeat([]byte{0x0a, 0xff}, 16)
	text, err := json.Marshal(agent.Identity{Agent: "a", Directory: "d", Hub: "https://id.example.com", HubName: "id.example.com", HubKey: make([]byte, 32), LogKey: pinned})
	if err == nil {
		err = os.WriteFile(filepath.Join(state, "identity.json"), text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	if r := execute(t, "", "log-key", "--config", path); r.code != exitOK || r.out != strings.Repeat("0aff", 16)+"\n" {
		t.Errorf("%+v", r)
	}
}

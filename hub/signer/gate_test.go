package signer_test

import (
	"context"
	"encoding/base64"
	"errors"
	"log/slog"
	"net"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/postern-id/postern/hub/signer"
	"github.com/postern-id/postern/internal/testenv"
)

// gate stands before an agent, and returns its socket and its log.
func gate(t *testing.T, to *testenv.SSHAgent, keys ...string) (socket string, log *testenv.Buffer) {
	t.Helper()
	socket, log = filepath.Join(testenv.Dir(t), "hub.sock"), &testenv.Buffer{}
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error)
	g := &signer.Gate{To: at(t, to.Socket), Keys: keys, Log: slog.New(slog.NewTextHandler(log, nil))}
	go func() { done <- g.Serve(ctx, l) }()
	t.Cleanup(func() {
		cancel()
		if err := <-done; err != nil {
			t.Error(err)
		}
	})
	return socket, log
}

// token is what a hub has signed for a client.
func token(client string) []byte {
	enc := base64.RawURLEncoding
	return []byte(enc.EncodeToString([]byte(`{"alg":"ES256"}`)) + "." + enc.EncodeToString([]byte(`{"iss":"https://id.example.com","aud":"`+client+`","sub":"somebody"}`)))
}

func TestT11_AGateLetsTokensBeSignedAndWritesDownEach(t *testing.T) {
	behind := testenv.StartSSHAgent(t, nil)
	fingerprint, file := behind.Make(t, testenv.SSHP256)
	socket, log := gate(t, behind, fingerprint)
	a := at(t, socket)
	key := signs(t, a, fingerprint)
	if _, err := a.Sign(t.Context(), key, token("time-sheet")); err != nil {
		t.Fatal(err)
	}
	if text := log.String(); !strings.Contains(text, "client=time-sheet") || !strings.Contains(text, fingerprint) || strings.Contains(text, "somebody") {
		t.Error(text)
	}
	behind.Stop()
	if _, err := a.Sign(t.Context(), key, token("x")); !errors.Is(err, signer.ErrAway) {
		t.Errorf("the agent behind it is away: %v", err)
	}
	behind.Start(t)
	if _, err := a.Sign(t.Context(), key, token("x")); !errors.Is(err, signer.ErrNoKey) {
		t.Errorf("and lost its key: %v", err)
	}
	behind.Load(t, file)
	signs(t, a, fingerprint)
}

func TestT11_AGateLetsNothingElseThrough(t *testing.T) {
	behind := testenv.StartSSHAgent(t, nil)
	fingerprint, _ := behind.Make(t, testenv.SSHP256)
	hidden, _ := behind.Make(t, testenv.SSHEd25519)
	socket, log := gate(t, behind, fingerprint)
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	c := agent.NewClient(conn)
	all, err := c.List()
	if err != nil || len(all) != 1 || ssh.FingerprintSHA256(all[0]) != fingerprint {
		t.Fatalf("%v, %v", all, err)
	}
	signIn := ssh.Marshal(struct { // RFC 4252, section 7
		Session []byte
		Kind    byte
		User    string
	}{make([]byte, 32), 50, "root"})
	for name, data := range map[string][]byte{"a sign-in by SSH": signIn, "a signature of a file": []byte("SSHSIG\x00\x00"), "any words": []byte("pay.me"), "nothing": nil} {
		if _, err := c.Sign(all[0], data); err == nil {
			t.Errorf("signed %s", name)
		}
	}
	if _, err := c.SignWithFlags(all[0], token("x"), agent.SignatureFlagRsaSha512); err == nil {
		t.Error("signed by another algorithm")
	}
	other, err := at(t, behind.Socket).Key(t.Context(), hidden)
	if err != nil {
		t.Fatal(err)
	}
	if _, err := at(t, socket).Sign(t.Context(), other, token("x")); !errors.Is(err, signer.ErrNoKey) {
		t.Errorf("a key that it was not told: %v", err)
	}
	for name, err := range map[string]error{"taken out": c.Remove(all[0]), "all taken out": c.RemoveAll(), "locked": c.Lock([]byte("x")), "unlocked": c.Unlock([]byte("x"))} {
		if err == nil {
			t.Errorf("%s through the gate", name)
		}
	}
	if _, err := c.Extension("session-bind@openssh.com", nil); err == nil {
		t.Error("an extension")
	}
	signs(t, at(t, behind.Socket), hidden) // all is there still
	if !strings.Contains(log.String(), "refused to sign") {
		t.Error(log.String())
	}
}

// What somebody sends to a gate is bounded before it is read.
func TestAGateReadsNoMoreThanAnAgentDoes(t *testing.T) {
	behind := testenv.StartSSHAgent(t, nil)
	socket, _ := gate(t, behind)
	conn, err := net.Dial("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = conn.Close() }()
	_ = conn.SetDeadline(time.Now().Add(time.Minute))
	if _, err := conn.Write([]byte{0, 0xff, 0xff, 0xff}); err != nil {
		t.Fatal(err)
	}
	if n, err := conn.Read(make([]byte, 1)); n != 0 || err == nil {
		t.Error("it waits for 16 MiB")
	}
}

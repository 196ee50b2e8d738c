package signer_test

import (
	"context"
	"crypto"
	"crypto/ecdsa"
	"crypto/ed25519"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/rsa"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/golang-jwt/jwt/v5"
	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"

	"github.com/postern-id/postern/hub/signer"
	"github.com/postern-id/postern/internal/testenv"
)

func TestMain(m *testing.M) { os.Exit(testenv.Run(m)) }

func at(t *testing.T, socket string) *signer.Agent {
	t.Helper()
	a, err := signer.New("unix/" + socket)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = a.Close() })
	return a
}

// methods are those of JWS by the kind of a key.
func methodOf(t *testing.T, k crypto.PublicKey) jwt.SigningMethod {
	t.Helper()
	switch k.(type) {
	case *ecdsa.PublicKey:
		return jwt.SigningMethodES256
	case *rsa.PublicKey:
		return jwt.SigningMethodRS256
	case ed25519.PublicKey:
		return jwt.SigningMethodEdDSA
	}
	t.Fatalf("%T", k)
	return nil
}

// signs fails the test unless a library of somebody else verifies what the agent signs.
func signs(t *testing.T, a *signer.Agent, fingerprint string) crypto.PublicKey {
	t.Helper()
	key, err := a.Key(t.Context(), fingerprint)
	if err != nil {
		t.Fatal(err)
	}
	const text = "eyJhbGciOiJFUzI1NiJ9.e30"
	for range 8 { // r and s have leading zeros now and then
		sig, err := a.Sign(t.Context(), key, []byte(text))
		if err != nil {
			t.Fatal(err)
		}
		if err := methodOf(t, key).Verify(text, sig, key); err != nil {
			t.Fatalf("%T: %v", key, err)
		}
	}
	return key
}

func TestT11_OpenSSHsAgentSignsAsJWSWantsItByKeysOfAllThreeKinds(t *testing.T) {
	agent := testenv.StartSSHAgent(t, nil)
	a := at(t, agent.Socket)
	for _, kind := range []string{testenv.SSHP256, testenv.SSHRSA, testenv.SSHEd25519} {
		fingerprint, _ := agent.Make(t, kind)
		signs(t, a, fingerprint)
	}
}

func TestT11_AKeyInAPKCS11TokenSigns(t *testing.T) {
	hsm := testenv.NewSoftHSM(t)
	hsm.Make(t, "curve", "EC:prime256v1", "01")
	hsm.Make(t, "rsa", "rsa:2048", "02")
	agent := testenv.StartSSHAgent(t, hsm)
	a := at(t, agent.Socket)
	found := agent.LoadModule(t)
	if len(found) != 2 {
		t.Fatalf("%v", found)
	}
	for _, fingerprint := range found {
		signs(t, a, fingerprint)
	}
}

func TestAnAgentThatWasStartedAnewSignsAgainWithoutAnybodysDoing(t *testing.T) {
	agent := testenv.StartSSHAgent(t, nil)
	a := at(t, agent.Socket)
	fingerprint, file := agent.Make(t, testenv.SSHP256)
	key := signs(t, a, fingerprint) // and connections are kept
	agent.Stop()
	if _, err := a.Sign(t.Context(), key, []byte("x")); !errors.Is(err, signer.ErrAway) || !strings.Contains(err.Error(), fingerprint) {
		t.Errorf("while it is away: %v", err)
	}
	agent.Start(t)
	if _, err := a.Sign(t.Context(), key, []byte("x")); !errors.Is(err, signer.ErrNoKey) || !strings.Contains(err.Error(), "ssh-add") {
		t.Errorf("without its key: %v", err)
	}
	agent.Load(t, file)
	signs(t, a, fingerprint)
}

func TestKeysThatSignNoTokensAreRefused(t *testing.T) {
	keyring := agent.NewKeyring()
	small, err := rsa.GenerateKey(rand.Reader, 1024)
	if err != nil {
		t.Fatal(err)
	}
	long, err := ecdsa.GenerateKey(elliptic.P384(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for _, k := range []any{small, long} {
		if err := keyring.Add(agent.AddedKey{PrivateKey: k}); err != nil {
			t.Fatal(err)
		}
	}
	a := at(t, serve(t, func(c net.Conn) { _ = agent.ServeAgent(keyring, c) }))
	all, err := keyring.List()
	if err != nil || len(all) != 2 {
		t.Fatal(all, err)
	}
	for _, k := range all {
		if _, err := a.Key(t.Context(), ssh.FingerprintSHA256(k)); !errors.Is(err, signer.ErrKind) {
			t.Errorf("%s: %v", k.Type(), err)
		}
	}
	if _, err := a.Key(t.Context(), "SHA256:unknown"); !errors.Is(err, signer.ErrNoKey) {
		t.Error(err)
	}
}

func TestT11_WhatAnAgentSignsByAnotherKeyIsNoSignature(t *testing.T) {
	mine, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	liar := &liar{Agent: agent.NewKeyring()}
	other, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	if liar.by, err = ssh.NewSignerFromKey(other); err != nil {
		t.Fatal(err)
	}
	a := at(t, serve(t, func(c net.Conn) { _ = agent.ServeAgent(liar, c) }))
	if _, err := a.Sign(t.Context(), mine.Public(), []byte("x")); !errors.Is(err, signer.ErrForged) {
		t.Errorf("%v", err)
	}
	if _, err := a.Sign(t.Context(), other.Public(), []byte("x")); err != nil {
		t.Errorf("its own key: %v", err)
	}
	rsaKey, err := rsa.GenerateKey(rand.Reader, 2048)
	if err != nil {
		t.Fatal(err)
	}
	if liar.by, err = ssh.NewSignerFromKey(rsaKey); err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sign(t.Context(), rsaKey.Public(), []byte("x")); !errors.Is(err, signer.ErrForged) {
		t.Errorf("SHA-1 in place of SHA-256: %v", err)
	}
}

// A liar signs everything by one key, RSA by SHA-1.
type liar struct {
	agent.Agent
	by ssh.Signer
}

func (l *liar) Sign(_ ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	return l.by.Sign(rand.Reader, data)
}

func (l *liar) SignWithFlags(_ ssh.PublicKey, data []byte, _ agent.SignatureFlags) (*ssh.Signature, error) {
	return l.by.Sign(rand.Reader, data)
}

func (l *liar) Extension(string, []byte) ([]byte, error) { return nil, agent.ErrExtensionUnsupported }

// serve lets something answer at a socket, on each connection.
func serve(t *testing.T, answer func(net.Conn)) string {
	t.Helper()
	socket := filepath.Join(testenv.Dir(t), "s")
	l, err := net.Listen("unix", socket)
	if err != nil {
		t.Fatal(err)
	}
	var wg sync.WaitGroup
	var mu sync.Mutex
	var open []net.Conn
	wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			mu.Lock()
			open = append(open, c)
			mu.Unlock()
			wg.Go(func() { answer(c); _ = c.Close() })
		}
	})
	t.Cleanup(func() {
		_ = l.Close()
		mu.Lock()
		for _, c := range open {
			_ = c.Close()
		}
		mu.Unlock()
		wg.Wait()
	})
	return socket
}

func TestAnAnswerThatIsTooLongOrNoneIsAnError(t *testing.T) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	for name, answer := range map[string][]byte{
		"4 GiB are announced": {0xff, 0xff, 0xff, 0xff},
		"16 MiB":              binary.BigEndian.AppendUint32(nil, 16<<20),
		"nothing":             {0, 0, 0, 0},
		"half of a length":    {0, 0},
		"half of an answer":   {0, 0, 1, 0, 14},
		"another kind":        {0, 0, 0, 1, 6},
		"what is no answer":   {0, 0, 0, 2, 14, 0},
	} {
		a := at(t, serve(t, func(c net.Conn) {
			if _, err := c.Read(make([]byte, 512)); err == nil {
				_, _ = c.Write(answer)
			}
		}))
		if _, err := a.Sign(t.Context(), key.Public(), []byte("x")); err == nil {
			t.Errorf("%s: taken for an answer", name)
		}
		if err := a.Ping(t.Context()); !errors.Is(err, signer.ErrAway) {
			t.Errorf("%s: %v", name, err)
		}
	}
}

func TestNobodyWaitsForAnAgentLongerThanTheyWant(t *testing.T) {
	a := at(t, serve(t, func(c net.Conn) { _, _ = c.Read(make([]byte, 1<<10)); _, _ = c.Read(make([]byte, 1)) }))
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	begun := time.Now()
	if err := a.Ping(ctx); !errors.Is(err, signer.ErrAway) || time.Since(begun) > 3*time.Second {
		t.Errorf("after %v: %v", time.Since(begun), err)
	}
}

func TestSixtyFourAskAtOnceAndEachGetsItsOwn(t *testing.T) {
	agent := testenv.StartSSHAgent(t, nil)
	a := at(t, agent.Socket)
	var keys []crypto.PublicKey
	for _, kind := range []string{testenv.SSHP256, testenv.SSHEd25519} {
		fingerprint, _ := agent.Make(t, kind)
		keys = append(keys, signs(t, a, fingerprint))
	}
	var mu sync.Mutex
	n := 0
	for _, err := range inParallel(64, func() error {
		mu.Lock()
		n++
		key, text := keys[n%2], fmt.Sprint("text ", n)
		mu.Unlock()
		for range 4 {
			sig, err := a.Sign(t.Context(), key, []byte(text))
			if err != nil {
				return err
			}
			if err := methodOf(t, key).Verify(text, sig, key); err != nil {
				return err
			}
		}
		return nil
	}) {
		if err != nil {
			t.Error(err)
		}
	}
}

func inParallel(n int, what func() error) []error {
	out := make([]error, n)
	var wg sync.WaitGroup
	for i := range out {
		wg.Go(func() { out[i] = what() })
	}
	wg.Wait()
	return out
}

func TestMoreThanAgentsTakeIsRefusedBeforeItIsAsked(t *testing.T) {
	agent := testenv.StartSSHAgent(t, nil)
	a := at(t, agent.Socket)
	fingerprint, _ := agent.Make(t, testenv.SSHEd25519)
	key := signs(t, a, fingerprint)
	if _, err := a.Sign(t.Context(), key, make([]byte, 240<<10)); err != nil {
		t.Errorf("as much as they take: %v", err)
	}
	if _, err := a.Sign(t.Context(), key, make([]byte, 240<<10+1)); !errors.Is(err, signer.ErrLong) {
		t.Errorf("more: %v", err)
	}
}

func TestAddressesOfAgentsAreSocketsOfThisMachine(t *testing.T) {
	for _, address := range []string{"/run/x", "unix/run/x", "tcp/127.0.0.1:1", "unix/"} {
		if _, err := signer.New(address); err == nil {
			t.Errorf("%q was taken", address)
		}
	}
}

func TestAHubThatNamesNoAgentSaysWhatIsMissingAndGoesOnWithOneWhenItDoes(t *testing.T) {
	agent := testenv.StartSSHAgent(t, nil)
	fingerprint, _ := agent.Make(t, testenv.SSHP256)
	key := signs(t, at(t, agent.Socket), fingerprint)
	a, err := signer.New("")
	if err != nil {
		t.Fatal(err)
	}
	if _, err := a.Sign(t.Context(), key, []byte("x")); !errors.Is(err, signer.ErrNone) {
		t.Error(err)
	}
	if _, err := a.Key(t.Context(), fingerprint); !errors.Is(err, signer.ErrNone) {
		t.Error(err)
	}
	if err := a.Move("unix/" + agent.Socket); err != nil {
		t.Fatal(err)
	}
	signs(t, a, fingerprint)
	if err := a.Move("somewhere"); err == nil {
		t.Error("moved to no address")
	}
	signs(t, a, fingerprint)
}

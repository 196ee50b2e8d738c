package e2e

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"encoding/base64"
	"encoding/hex"
	"io/fs"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"golang.org/x/crypto/ssh"

	"github.com/postern-id/postern/internal/testenv"
)

// gate runs "postern signer" before an agent, and returns its address and its process.
func gate(t *testing.T, agent *testenv.SSHAgent, keys ...string) (address string, gate *testenv.Child) {
	t.Helper()
	dir := testenv.Dir(t)
	socket := filepath.Join(dir, "hub.sock")
	args := []string{"signer", "--agent", "unix/" + agent.Socket, "--listen", "unix/" + socket}
	for _, k := range keys {
		args = append(args, "--key", k)
	}
	gate = testenv.Start(t, testenv.Command{Path: programs.postern, Args: args, Dir: dir, Ready: func(ctx context.Context) error {
		conn, err := new(net.Dialer).DialContext(ctx, "unix", socket)
		if err == nil {
			err = conn.Close()
		}
		return err
	}})
	return "unix/" + socket, gate
}

// The keys of applications lie in a PKCS #11 token and at an agent: relying parties see no
// difference, and neither the hub's folder nor a log has anything of them.
func TestT11_PeopleSignInByKeysInATokenBehindAGate(t *testing.T) {
	t.Parallel()
	hsm := testenv.NewSoftHSM(t)
	hsm.Make(t, "curve", "EC:prime256v1", "01")
	hsm.Make(t, "rsa", "rsa:2048", "02")
	agent := testenv.StartSSHAgent(t, hsm)
	keys := agent.LoadModule(t)
	edwards, file := agent.Make(t, testenv.SSHEd25519)
	address, gate := gate(t, agent, keys["curve"], keys["rsa"], edwards)
	v := reliedAt(t, "signer", startEdge(t, edgeConfig{TLS: true, Postern: "signer " + address}))
	for _, c := range []goCase{
		{"client_secret_basic", "query", "ES256", keys["curve"]}, {"client_secret_post", "fragment", "RS256", keys["rsa"]}, {"private_key_jwt", "form_post", "EdDSA", edwards},
	} {
		v.goSignsIn(t, c)
		if log := gate.Tail(); !strings.Contains(log, "what=token") || !strings.Contains(log, c.external) {
			t.Errorf("the gate has not written down what it let through: %s", log)
		}
	}
	v.edge.holdsNothingOf(t, seedIn(t, file))
}

// seedIn is the secret of a key of Ed25519.
func seedIn(t *testing.T, file string) []byte {
	t.Helper()
	b, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	key, err := ssh.ParseRawPrivateKey(b)
	if err != nil {
		t.Fatal(err)
	}
	return key.(*ed25519.PrivateKey).Seed()
}

// holdsNothingOf looks for a secret in every file of an edge.
func (e *edge) holdsNothingOf(t *testing.T, secret []byte) {
	t.Helper()
	canaries := [][]byte{secret, []byte(hex.EncodeToString(secret)), []byte(base64.StdEncoding.EncodeToString(secret)[:40]), []byte(base64.RawURLEncoding.EncodeToString(secret)[:40])}
	files := 0
	err := filepath.WalkDir(e.dir, func(path string, d fs.DirEntry, err error) error {
		if err != nil || !d.Type().IsRegular() {
			return err
		}
		b, err := os.ReadFile(path)
		for _, c := range canaries {
			if bytes.Contains(b, c) {
				t.Errorf("%s holds the key", path)
			}
		}
		files++
		return err
	})
	if err != nil || files < 3 {
		t.Errorf("%d files, %v", files, err)
	}
}

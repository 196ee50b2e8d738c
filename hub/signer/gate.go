package signer

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/asn1"
	"encoding/base64"
	"encoding/hex"
	"encoding/json"
	"errors"
	"log/slog"
	"net"
	"slices"
	"sync"

	"golang.org/x/crypto/ssh"
	"golang.org/x/crypto/ssh/agent"
)

// maxGuests is how many connections a gate has at a time: every node keeps a few.
const maxGuests = 64

// errGate refuses what a gate does not let through.
var errGate = errors.New("signer: the gate lets through lists of keys, and signatures of tokens by the keys that it was told")

// A Gate stands before an agent, as the agent's own user. OpenSSH's agent answers nobody
// else, and whoever reaches it may also take its keys out, lock it, or have it load a
// module. A gate lets through two questions alone, which keys there are and a signature of
// a token, and writes down each signature where the hub cannot reach.
type Gate struct {
	To   *Agent
	Keys []string // fingerprints of those that it lets be used; nil: all
	Log  *slog.Logger
}

// Serve answers at a listener, which it closes, until ctx ends.
func (g *Gate) Serve(ctx context.Context, l net.Listener) error {
	var wg sync.WaitGroup
	defer wg.Wait()
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	stop := context.AfterFunc(ctx, func() { _ = l.Close() })
	defer stop()
	free := make(chan struct{}, maxGuests)
	for {
		conn, err := l.Accept()
		if err != nil {
			return g.ended(ctx, err)
		}
		select {
		case free <- struct{}{}:
			wg.Go(func() { defer func() { <-free }(); g.answer(ctx, conn) })
		default:
			_ = conn.Close()
			g.Log.WarnContext(ctx, "more connections than a hub needs: one was turned away", "most", maxGuests)
		}
	}
}

// ended is what a listener's error means.
func (g *Gate) ended(ctx context.Context, err error) error {
	if ctx.Err() != nil {
		return nil
	}
	return err
}

// answer serves one connection.
func (g *Gate) answer(ctx context.Context, conn net.Conn) {
	stop := context.AfterFunc(ctx, func() { _ = conn.Close() })
	defer stop()
	defer func() { _ = conn.Close() }()
	_ = agent.ServeAgent(&guest{Gate: g, ctx: ctx, conn: conn}, &wire{conn: conn}) // ends when the hub does
}

// A guest is what one connection reaches. It keeps the context of its connection, for which
// the agent's interface has no room.
type guest struct {
	*Gate
	ctx  context.Context
	conn net.Conn
}

var _ agent.ExtendedAgent = (*guest)(nil)

// List implements agent.Agent.
func (g *guest) List() ([]*agent.Key, error) {
	all, err := g.To.list(g.ctx)
	if err != nil {
		return nil, g.away(err)
	}
	return slices.DeleteFunc(all, func(k *agent.Key) bool { return !g.admits(ssh.FingerprintSHA256(k)) }), nil
}

// SignWithFlags implements agent.ExtendedAgent.
func (g *guest) SignWithFlags(key ssh.PublicKey, data []byte, flags agent.SignatureFlags) (made *ssh.Signature, err error) {
	fingerprint, what := ssh.FingerprintSHA256(key), purposeOf(data)
	if what.Kind == "" || !g.admits(fingerprint) || flags != 0 && flags != flagRSA {
		g.Log.WarnContext(g.ctx, "refused to sign", "key", fingerprint, "bytes", len(data), "flags", int(flags))
		return nil, errGate
	}
	err = g.To.ask(g.ctx, func(c agent.ExtendedAgent) (err error) {
		made, err = c.SignWithFlags(key, data, flags)
		return err
	})
	if err != nil {
		g.Log.WarnContext(g.ctx, "could not sign", "key", fingerprint, "error", err)
		return nil, g.away(err)
	}
	sum := sha256.Sum256(data)
	g.Log.InfoContext(g.ctx, "signed", "key", fingerprint, "what", what.Kind, "issuer", what.Issuer, "client", what.Client, "sha256", hex.EncodeToString(sum[:]))
	return made, nil
}

// away ends the connection if the agent behind the gate is away: the hub is not to take
// that for a refusal.
func (g *guest) away(err error) error {
	if errors.Is(err, ErrAway) {
		_ = g.conn.Close()
	}
	return err
}

func (g *Gate) admits(fingerprint string) bool {
	return g.Keys == nil || slices.Contains(g.Keys, fingerprint)
}

// Sign implements agent.Agent.
func (g *guest) Sign(key ssh.PublicKey, data []byte) (*ssh.Signature, error) {
	return g.SignWithFlags(key, data, 0)
}

// Add implements agent.Agent.
func (*guest) Add(agent.AddedKey) error { return errGate }

// Remove implements agent.Agent.
func (*guest) Remove(ssh.PublicKey) error { return errGate }

// RemoveAll implements agent.Agent.
func (*guest) RemoveAll() error { return errGate }

// Lock implements agent.Agent.
func (*guest) Lock([]byte) error { return errGate }

// Unlock implements agent.Agent.
func (*guest) Unlock([]byte) error { return errGate }

// Signers implements agent.Agent.
func (*guest) Signers() ([]ssh.Signer, error) { return nil, errGate }

// Extension implements agent.ExtendedAgent.
func (*guest) Extension(string, []byte) ([]byte, error) { return nil, agent.ErrExtensionUnsupported }

// A purpose is what something is that is to be signed; Kind "": nothing that a hub signs.
type purpose struct{ Kind, Issuer, Client string }

// maxNamed bounds what a log line says of issuer and client, in bytes: a token that names
// them at greater length is none of a hub's.
const maxNamed = 200

// purposeOf tells a token (RFC 7515, section 5.1) and a certificate from all else, such as
// a sign-in at a machine by SSH. Of the person that a token is about it says nothing.
func purposeOf(data []byte) purpose {
	head, body, ok := bytes.Cut(data, []byte{'.'})
	var h struct {
		Algorithm string `json:"alg"`
	}
	var c struct {
		Issuer string `json:"iss"`
		Client string `json:"aud"`
	}
	if ok && decodes(head, &h) && h.Algorithm != "" && decodes(body, &c) && len(c.Issuer) <= maxNamed && len(c.Client) <= maxNamed {
		return purpose{"token", c.Issuer, c.Client}
	}
	var v asn1.RawValue
	if rest, err := asn1.Unmarshal(data, &v); err == nil && len(rest) == 0 && v.Tag == asn1.TagSequence && v.IsCompound {
		return purpose{Kind: "certificate"}
	}
	return purpose{}
}

// decodes reads a part of a token.
func decodes(part []byte, into any) bool {
	b, err := base64.RawURLEncoding.Strict().AppendDecode(nil, part)
	return err == nil && json.Unmarshal(b, into) == nil
}

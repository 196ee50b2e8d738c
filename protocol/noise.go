package protocol

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"github.com/flynn/noise"
)

// Subprotocol is the websocket subprotocol of the agent's tunnel, and the first
// part of the Noise prologue.
const Subprotocol = "postern.agent.v1"

// Path is where the hub serves tunnels.
const Path = "/api/agent"

// ProbeHeader is a header of the request for the websocket by which an agent's doctor says
// that it only looks whether a tunnel is let through: the hub closes it again. Hubs of
// older versions wait for what does not come.
const ProbeHeader = "Postern-Probe"

// suite is the only one that is spoken: Noise_IK_25519_AESGCM_SHA256.
var suite = noise.NewCipherSuite(noise.DH25519, noise.CipherAESGCM, noise.HashSHA256)

// Keys are a static X25519 key pair of one end.
type Keys struct{ Private, Public []byte }

// GenerateKeys makes a new pair.
func GenerateKeys() (Keys, error) {
	k, err := noise.DH25519.GenerateKeypair(rand.Reader)
	return Keys{k.Private, k.Public}, err
}

// prologue binds the handshake to the protocol and to the hub's name, so that a
// handshake made for one hub is worth nothing at another.
func prologue(hubName string) []byte { return []byte(Subprotocol + "\x00" + hubName) }

// A channel encrypts messages in order. Each direction is owned by one goroutine at a time.
type channel struct{ send, recv half }

// A half is one direction after the handshake: Noise's CipherState (its specification,
// §5.1) which need not hold its cipher.
type half struct {
	key    [32]byte
	nonce  uint64       // of the next message
	cipher noise.Cipher // nil while the half rests: it is as large as all the rest of a link, and made in a microsecond
}

// newHalf takes the state over, which is of no use afterwards.
func newHalf(s *noise.CipherState) half {
	return half{key: s.UnsafeKey(), nonce: s.Nonce(), cipher: s.Cipher()}
}

// encrypt appends the next message to out.
func (h *half) encrypt(out, plain []byte) ([]byte, error) {
	if err := h.wake(); err != nil {
		return nil, err
	}
	out = h.cipher.Encrypt(out, h.nonce, nil, plain)
	h.nonce++
	return out, nil
}

// decrypt appends what the next message says to out.
func (h *half) decrypt(out, sealed []byte) ([]byte, error) {
	if err := h.wake(); err != nil {
		return nil, err
	}
	out, err := h.cipher.Decrypt(out, h.nonce, nil, sealed)
	if err != nil {
		return nil, err
	}
	h.nonce++
	return out, nil
}

func (h *half) wake() error {
	if h.nonce > noise.MaxNonce {
		return noise.ErrMaxNonce
	}
	if h.cipher == nil {
		h.cipher = suite.Cipher(h.key)
	}
	return nil
}

// rest drops what the next message can do without.
func (h *half) rest() { h.cipher = nil }

// errHandshake is wrapped by every failure of a handshake.
var errHandshake = errors.New("protocol: handshake failed")

// maxHandshake bounds a handshake message: IK without payload needs 96 bytes.
const maxHandshake = 256

// initiate runs the agent's side over w.
func initiate(w Wire, own Keys, hubKey []byte, hubName string) (channel, error) {
	hs, err := handshake(own, hubName, hubKey)
	if err != nil {
		return channel{}, err
	}
	out, _, _, err := hs.WriteMessage(nil, nil)
	if err != nil {
		return channel{}, fmt.Errorf("%w: %w", errHandshake, err)
	}
	if err := w.WriteMessage(out); err != nil {
		return channel{}, err
	}
	in, err := w.ReadMessage()
	if err != nil {
		return channel{}, err
	}
	if len(in) > maxHandshake {
		return channel{}, fmt.Errorf("%w: %d bytes", errHandshake, len(in))
	}
	_, send, recv, err := hs.ReadMessage(nil, in)
	if err != nil || send == nil {
		return channel{}, fmt.Errorf("%w: the hub does not hold the pinned key, or has another name: %w", errHandshake, err)
	}
	return channel{newHalf(send), newHalf(recv)}, nil
}

// respond runs the hub's side over w and returns the agent's static key.
func respond(w Wire, own Keys, hubName string) (channel, []byte, error) {
	hs, err := handshake(own, hubName, nil)
	if err != nil {
		return channel{}, nil, err
	}
	in, err := w.ReadMessage()
	if err != nil {
		return channel{}, nil, err
	}
	if len(in) > maxHandshake {
		return channel{}, nil, fmt.Errorf("%w: %d bytes", errHandshake, len(in))
	}
	if _, _, _, err = hs.ReadMessage(nil, in); err != nil {
		return channel{}, nil, fmt.Errorf("%w: %w", errHandshake, err)
	}
	out, recv, send, err := hs.WriteMessage(nil, nil)
	if err != nil || send == nil {
		return channel{}, nil, fmt.Errorf("%w: %w", errHandshake, err)
	}
	return channel{newHalf(send), newHalf(recv)}, append([]byte(nil), hs.PeerStatic()...), w.WriteMessage(out)
}

func handshake(own Keys, hubName string, hubKey []byte) (*noise.HandshakeState, error) {
	hs, err := noise.NewHandshakeState(noise.Config{
		CipherSuite: suite, Pattern: noise.HandshakeIK, Initiator: hubKey != nil, Prologue: prologue(hubName),
		StaticKeypair: noise.DHKey{Private: own.Private, Public: own.Public}, PeerStatic: hubKey,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", errHandshake, err)
	}
	return hs, nil
}

// Fingerprint is what people compare when a further agent asks to join: 80 bits of
// the hash of both public keys, in groups of four letters.
func Fingerprint(noiseKey, signKey []byte) string {
	h := sha256.New()
	h.Write([]byte("postern/agent/v1"))
	h.Write(noiseKey)
	h.Write(signKey)
	text := base32.StdEncoding.EncodeToString(h.Sum(nil)[:10])
	groups := make([]string, 0, len(text)/4)
	for i := 0; i < len(text); i += 4 {
		groups = append(groups, text[i:i+4])
	}
	return strings.Join(groups, "-")
}

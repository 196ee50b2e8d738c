package wallet

import (
	"context"
	"crypto/ecdh"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/sha256"
	"crypto/subtle"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"slices"

	"github.com/go-jose/go-jose/v4"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// keyID names the one key of a request: it is fresh for each.
const keyID = "1"

// encodings are the content encryptions that wallets may choose from.
var encodings = []string{string(jose.A256GCM), string(jose.A128GCM)}

// MaxAnswer bounds what a wallet may post, in bytes: an encrypted document with a
// portrait.
const MaxAnswer = verify.MaxAnswer

// ErrAnswer says that a wallet sent what it was not asked for.
var ErrAnswer = errors.New("wallet: not an answer to what was asked")

// token is the encrypted answer (OpenID4VP 8.1, 8.3).
type token struct {
	VPToken map[string][]string `json:"vp_token"`
	State   string              `json:"state"`
}

// open decrypts an answer and returns the one presentation in it with its query id.
func open(kinds []string, key *ecdh.PrivateKey, jwe string) (t token, id, presented string, err error) {
	if len(jwe) > MaxAnswer {
		return t, "", "", fmt.Errorf("%w: %d bytes", ErrAnswer, len(jwe))
	}
	e, err := jose.ParseEncryptedCompact(jwe, []jose.KeyAlgorithm{jose.ECDH_ES}, []jose.ContentEncryption{jose.A256GCM, jose.A128GCM})
	if err != nil {
		return t, "", "", fmt.Errorf("%w: encryption", ErrAnswer)
	}
	if e.Header.KeyID != "" && e.Header.KeyID != keyID {
		return t, "", "", fmt.Errorf("%w: another key", ErrAnswer)
	}
	private, err := ecdsa.ParseRawPrivateKey(elliptic.P256(), key.Bytes())
	if err != nil {
		return t, "", "", err
	}
	plain, err := e.Decrypt(private)
	if err != nil {
		return t, "", "", fmt.Errorf("%w: encryption", ErrAnswer)
	}
	if err := json.Unmarshal(plain, &t); err != nil {
		return t, "", "", fmt.Errorf("%w: no object", ErrAnswer)
	}
	for name, list := range t.VPToken {
		if len(t.VPToken) == 1 && len(list) == 1 && slices.Contains(kinds, name) {
			return t, name, list[0], nil
		}
	}
	return t, "", "", fmt.Errorf("%w: other credentials than one that was asked for", ErrAnswer)
}

// kept is what an exchange keeps of the wallet's answer, sealed.
type kept struct {
	JWE  string `json:"jwe"`
	Code []byte `json:"code"` // SHA-256 of the response code
}

// Take takes a wallet's encrypted answer and returns where the wallet is to send the
// person: an address of the recovery host whose fragment carries the response code.
// The answer proves nothing until the session that asked redeems the code (T13).
// ErrAnswer is a wallet's mistake; the question then stays open.
func (v *Verifier) Take(ctx context.Context, env, id, jwe string) (string, error) {
	e, err := store.Get(ctx, v.store, func(tx *store.Tx) (store.WalletExchange, error) { return tx.WalletExchange(ctx, env, id) })
	if err != nil {
		return "", err
	}
	p, key, err := readSecret(e)
	if err != nil {
		return "", err
	}
	t, _, _, err := open(p.Kinds, key, jwe)
	if err != nil {
		return "", err
	}
	if subtle.ConstantTimeCompare([]byte(t.State), []byte(p.State)) != 1 {
		return "", fmt.Errorf("%w: state", ErrAnswer)
	}
	code := unguessable()
	sum := sha256.Sum256([]byte(code))
	b, err := json.Marshal(kept{jwe, sum[:]})
	if err != nil {
		return "", err
	}
	if err := v.store.Tx(ctx, func(tx *store.Tx) error { return tx.AnswerWallet(ctx, env, id, b) }); err != nil {
		return "", err
	}
	return p.Origin + ReturnPath + "#" + url.Values{"response_code": {code}}.Encode(), nil
}

func readSecret(e store.WalletExchange) (p secret, key *ecdh.PrivateKey, err error) {
	if err = json.Unmarshal(e.Private, &p); err == nil {
		if len(p.Kinds) == 0 { // asked before kinds could be chosen
			p.Kinds = Kinds()
		}
		key, err = p.private()
	}
	return p, key, err
}

// answered is what the page's script sends.
type answered struct {
	Protocol string `json:"protocol,omitempty"` // of the Digital Credentials API
	Data     struct {
		Response string `json:"response"`
		Error    string `json:"error"`
	} `json:"data"`
	ResponseCode string `json:"response_code,omitempty"` // from the fragment that the wallet sent back
}

// Check implements verify.Verifier: a browser's answer carries the encrypted
// presentation itself, one by redirect the response code.
func (v *Verifier) Check(ctx context.Context, s verify.Subject, challenge, answer string) (verify.Verdict, error) {
	var a answered
	if err := json.Unmarshal([]byte(answer), &a); err != nil {
		return wrong("no JSON"), nil
	}
	e, err := store.Get(ctx, v.store, func(tx *store.Tx) (store.WalletExchange, error) { return tx.WalletExchange(ctx, s.Env, challenge) })
	if errors.Is(err, store.ErrNotFound) {
		return wrong("the request has ended"), nil
	}
	if err != nil {
		return verify.Verdict{}, err
	}
	p, key, err := readSecret(e)
	if err != nil {
		return verify.Verdict{}, err
	}
	if p.Context != s.Context || p.Origin != s.Origin || e.Verification != s.Verification {
		return wrong("the request was made for something else"), nil
	}
	presentation := evidence.Presentation{Transport: evidence.TransportDCAPI, Origin: p.Origin, Thumbprint: thumbprint(key)}
	jwe := a.Data.Response
	switch {
	case a.ResponseCode != "":
		jwe, err = v.redeem(ctx, e, a.ResponseCode)
		presentation.Transport, presentation.Path = evidence.TransportRedirect, AnswerPath+e.ID
	case a.Data.Error != "":
		return wrong("the wallet answered with an error"), nil
	case a.Protocol != protocolSigned && a.Protocol != protocolUnsigned:
		return wrong("neither a response code nor an answer of a browser"), nil
	}
	if errors.Is(err, ErrAnswer) || errors.Is(err, store.ErrConflict) {
		return wrong(err.Error()), nil
	}
	if err != nil {
		return verify.Verdict{}, err
	}
	return v.judge(ctx, s, presentation, p.Kinds, key, jwe)
}

func wrong(why string) verify.Verdict { return verify.Verdict{Reason: why} }

// redeem ends an exchange for the one who has its response code, and returns the
// wallet's answer. Without the code nothing happens to it.
func (v *Verifier) redeem(ctx context.Context, e store.WalletExchange, code string) (string, error) {
	if len(e.Answer) == 0 {
		return "", fmt.Errorf("%w: no wallet has answered", ErrAnswer)
	}
	var k kept
	if err := json.Unmarshal(e.Answer, &k); err != nil {
		return "", err
	}
	sum := sha256.Sum256([]byte(code))
	if subtle.ConstantTimeCompare(sum[:], k.Code) != 1 {
		return "", fmt.Errorf("%w: response code", ErrAnswer)
	}
	return k.JWE, v.store.Tx(ctx, func(tx *store.Tx) error { return tx.RedeemWallet(ctx, e.Env, e.ID) })
}

// judge decrypts an answer and checks the presentation in it.
func (v *Verifier) judge(ctx context.Context, s verify.Subject, p evidence.Presentation, kinds []string, key *ecdh.PrivateKey, jwe string) (verify.Verdict, error) {
	_, id, presented, err := open(kinds, key, jwe)
	if err != nil {
		return wrong(err.Error()), nil
	}
	trust, err := v.lists.trust(ctx, v.store, s.Env)
	if err != nil {
		return verify.Verdict{}, err
	}
	check := evidence.CheckSDJWT
	p.Response = []byte(presented)
	if forms[id] == evidence.TypeMDoc {
		check = evidence.CheckMDoc
		if p.Response, err = base64.RawURLEncoding.Strict().DecodeString(presented); err != nil {
			return wrong("a document that is not base64url"), nil
		}
	}
	raw, err := p.Raw()
	if err != nil {
		return wrong(err.Error()), nil
	}
	anchors := evidence.Anchors{Origins: []string{s.Origin}, Trust: trust}
	claims, err := check(raw, s.Context, anchors, v.now())
	if err != nil {
		return wrong(err.Error()), nil
	}
	refused, unread, err := v.status(ctx, s.Env, claims, anchors)
	if err != nil || refused != "" {
		return wrong(refused), err
	}
	return verify.Verdict{Right: true, Unread: unread, Claims: &claims, Evidence: []protocol.Evidence{{Type: forms[id], Raw: raw}}}, nil
}

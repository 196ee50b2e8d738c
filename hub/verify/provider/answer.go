package provider

import (
	"context"
	"crypto/subtle"
	"encoding/json"
	"errors"
	"strings"

	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// An Answer is what a provider sent the person back with (RFC 6749 4.1.2, RFC 9207).
type Answer struct {
	Code   string `json:"code,omitempty"`
	State  string `json:"state"`
	Issuer string `json:"iss,omitempty"`
	Error  string `json:"error,omitempty"`
}

// MaxAnswer bounds an answer, in bytes.
const MaxAnswer = 8 << 10

func wrong(why string) verify.Verdict { return verify.Verdict{Reason: why} }

// Check takes what the person came back with, in the session that asked; fetches the
// provider's signed answer and judges it.
func (v *Verifier) Check(ctx context.Context, s verify.Subject, challenge, answer string) (verify.Verdict, error) {
	var a Answer
	if len(answer) > MaxAnswer || json.Unmarshal([]byte(answer), &a) != nil {
		return wrong("not an answer of a provider"), nil
	}
	list, err := v.providers(ctx, s.Env, s.Directory)
	if err != nil {
		return verify.Verdict{}, err
	}
	p, verifier := v.asked(list, s, challenge, a.State)
	switch {
	case p == nil:
		return wrong("the state is not that of this session"), nil
	case a.Issuer != "" && a.Issuer != p.Issuer:
		return wrong("another provider answered"), nil
	case a.Error != "" || a.Code == "":
		return wrong("the provider answered with an error"), nil
	}
	d, err := v.discover(ctx, p.Issuer)
	if err != nil {
		return verify.Verdict{}, unavailable(err)
	}
	if d.more.NamesIss && a.Issuer == "" {
		return wrong("the provider did not name itself"), nil
	}
	return v.judge(ctx, s, *p, d, a.Code, verifier)
}

// asked finds the provider whose state this is, in constant time, and the PKCE verifier.
func (v *Verifier) asked(list []configured, s verify.Subject, exchange, state string) (*configured, string) {
	_, mac, _ := strings.Cut(state, ".")
	for i := range list {
		for _, key := range v.cfg.Store.DeriveKeys(keyPurpose) {
			want, verifier := secrets(key, s.Env, exchange, list[i].ID, s.Origin, s.Context.String())
			if subtle.ConstantTimeCompare([]byte(want), []byte(mac)) == 1 {
				return &list[i], verifier
			}
		}
	}
	return nil, ""
}

// judge fetches the id_token and checks it as an agent would.
func (v *Verifier) judge(ctx context.Context, s verify.Subject, p configured, d discovered, code, verifier string) (verify.Verdict, error) {
	raw, err := v.fetch(ctx, p.Settings, d, s.Origin, code, verifier)
	if errors.Is(err, errRefused) {
		return wrong(err.Error()), nil
	}
	if err != nil {
		return verify.Verdict{}, unavailable(err)
	}
	keys, err := v.keys(ctx, d.more.JWKS)
	if err != nil {
		return verify.Verdict{}, unavailable(err)
	}
	claims, err := evidence.CheckIDToken([]byte(raw), s.Context, evidence.Anchors{Providers: []evidence.Provider{{
		Issuer: p.Issuer, ClientID: p.ClientID, Keys: keys, ACR: p.ACR, AMR: p.AMR, Verified: p.Verified, Named: p.Claims,
	}}}, v.cfg.Now())
	if err != nil {
		return wrong(err.Error()), nil
	}
	return verify.Verdict{Right: true, Claims: &claims, Evidence: []protocol.Evidence{{Type: evidence.TypeIDToken, Raw: []byte(raw)}}}, nil
}

// unavailable says that nobody could judge.
func unavailable(err error) error { return protocol.Err(protocol.CodeUnavailable, err.Error()) }

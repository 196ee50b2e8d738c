package wallet

import (
	"context"
	"crypto/ecdh"
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"maps"
	"slices"
	"time"

	"github.com/golang-jwt/jwt/v5"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/evidence"
)

// Query ids: an answer names the credential by them (DCQL, OpenID4VP 6).
const (
	queryMDL = "mdl"
	queryPID = "pid"
)

// forms lists which query id is of which form and which evidence.
var forms = map[string]string{queryMDL: evidence.TypeMDoc, queryPID: evidence.TypeSDJWT}

// Algorithms by which documents and devices may sign: COSE ES256 in its older and its
// fully specified form, and JOSE ES256.
var (
	coseAlgs = []int{-7, -9}
	joseAlgs = []string{"ES256"}
)

// An object is one JSON object on its way into a request.
type object = map[string]any

// private returns the key that the wallet encrypts to.
func (p secret) private() (*ecdh.PrivateKey, error) { return ecdh.P256().NewPrivateKey(p.Key) }

// coordinates returns x and y of the public key in base64url.
func coordinates(key *ecdh.PrivateKey) (x, y string) {
	b := key.PublicKey().Bytes()
	return base64.RawURLEncoding.EncodeToString(b[1:33]), base64.RawURLEncoding.EncodeToString(b[33:])
}

// thumbprint is RFC 7638 of the public key, which every transcript binds.
func thumbprint(key *ecdh.PrivateKey) []byte {
	x, y := coordinates(key)
	sum := sha256.Sum256([]byte(`{"crv":"P-256","kty":"EC","x":"` + x + `","y":"` + y + `"}`))
	return sum[:]
}

// request returns the members of a request that the wallet answers over transport: by
// posting to the answer's path, or through the browser.
func (p secret) request(transport, answer string) (object, error) {
	key, err := p.private()
	if err != nil {
		return nil, err
	}
	x, y := coordinates(key)
	r := object{
		"response_type": "vp_token", "response_mode": "dc_api.jwt", "nonce": p.Context.String(), "dcql_query": dcql(p.Kinds, p.Photo, p.Home),
		"client_metadata": object{
			"jwks": object{"keys": []object{{"kty": "EC", "crv": "P-256", "use": "enc", "alg": "ECDH-ES", "kid": keyID, "x": x, "y": y}}},
			"encrypted_response_enc_values_supported": encodings,
			"vp_formats_supported": object{
				"mso_mdoc":  object{"issuerauth_alg_values": coseAlgs, "deviceauth_alg_values": coseAlgs},
				"dc+sd-jwt": object{"sd-jwt_alg_values": joseAlgs, "kb-jwt_alg_values": joseAlgs},
			},
		},
	}
	if transport == evidence.TransportRedirect {
		r["response_mode"], r["client_id"] = "direct_post.jwt", evidence.ClientID(p.Origin)
		r["response_uri"], r["state"] = p.Origin+AnswerPath+answer, p.State
	}
	return r, nil
}

// dcql asks for a document of one of the kinds, whichever the person has. home says that
// where they live is wanted too, where the document says it.
func dcql(kinds []string, photo, home bool) object {
	docType, vct := evidence.DefaultDocTypes[0], evidence.DefaultVCTs
	space, required, _, _ := evidence.DocTypeElements(docType)
	if photo {
		required = append(required, "portrait")
	}
	licence := object{"id": queryMDL, "format": "mso_mdoc", "meta": object{"doctype_value": docType}}
	addresses := [][]string{nil}
	if home { // all of it, what says most, or none
		all := evidence.AddressElements()
		addresses = [][]string{all, all[:1], nil}
	}
	asked := func(e string) object {
		return object{"path": []string{space, e}, "intent_to_retain": false}
	}
	wishes(licence, required, addresses, asked)
	needed, wished := evidence.CredentialClaims()
	more := [][]string{wished, nil}
	if home {
		more = [][]string{append([]string{evidence.CredentialAddress}, wished...), {evidence.CredentialAddress}, wished, nil}
	}
	person := object{"id": queryPID, "format": "dc+sd-jwt", "meta": object{"vct_values": vct}}
	wishes(person, needed, more, func(c string) object { return object{"path": []string{c}} })
	all := map[string]object{queryMDL: licence, queryPID: person}
	var credentials []object
	var options [][]string
	for _, k := range kinds {
		credentials, options = append(credentials, all[k]), append(options, []string{k})
	}
	return object{"credentials": credentials, "credential_sets": []object{{"options": options}}}
}

// wishes fills a query with its claims and the sets of them that will do, the fullest
// first: what is needed, with one of the others each.
func wishes(query object, needed []string, others [][]string, asked func(name string) object) {
	var claims []object
	for _, name := range append(slices.Clone(needed), others[0]...) {
		claims = append(claims, asked(name))
	}
	query["claims"] = claims
	if len(others) == 1 { // all that is asked for is needed
		return
	}
	for _, c := range claims {
		path, _ := c["path"].([]string)
		c["id"] = path[len(path)-1]
	}
	var sets [][]string
	for _, set := range others {
		sets = append(sets, append(slices.Clone(needed), set...))
	}
	query["claim_sets"] = sets
}

// sign makes a signed request (RFC 9101, OpenID4VP 5) that is good from now until then.
func (s signer) sign(r object, now, until time.Time) (string, error) {
	claims := jwt.MapClaims{"iss": r["client_id"], "aud": "https://self-issued.me/v2", "iat": now.Unix(), "exp": until.Unix()}
	maps.Copy(claims, r)
	t := jwt.NewWithClaims(jwt.SigningMethodES256, claims)
	t.Header["typ"] = "oauth-authz-req+jwt"
	t.Header["x5c"] = s.chain
	return t.SignedString(s.key)
}

// maxNonce bounds wallet_nonce, in bytes.
const maxNonce = 512

// Request returns the signed request that a wallet fetches by its unguessable id, once.
// nonce is the wallet's own, or "". Errors are those of the store: ErrConflict when the
// request does not exist, has ended or was fetched.
func (v *Verifier) Request(ctx context.Context, env, id, nonce string) (string, error) {
	if len(nonce) > maxNonce {
		return "", fmt.Errorf("wallet: a wallet_nonce of %d bytes: %w", len(nonce), ErrAnswer)
	}
	e, err := store.Change(ctx, v.store, func(tx *store.Tx) (store.WalletExchange, error) { return tx.FetchWalletRequest(ctx, env, id) })
	if err != nil {
		return "", err
	}
	p, _, err := readSecret(e)
	if err != nil {
		return "", err
	}
	r, err := p.request(evidence.TransportRedirect, e.ID)
	if err != nil {
		return "", err
	}
	if nonce != "" {
		r["wallet_nonce"] = nonce
	}
	by, err := v.signer(ctx, env, hostOf(p.Origin))
	if err != nil {
		return "", err
	}
	return by.sign(r, v.now(), p.Until)
}

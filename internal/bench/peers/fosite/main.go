// Command fosite serves an OpenID provider of the library fosite, with records in memory,
// as a process that bench measures beside the product's. It is a module of its own: nothing
// of what it needs is needed by the product.
package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"flag"
	"log"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ory/fosite"
	"github.com/ory/fosite/compose"
	"github.com/ory/fosite/handler/openid"
	"github.com/ory/fosite/storage"
	"github.com/ory/fosite/token/jwt"
)

// What the provider is told of its one client.
type setup struct{ listen, client, secret, back string }

// cost of bcrypt: the least that there is, which favours the peer.
const cost = 4

func main() {
	var s setup
	flag.StringVar(&s.listen, "listen", "", "address and port")
	flag.StringVar(&s.client, "client", "", "client_id")
	flag.StringVar(&s.secret, "secret", "", "its secret")
	flag.StringVar(&s.back, "back", "", "its redirect_uri")
	flag.Parse()
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := s.serve(ctx); err != nil && ctx.Err() == nil {
		log.Fatal("fosite: ", err)
	}
}

// serve serves until ctx ends.
func (s setup) serve(ctx context.Context) error {
	p, err := s.provider(ctx)
	if err != nil {
		return err
	}
	mux := http.NewServeMux()
	mux.HandleFunc("POST /par", p.push)
	mux.HandleFunc("GET /authorize", p.authorize)
	mux.HandleFunc("POST /token", p.token)
	ln, err := new(net.ListenConfig).Listen(ctx, "tcp", s.listen)
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: mux, ReadHeaderTimeout: time.Minute}
	defer context.AfterFunc(ctx, func() { _ = srv.Close() })()
	return srv.Serve(ln)
}

// A provider is fosite with the three endpoints of its documentation.
type provider struct {
	fosite.OAuth2Provider
	issuer string
}

// provider composes what a code flow with pushed requests, PKCE and ES256 needs. Code and
// access token are fosite's HMAC ones, the id_token is signed.
func (s setup) provider(ctx context.Context) (*provider, error) {
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		return nil, err
	}
	sealing := make([]byte, 32)
	if _, err := rand.Read(sealing); err != nil {
		return nil, err
	}
	issuer := "http://" + s.listen
	config := &fosite.Config{GlobalSecret: sealing, HashCost: cost, IDTokenIssuer: issuer, EnforcePKCE: true, IsPushedAuthorizeEnforced: true,
		PushedAuthorizeContextLifespan: time.Minute}
	hash, err := (&fosite.BCrypt{Config: config}).Hash(ctx, []byte(s.secret))
	if err != nil {
		return nil, err
	}
	store := storage.NewMemoryStore()
	store.Clients[s.client] = &fosite.DefaultClient{ID: s.client, Secret: hash, RedirectURIs: []string{s.back}, ResponseTypes: []string{"code"},
		GrantTypes: []string{"authorization_code"}, Scopes: []string{"openid"}}
	getKey := func(context.Context) (any, error) { return key, nil }
	signer := &jwt.DefaultSigner{GetPrivateKey: getKey}
	strategy := &compose.CommonStrategy{CoreStrategy: compose.NewOAuth2HMACStrategy(config), OpenIDConnectTokenStrategy: compose.NewOpenIDConnectStrategy(getKey, config), Signer: signer}
	return &provider{compose.Compose(config, store, strategy, compose.OAuth2AuthorizeExplicitFactory, compose.OpenIDConnectExplicitFactory,
		compose.OAuth2PKCEFactory, compose.PushedAuthorizeHandlerFactory), issuer}, nil
}

// session is a person who has just signed in.
func (p *provider) session() *openid.DefaultSession {
	now := time.Now()
	return &openid.DefaultSession{Subject: "person", Headers: &jwt.Headers{Extra: map[string]any{}},
		Claims: &jwt.IDTokenClaims{Issuer: p.issuer, Subject: "person", RequestedAt: now, AuthTime: now}}
}

func (p *provider) push(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	asked, err := p.NewPushedAuthorizeRequest(ctx, r)
	if err != nil {
		p.WritePushedAuthorizeError(ctx, w, asked, err)
		return
	}
	reply, err := p.NewPushedAuthorizeResponse(ctx, asked, p.session())
	if err != nil {
		p.WritePushedAuthorizeError(ctx, w, asked, err)
		return
	}
	p.WritePushedAuthorizeResponse(ctx, w, asked, reply)
}

// authorize says yes at once: whoever comes has proven enough.
func (p *provider) authorize(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	asked, err := p.NewAuthorizeRequest(ctx, r)
	if err != nil {
		p.WriteAuthorizeError(ctx, w, asked, err)
		return
	}
	asked.GrantScope("openid")
	reply, err := p.NewAuthorizeResponse(ctx, asked, p.session())
	if err != nil {
		p.WriteAuthorizeError(ctx, w, asked, err)
		return
	}
	p.WriteAuthorizeResponse(ctx, w, asked, reply)
}

func (p *provider) token(w http.ResponseWriter, r *http.Request) {
	ctx := r.Context()
	asked, err := p.NewAccessRequest(ctx, r, p.session())
	if err != nil {
		p.WriteAccessError(ctx, w, asked, err)
		return
	}
	reply, err := p.NewAccessResponse(ctx, asked)
	if err != nil {
		p.WriteAccessError(ctx, w, asked, err)
		return
	}
	p.WriteAccessResponse(ctx, w, asked, reply)
}

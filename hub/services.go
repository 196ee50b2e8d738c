package hub

import (
	"time"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/evaluation"
	"github.com/postern-id/postern/hub/export"
	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/notify"
	"github.com/postern-id/postern/hub/oidc"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/signer"
	"github.com/postern-id/postern/hub/site"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/storage"
	"github.com/postern-id/postern/hub/token"
	"github.com/postern-id/postern/hub/verify"
	"github.com/postern-id/postern/hub/verify/agentcode"
	"github.com/postern-id/postern/hub/verify/approval"
	"github.com/postern-id/postern/hub/verify/capture"
	"github.com/postern-id/postern/hub/verify/mailcode"
	"github.com/postern-id/postern/hub/verify/manual"
	"github.com/postern-id/postern/hub/verify/passkey"
	"github.com/postern-id/postern/hub/verify/provider"
	"github.com/postern-id/postern/hub/verify/review"
	"github.com/postern-id/postern/hub/verify/savedcode"
	"github.com/postern-id/postern/hub/verify/smscode"
	"github.com/postern-id/postern/hub/verify/totp"
	"github.com/postern-id/postern/hub/verify/wallet"
	"github.com/postern-id/postern/hub/webhook"
)

// openServices makes what answers people, each part from those before it.
func (h *Hub) openServices(cfg Config) (err error) {
	if err := h.places.open(cfg.Places); err != nil {
		return err
	}
	if h.signer, err = signer.New(cfg.Signer); err != nil {
		return err
	}
	if err := h.openOutlets(cfg); err != nil {
		return err
	}
	h.directories = directory.New(directory.Config{
		Store: h.store, Calls: syncCalls{h.tunnels}, Leases: h.coord, Log: h.log, OnError: h.syncFailed,
	})
	h.members = staff.New(staff.Config{Store: h.store, Mail: doorbell{h.notifier}, Log: h.log, Wait: cfg.FactorWait, Console: h.publicOrigin})
	h.storage = storage.New(storage.Config{Store: h.store, Transport: h.hooks.Transport(storage.MaxAnswer), Log: h.log})
	w := h.openWays(cfg)
	h.openRecoveries(w)
	h.openRequests(cfg, w)
	h.openPages(w)
	return nil
}

// openOutlets makes what leaves the hub: mail, webhooks, the log for collectors.
func (h *Hub) openOutlets(cfg Config) (err error) {
	if h.notifier, err = notify.New(notify.Config{Store: h.store, Route: routeOf(cfg.SMTP), Node: machine(), Log: h.log}); err != nil {
		return err
	}
	if h.hooks, err = webhook.New(webhook.Config{Store: h.store, Log: h.log, Private: cfg.PrivateWebhooks}); err != nil {
		return err
	}
	h.exports = export.New(export.Config{Store: h.store, Client: h.hooks.Client(), Dial: h.hooks.Dial, Host: h.public.Hostname(), Log: h.log})
	return nil
}

// The ways are how people prove who they are.
type ways struct {
	phones    *smscode.Route
	wallets   *wallet.Verifier
	links     *token.Links // they admit, and prove nothing
	verifiers []verify.Verifier
}

// openWays makes the verifiers and what people add for themselves.
func (h *Hub) openWays(cfg Config) ways {
	h.trust = wallet.NewLists(time.Now)
	w := ways{
		phones:  smscode.NewRoute(h.store, h.hooks.Client(), time.Now),
		wallets: wallet.New(wallet.Config{Store: h.store, Now: time.Now, Link: cfg.WalletLink, Lists: h.trust, Client: h.hooks.Client()}),
		links:   &token.Links{Keys: h.store},
	}
	h.factors = factor.New(factor.Config{
		Store: h.store, Mail: confirmer{h.notifier}, SMS: texter{w.phones}, Notices: confirmer{h.notifier}, Rules: directory.Rules, Wait: cfg.FactorWait, Log: h.log,
	})
	h.providers = provider.New(provider.Config{Store: h.store, Client: h.hooks.Client(), Now: time.Now})
	h.reviews = review.New(h.store, h.log)
	h.reviews.Analyst, h.reviews.Shelf = h.hooks, h.storage
	h.approvals = &approval.Approvals{Store: h.store, Mail: doorbell{h.notifier}, Rules: methodsOf, Log: h.log}
	h.manuals = manual.New(h.store, byHandRules{}, byHandOutlets{h.notifier, h.hooks}, h.log)
	w.verifiers = []verify.Verifier{
		mailcode.New(mailer{h.notifier}, func() [][]byte { return h.store.DeriveKeys(mailcode.KeyPurpose) }),
		agentcode.New(operation.Caller{Agents: recoveryAgents{h.tunnels}}),
		passkey.New(h.factors), totp.New(h.factors, time.Now), savedcode.NewVerifier(h.factors), w.wallets, h.reviews, h.approvals, h.manuals,
		smscode.New(w.phones), smscode.NewConfirmation(w.phones),
		h.providers,
	}
	return w
}

// openRecoveries makes what carries recoveries out, what leads people through them, and
// what says who could.
func (h *Hub) openRecoveries(w ways) {
	outside := organisation{h.store, h.hooks, h.log, time.Now}
	h.operations = operation.New(operation.Config{
		Store: h.store, Agents: recoveryAgents{h.tunnels}, Veto: outside, Notifier: mailer{h.notifier}, Alarms: outside, Requested: h.audit.Soon, Factors: h.factors, Picture: capture.Clean, Log: h.log,
	})
	h.recoveries = flow.New(flow.Config{
		Store: h.store, Operations: h.operations, Links: w.links, Buckets: buckets{h.coord}, Factors: h.factors, Matcher: names{h.store},
		Verifiers: w.verifiers, Log: h.log,
	})
	h.evaluations = evaluation.New(evaluation.Config{
		Store: h.store, Agents: evaluated{h.store, h.tunnels}, Verifiers: w.verifiers, Addresses: h.ownAddresses, Origin: h.origin, Log: h.log,
	})
}

// openRequests makes what proves people to somebody else, and tells those whose people
// decide what waits for their word.
func (h *Hub) openRequests(cfg Config, w ways) {
	h.requests = request.New(request.Config{
		Store: h.store, Verifiers: []verify.Verifier{w.wallets, h.providers, h.reviews}, Buckets: buckets{h.coord}, Hooks: requestHooks{h.hooks, h.publicOrigin}, Faces: badgeFaces{h.reviews, h.log}, Places: &h.places, Log: h.log,
		Mail: postman{h.notifier}, SMS: texting{w.phones}, Pictures: h.reviews, Shelf: h.storage, Public: h.publicOrigin,
	})
	h.oidc = oidc.New(oidc.Config{
		Store: h.store, SignIns: h.recoveries, People: h.requests, Accounts: bindings{h.store, h.operations, h.reviews}, Picture: pictures{}, Signer: h.signer, Buckets: counts{h.coord}, Client: h.hooks.Client(), Origin: h.publicOrigin, SiteOrigin: h.origin,
		Authority: cfg.EntraAuthority, Log: h.log,
	})
	h.reviews.Flow, h.approvals.Flow, h.manuals.Flow = reviewed{settler{h.recoveries}, h.requests}, settler{h.recoveries}, settler{h.recoveries}
	h.reviews.Watcher, h.reviews.Badges = h.requests, h.requests
}

// openPages makes the recovery domains' pages.
func (h *Hub) openPages(w ways) {
	h.site = site.New(site.Config{
		Recoveries: h.recoveries, Proofs: h.recoveries, Handovers: h.recoveries, Changes: h.operations, Notices: h.operations, Links: w.links, Vouchers: h.approvals, Members: h.members, Wallets: w.wallets, Requests: h.requests, Consents: h.requests, Details: h.requests, Returns: h.requests, Badges: h.requests, Photos: h.requests, Providers: h.providers, Captures: h.reviews,
		SignIns: signIns{h.oidc}, Phones: signIns{h.oidc}, Owners: h.recoveries, Factors: h.factors, Store: h.store, Log: h.log,
	})
}

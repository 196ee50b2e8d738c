// Package console is where administrators see whether recovery works: directories,
// agents, synchronisation and what happened last, and what needs one of them to decide.
// Here staff are invited and sign in, look at captured documents, and verify people by hand. It reads what
// other packages know and hands decisions to them; it never touches an
// account itself.
package console

import (
	"context"
	"embed"
	"log/slog"
	"net/http"
	"path"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/party"
	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/tunnel"
	"github.com/postern-id/postern/hub/verify/wallet"
	"github.com/postern-id/postern/protocol"
)

// Agents knows the agents and carries out decisions about them.
type Agents interface {
	Status(ctx context.Context, env string) ([]tunnel.AgentStatus, error)
	Confirm(ctx context.Context, env, agent, fingerprint string, by audit.Principal) error
	Resolve(ctx context.Context, env, agent string, by audit.Principal) error
	// Examine asks an agent how it is. Errors are *protocol.Error.
	Examine(ctx context.Context, env, directory, agent string) (protocol.Examination, error)
}

// Directories synchronises directories.
type Directories interface {
	SyncNow(ctx context.Context, env, directory string) error
	Confirm(ctx context.Context, env, directory string, by audit.Principal) error
}

// Mail knows whether the hub has a mail server.
type Mail interface{ Usable() bool }

// A Signer signs by keys outside of the hub.
type Signer interface {
	party.Signer
	// Named reports whether the configuration names one.
	Named() bool
	// Ping returns nil if it answers.
	Ping(ctx context.Context) error
}

// Config is what the console is made of; every member is needed.
type Config struct {
	Store       *store.Store
	Agents      Agents
	Directories Directories
	Recoveries  Recoveries
	Reviews     Reviews
	Transcripts Transcripts
	Badges      BadgeDecisions
	Evaluations Evaluations
	Manuals     Manuals
	Members     Members
	Terminals   Terminals
	Acts        Acts
	Orders      Orders
	Providers   Providers
	Audit       AuditLog
	Exports     Exports
	Mail        Mail
	Signer      Signer
	Trust       *wallet.Lists              // of authorities whose documents count
	SiteOrigin  func(domain string) string // of a recovery domain
	Origin      func() string              // of public_url; a reload of the configuration may change it
	Log         *slog.Logger
}

// Console is an http.Handler for /console and everything below it.
type Console struct {
	cfg   Config
	files *page.Files
	mux   *http.ServeMux
}

//go:embed static
var static embed.FS

// New makes a console.
func New(cfg Config) *Console {
	c := &Console{cfg: cfg, files: page.NewFiles(root+"/static/", static)}
	c.mux = routes()
	return c
}

// Addresses. LinkPath is followed by the secret of a one-time link.
const (
	root     = "/console"
	LinkPath = root + "/link/"
)

// ServeHTTP implements http.Handler.
func (c *Console) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	page.Headers(w.Header())
	v, ok := c.visit(w, r)
	if !ok {
		return
	}
	if path.Clean(r.URL.Path) != r.URL.Path { // one canonical form of every address
		v.fail(errNoPage)
		return
	}
	c.mux.ServeHTTP(w, r.WithContext(context.WithValue(r.Context(), visitKey{}, v)))
}

// A handler serves one visit.
type handler func(v *visit)

// open marks what is served to people who are not signed in.
const open = "open"

// A route is one address: who serves reading it and who serves sending to it. Only
// open ones are served to people who are not signed in.
type route struct {
	pattern   string
	least     string // the weakest role that is served; open: whoever comes
	scope     scope
	get, post handler
}

// A scope reports whether a visit stays within the environments of whoever is signed in.
// What is in others does not exist for them.
type scope func(v *visit) bool

// inPath, inForm and inQuery are of routes about one environment, by where it is named.
func inPath(v *visit) bool  { return v.reaches(v.r.PathValue("env")) }
func inForm(v *visit) bool  { return v.reaches(v.field("env")) }
func inQuery(v *visit) bool { return v.reaches(v.r.URL.Query().Get("env")) }

// theirs is of routes that show what is in the reader's environments, or is their own, and
// nothing else.
func theirs(*visit) bool { return true }

// whole is of routes about the organisation: they are for who reaches all of it.
func whole(v *visit) bool { return v.reaches(store.AllEnvs) }

// anybody is of routes that tell of no environment.
func anybody(*visit) bool { return true }

// table lists what the console serves.
func table() []route {
	return []route{
		{root, staff.Limited, theirs, (*visit).status, nil},
		{LinkPath + "{secret}", open, anybody, (*visit).link, (*visit).redeem},
		{root + "/sign-out", staff.Limited, theirs, nil, (*visit).signOut},
		{root + "/sync", staff.User, inForm, nil, (*visit).sync},
		{root + "/sync/confirm", staff.Admin, inForm, nil, (*visit).confirmSync},
		{root + "/agents/confirm", staff.Admin, inForm, nil, (*visit).confirmAgent},
		{root + "/agents/resolve", staff.Admin, inForm, nil, (*visit).resolveAgent},
		{examinePath, staff.User, inForm, nil, (*visit).examine},
		{accountsPath, staff.LimitedPlus, inForm, nil, (*visit).accounts},
		{accountsPath + "/reopen", staff.Admin, inForm, nil, (*visit).reopen},
		{accountsPath + "/unblock", staff.Admin, inForm, nil, (*visit).unblock},
		{evaluationPath, staff.LimitedPlus, inQuery, (*visit).evaluation, nil},
		{evaluationPath + "/start", staff.Admin, inForm, nil, (*visit).evaluate},
		{evaluationPath + "/cancel", staff.Admin, inForm, nil, (*visit).cancelEvaluation},
		{evaluationPath + "/csv", staff.LimitedPlus, inQuery, (*visit).evaluationCSV, nil},
		{reviewsPath, staff.User, theirs, (*visit).reviews, nil},
		{reviewsPath + "/take", staff.User, inForm, nil, (*visit).takeReview},
		{casePath, staff.User, inPath, (*visit).review, nil},
		{casePath + "/{kind}", staff.User, inPath, (*visit).picture, nil},
		{casePath + "/decide", staff.User, inPath, nil, (*visit).decideReview},
		{verifyPath, staff.User, inPath, (*visit).sheet, (*visit).verify},
		{verifyPath + "/confirm", staff.User, inPath, nil, (*visit).confirmVerify},
		{verifyPath + "/revoke", staff.User, inPath, nil, (*visit).revokeManual},
		{changePath, staff.Admin, inPath, (*visit).change, (*visit).foresee},
		{changePath + "/confirm", staff.Admin, inPath, nil, (*visit).confirmChange},
		{ordersPath, staff.Admin, theirs, (*visit).orders, nil},
		{orderPath, staff.Admin, inPath, nil, (*visit).agree},
		{orderPath + "/confirm", staff.Admin, inPath, nil, (*visit).confirmAgreement},
		{orderPath + "/deny", staff.Admin, inPath, nil, (*visit).deny},
		{waitingPath, staff.User, theirs, (*visit).waiting, nil},
		{requestPath, staff.User, inPath, (*visit).request, (*visit).decideRequest},
		{requestPath + "/confirm", staff.User, inPath, nil, (*visit).confirmRequest},
		{requestPath + "/deny", staff.User, inPath, nil, (*visit).denyRequest},
		{minePath, staff.Limited, theirs, (*visit).mine, nil},
		{minePath + "/end", staff.Limited, theirs, nil, (*visit).endMine},
		{staffPath + "/role", staff.Admin, theirs, nil, (*visit).setRole},
		{staffPath, staff.Admin, theirs, (*visit).staff, nil},
		{staffPath + "/invite", staff.Admin, theirs, nil, (*visit).invite},
		{staffPath + "/remove", staff.Admin, theirs, nil, (*visit).removeStaff},
		{staffPath + "/end", staff.Admin, theirs, nil, (*visit).endSession},
		{settingsPath, staff.Admin, theirs, (*visit).settings, nil},
		{auditPath, staff.Owner, whole, (*visit).auditLog, (*visit).changeAudit},
		{collectorPath, staff.Owner, whole, (*visit).collector, (*visit).saveCollector},
		{waysPath, staff.Admin, inPath, (*visit).ways, (*visit).saveWays},
		{rulePath, staff.Admin, inPath, (*visit).rule, (*visit).saveRule},
		{trustPath, staff.Admin, inPath, (*visit).trust, (*visit).saveTrust},
		{hooksPath, staff.Admin, inPath, (*visit).hooks, (*visit).changeSecret},
		{hookPath, staff.Admin, inPath, (*visit).hook, (*visit).saveHook},
		{linksPath, staff.Admin, inPath, (*visit).links, (*visit).saveLinks},
		{deliveryPath, staff.Admin, inPath, (*visit).delivery, (*visit).resend},
		{clientsPath, staff.Admin, inPath, (*visit).askers, nil},
		{clientPath, staff.Admin, inPath, (*visit).asker, (*visit).saveClient},
		{providersPath, staff.Admin, inPath, (*visit).providers, nil},
		{providerPath, staff.Admin, inPath, (*visit).provider, (*visit).saveProvider},
		{staff.ConsolePath, open, anybody, (*visit).joinLink, (*visit).keepInvitation},
		{staff.ConsolePath + "/key", open, anybody, (*visit).invitation, (*visit).join},
		{terminalPath, staff.Limited, theirs, (*visit).terminal, (*visit).approveTerminal},
		{terminalPath + "/confirm", staff.Limited, theirs, nil, (*visit).confirmTerminal},
		{root + "/enter", open, anybody, (*visit).toRoot, (*visit).enter},
		{root + "/static/", open, anybody, (*visit).file, nil},
		{"/", open, anybody, (*visit).missing, (*visit).missing},
	}
}

// Patterns lists the addresses of the console's pages and forms, as http.ServeMux writes them.
func Patterns() (list []string) {
	for _, r := range table() {
		list = append(list, r.pattern)
	}
	return list
}

func routes() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range table() {
		mux.HandleFunc(r.pattern, r.serve)
	}
	return mux
}

func (rt route) serve(_ http.ResponseWriter, r *http.Request) {
	v := r.Context().Value(visitKey{}).(*visit)
	v.r = r // with the path's values
	reading := r.Method == http.MethodGet || r.Method == http.MethodHead
	var next handler
	switch {
	case reading:
		next = rt.get
	case r.Method == http.MethodPost:
		next = rt.post
	}
	if next == nil {
		v.w.Header().Set("Allow", rt.allowed())
		v.fail(errMethod)
		return
	}
	if !reading {
		if err := rt.check(v); err != nil {
			v.fail(err)
			return
		}
	}
	if rt.least != open && !v.signedIn() {
		return
	}
	if rt.least != open && !staff.AtLeast(v.role, rt.least) {
		v.fail(errRole)
		return
	}
	if !rt.scope(v) {
		v.fail(errNoPage)
		return
	}
	next(v)
}

// check reads the form; those of some pages are larger than the others.
func (rt route) check(v *visit) error {
	switch rt.pattern {
	case trustPath:
		return v.host.CheckFiles(v.w, v.r, uploadSize)
	case providerPath:
		return v.host.CheckLarge(v.w, v.r, providerSize)
	case collectorPath:
		return v.host.CheckLarge(v.w, v.r, collectorSize)
	case clientPath:
		return v.host.CheckLarge(v.w, v.r, clientSize)
	}
	return v.host.Check(v.w, v.r)
}

func (rt route) allowed() string {
	switch {
	case rt.post == nil:
		return "GET, HEAD"
	case rt.get == nil:
		return "POST"
	}
	return "GET, HEAD, POST"
}

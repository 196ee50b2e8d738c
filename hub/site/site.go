// Package site is the recovery microsite: the pages of a recovery domain: getting back into an
// account, my recovery options, vouching for others, answering requests. Plain HTML;
// scripts only where a result is opened or a browser's own key, wallet or camera is
// asked. It turns requests into calls of packages flow, factor, request and approval and
// their views into pages; it decides nothing about an account and keeps nothing itself.
package site

import (
	"context"
	"embed"
	"log/slog"
	"net/http"
	"path"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/operation"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/token"
	"github.com/postern-id/postern/hub/verify/provider"
	"github.com/postern-id/postern/protocol"
)

// A Request is what the edge knows of a request and the site must not take from its
// headers. It comes with the context.
type Request struct {
	Env    string // id of the environment that the domain belongs to
	Origin string // of the stored domain: "https://recover.example.com"
	Client string // IP address of the browser
}

type requestKey struct{}

// WithRequest adds what the edge knows.
func WithRequest(ctx context.Context, r Request) context.Context {
	return context.WithValue(ctx, requestKey{}, r)
}

// Recoveries offers and begins recoveries, takes their steps up to the proof and ends them.
// The session is the value of the browser's cookie; errors are those of package recovery.
type Recoveries interface {
	Offered(ctx context.Context, env string) (flow.Offer, error)
	Start(ctx context.Context, s flow.Start) (id, session string, err error)
	View(ctx context.Context, env, id, session string) (flow.View, error)
	Choose(ctx context.Context, env, id, session, directory string, action protocol.Action) error
	Cancel(ctx context.Context, env, id, session string) error
}

// Proofs takes what people prove themselves with.
type Proofs interface {
	ChooseMethod(ctx context.Context, env, id, session, method string, recipient []byte) error
	Answer(ctx context.Context, env, id, session, answer string) error
	Resend(ctx context.Context, env, id, session string) error
}

// Handovers let a recovery go on in the browser of a phone.
type Handovers interface {
	HandOver(ctx context.Context, env, id, session string) (flow.Handover, error)
	Claim(ctx context.Context, env, ticket string, c recovery.Client) (id, session string, err error)
	BegunBy(ctx context.Context, env, id, session string) (flow.Begun, error)
	Confirm(ctx context.Context, env, id, session, code string) error
	RefuseClaim(ctx context.Context, env, id, session string) error
	Disown(ctx context.Context, env, id, session string) error
}

// Changes carries recoveries out.
type Changes interface {
	Perform(ctx context.Context, env, id, session string, recipient []byte) error
	Acknowledge(ctx context.Context, env, id, session string) error
}

// Notices serves the owner who says "this was not me".
type Notices interface {
	NotMeView(ctx context.Context, env, token string) (operation.Objection, error)
	NotMe(ctx context.Context, env, token string) (operation.Objection, error)
}

// Links verifies presigned links.
type Links interface {
	Verify(ctx context.Context, env, text string) (token.Link, error)
}

// A Reader reads the store.
type Reader interface {
	Read(ctx context.Context, fn func(tx *store.Tx) error) error
}

// Config is what the site is made of; every member is needed.
type Config struct {
	Recoveries Recoveries
	Proofs     Proofs
	Handovers  Handovers
	Changes    Changes
	Notices    Notices
	Links      Links
	Captures   Captures
	Wallets    Wallets
	Requests   Requests
	Consents   Consents
	Details    Details
	Returns    Returns
	Badges     Badges
	Photos     Photos
	Vouchers   Vouchers
	Members    Members
	Providers  Providers
	Owners     Owners
	SignIns    SignIns
	Phones     Phones
	Factors    *factor.Factors
	Store      Reader
	Log        *slog.Logger
}

// A Site serves the pages of every environment. It is an http.Handler for requests whose
// context carries a Request.
type Site struct {
	cfg   Config
	mux   *http.ServeMux
	files *page.Files
	looks *memory[*look]
	state *memory[condition] // of all directories together
	plain *look              // of an environment without settings
	work  sync.WaitGroup     // operations that outlive the request that asked for them
}

//go:embed static
var static embed.FS

// New makes a site.
func New(cfg Config) *Site {
	s := &Site{cfg: cfg, files: page.NewFiles("/static/", static), plain: newLook(store.Environment{}, nil)}
	s.looks, s.state = newMemory(lookupTime, s.readLook), newMemory(outageTime, s.readCondition)
	s.mux = s.routes()
	return s
}

// Bundle returns what this program's recovery pages run and look like, but for what an
// environment sets: its colours, its logo, its words.
func Bundle() page.Bundle { return page.NewBundle("site", static, templates) }

// Wait returns when the operations that requests began have been handed over, or ctx
// ends. It is called after the last request.
func (s *Site) Wait(ctx context.Context) {
	done := make(chan struct{})
	go func() { s.work.Wait(); close(done) }()
	select {
	case <-done:
	case <-ctx.Done():
	}
}

// ServeHTTP implements http.Handler.
func (s *Site) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	page.Headers(w.Header())
	v, ok := s.visit(w, r)
	if !ok {
		return
	}
	if path.Clean(r.URL.Path) != r.URL.Path { // one canonical form of every address
		v.fail(errNoPage)
		return
	}
	r = r.WithContext(context.WithValue(r.Context(), visitKey{}, v))
	v.r = r
	v.keepOpener()
	s.mux.ServeHTTP(w, r)
}

// A handler serves one visit.
type handler func(v *visit)

// A route is one address: who serves reading it and who serves sending to it.
type route struct {
	pattern   string
	get, post handler
}

// largeForms are the addresses whose forms carry what a script made.
var largeForms = []string{"/r/{id}/answer", "/request/{use}/answer"}

// table lists what the site serves, but for what wallets call.
func table() []route {
	return []route{
		{"/{$}", (*visit).start, nil},
		{"/start", (*visit).toStart, (*visit).begin},
		{"/r/{id}", (*visit).recovery, nil},
		{"/r/{id}/state", (*visit).state, nil},
		{"/r/{id}/choose", (*visit).toRecovery, (*visit).choose},
		{"/r/{id}/method", (*visit).otherWays, (*visit).chooseMethod},
		{"/r/{id}/code", (*visit).toRecovery, (*visit).code},
		{"/r/{id}/answer", (*visit).toRecovery, (*visit).answer},
		{"/r/{id}/phone", (*visit).begunBy, (*visit).handOver},
		{"/r/{id}/phone/code", (*visit).phoneCode, (*visit).confirm},
		{"/r/{id}/phone/refuse", (*visit).toRecovery, (*visit).refuseClaim},
		{"/r/{id}/disown", (*visit).toRecovery, (*visit).disown},
		{"/phone", (*visit).phone, (*visit).claim},
		{"/r/{id}/resend", (*visit).toRecovery, (*visit).resend},
		{capturePath, (*visit).toRecovery, (*visit).captured},
		{"/r/{id}/perform", (*visit).toRecovery, (*visit).perform},
		{"/r/{id}/acknowledge", (*visit).toRecovery, (*visit).acknowledge},
		{"/r/{id}/cancel", (*visit).toRecovery, (*visit).cancel},
		{"/r/{id}/saved-code", (*visit).toRecovery, (*visit).newCode},
		{signInPath, (*visit).signInLink, (*visit).openSignIn},
		{signInPhonePath, (*visit).phoneAsks, nil},
		{signInPhonePath + "/code", (*visit).phoneShows, nil},
		{signInPhonePath + "/state", (*visit).phoneState, nil},
		{signInPhonePath + "/go", (*visit).phoneAsks, (*visit).phoneGoes},
		{signInPhonePath + "/disown", (*visit).phoneAsks, (*visit).phoneDisowns},
		{"/r/{id}/sign-in", (*visit).toRecovery, (*visit).finishSignIn},
		{"/r/{id}/sign-in/stop", (*visit).toRecovery, (*visit).stopSignIn},
		{"/options", (*visit).toOptions, nil},
		{"/r/{id}/options", (*visit).options, nil},
		{"/r/{id}/options/add", (*visit).toOptionsList, (*visit).addOption},
		{"/r/{id}/options/passkey", (*visit).toOptionsList, (*visit).madePasskey},
		{"/r/{id}/options/address", (*visit).toOptionsList, (*visit).addAddress},
		{"/r/{id}/options/confirm", (*visit).toOptionsList, (*visit).confirmOption},
		{"/r/{id}/options/{factor}", (*visit).oneOption, nil},
		{"/r/{id}/options/{factor}/rename", (*visit).toOptionsList, (*visit).renameOption},
		{"/r/{id}/options/{factor}/remove", (*visit).toOptionsList, (*visit).removeOption},
		{"/r/{id}/options/{factor}/not-mine", (*visit).toOptionsList, (*visit).disownOption},
		{"/r/{id}/options/{factor}/agent", (*visit).toOptionsList, (*visit).toAgent},
		{approvePath, (*visit).approveLink, (*visit).openApprove},
		{approvePath + "/request", (*visit).asked, (*visit).approve},
		{approvePath + "/deny", (*visit).toApprove, (*visit).deny},
		{approverPath, (*visit).approverLink, (*visit).openApprover},
		{approverPath + "/key", (*visit).invited, (*visit).join},
		{"/not-me", (*visit).objection, (*visit).object},
		{"/request", (*visit).requestLink, (*visit).openRequest},
		{"/request/{use}", (*visit).theRequest, nil},
		{"/request/{use}/agree", (*visit).toRequest, decide(agreeToRequest)},
		{"/request/{use}/method", (*visit).requestWays, decide(chooseForRequest)},
		{"/request/{use}/state", (*visit).requestState, nil},
		{requestCapturePath, (*visit).toRequest, (*visit).capturedForRequest},
		{"/request/{use}/leave", (*visit).leaveRequest, nil},
		{"/request/{use}/answer", (*visit).toRequest, decide(answerRequest)},
		{"/request/{use}/detail", (*visit).toRequest, (*visit).giveDetail},
		{"/request/{use}/share", (*visit).toRequest, decide(shareRequest)},
		{"/request/{use}/reject", (*visit).toRequest, decide(rejectRequest)},
		{"/request/{use}/return", (*visit).toRequest, (*visit).returnRequest},
		{"/request/{use}/return/stop", (*visit).toRequest, (*visit).stopRequest},
		{"/request/{use}/back", (*visit).toRequest, decide(takeBackRequest)},
		{badgePath, (*visit).badge, (*visit).beginBadge},
		{badgeUsePath, (*visit).theBadge, (*visit).sentBadge},
		{badgeUsePath + "/send", (*visit).toBadge, (*visit).sendBadge},
		{badgeUsePath + "/retake", (*visit).toBadge, (*visit).retakeBadge},
		{badgeUsePath + "/state", (*visit).badgeState, nil},
		{badgeUsePath + "/photo/{kind}", (*visit).badgePhoto, nil},
		{"/wallet/return", (*visit).walletReturn, nil},
		{"/r/{id}/leave", (*visit).leave, nil},
		{provider.ReturnPath, (*visit).comeBack, nil},
		{"/theme.css", (*visit).theme, nil},
		{"/logo", (*visit).logo, nil},
		{"/robots.txt", (*visit).robots, nil},
		{"/static/", (*visit).file, nil},
		{"/", (*visit).missing, (*visit).missing},
	}
}

// Patterns lists the addresses of the site's pages and forms, as http.ServeMux writes them.
func Patterns() (list []string) {
	for _, r := range table() {
		list = append(list, r.pattern)
	}
	return list
}

func (s *Site) routes() *http.ServeMux {
	mux := http.NewServeMux()
	for _, r := range table() {
		mux.HandleFunc(r.pattern, r.serve)
	}
	s.walletRoutes(mux)
	return mux
}

func (rt route) serve(_ http.ResponseWriter, r *http.Request) {
	v := r.Context().Value(visitKey{}).(*visit)
	v.r = r // with the path's values
	switch {
	case rt.get != nil && (r.Method == http.MethodGet || r.Method == http.MethodHead):
		rt.get(v)
	case rt.post != nil && r.Method == http.MethodPost:
		v.submitted(rt)
	default:
		v.w.Header().Set("Allow", rt.allowed())
		v.fail(errMethod)
	}
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

// Times that the site itself waits for.
const (
	lookupTime  = 15 * time.Second        // for everything but an operation
	performTime = 90 * time.Second        // an operation lives 60 s at most, and its outcome is fetched after that
	grace       = 1500 * time.Millisecond // an operation that is this fast shows no waiting page
)

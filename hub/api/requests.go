package api

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
)

// Bounds of a request.
const (
	maxLabel  = 1000
	maxUses   = 1_000_000
	maxClaims = 64
	maxList   = 200 // requests of one page
)

// statusCreated is the NumericRequestStatus of a new request.
const statusCreated = 100

// createRequestRequest is the wire type CreateRequestRequest. TTL stands in the
// published text only.
type createRequestRequest struct {
	Env       string           `json:"env"`
	Scopes    []string         `json:"scopes,omitempty" words:"scope"`
	Claims    []string         `json:"claims,omitempty" words:"claim"`
	Template  string           `json:"template,omitempty"`
	ExpiresAt *time.Time       `json:"expires_at,omitempty"`
	TTL       *policy.Duration `json:"ttl,omitempty"`
	Phone     string           `json:"phone,omitempty"`
	WhatsApp  string           `json:"whatsapp,omitempty"`
	Email     string           `json:"email,omitempty"` // ours
	Label     string           `json:"label,omitempty"`
	MaxUsages *int             `json:"max_usages,omitempty"`
}

// redacted implements redactor: numbers and addresses are personal, see personalOf.
func (req createRequestRequest) redacted() any {
	for _, s := range []*string{&req.Phone, &req.WhatsApp, &req.Email} {
		*s = masked(*s)
	}
	return req
}

// personalOf is what a record keeps of a request so that it can be erased.
func personalOf(req *createRequestRequest) map[string]string {
	p := map[string]string{}
	for name, v := range map[string]string{"phone": req.Phone, "whatsapp": req.WhatsApp, "mail": req.Email} {
		if v != "" {
			p[name] = v
		}
	}
	return p
}

// createdRequest is the wire type CreateRequestResponse.
type createdRequest struct {
	ID        string    `json:"id"`
	Status    int       `json:"status"`
	Env       string    `json:"env"`
	Scopes    []string  `json:"scopes" words:"scope"`
	Claims    []string  `json:"claims" words:"claim"`
	Template  string    `json:"template,omitempty"`
	Link      string    `json:"link"`
	Phone     string    `json:"phone,omitempty"`
	Email     string    `json:"email,omitempty"`
	Label     string    `json:"label,omitempty"`
	ExpiresAt time.Time `json:"expires_at"`
}

// redacted implements redactor: whoever has the link may answer it.
func (r createdRequest) redacted() any {
	r.Link, r.Phone, r.Email = redactedSecret, masked(r.Phone), masked(r.Email)
	return r
}

// createRequest makes a request and the link for it.
func createRequest(ctx context.Context, c *call, tx *store.Tx, req *createRequestRequest) (any, error) {
	if err := c.findEnv(ctx, tx, req.Env); err != nil {
		return nil, as(err, store.ErrNotFound, bad("env: not an environment that this key is for"))
	}
	if req.WhatsApp != "" && req.Phone != "" {
		return nil, bad("whatsapp: give either it or phone: one message has the link")
	}
	c.personal = personalOf(req)
	o, err := req.order(ctx, c, tx)
	if err != nil {
		return nil, err
	}
	if o.Origin, err = c.siteOf(ctx, tx, ""); err != nil {
		return nil, err
	}
	r, err := c.api.Requests.Create(ctx, tx, o)
	switch {
	case errors.Is(err, request.ErrChannel), errors.Is(err, request.ErrAddress):
		return nil, bad(err.Error())
	case errors.Is(err, request.ErrTooMany):
		return nil, refusal{http.StatusTooManyRequests, "email: this mailbox was sent as many links today as one is; pass the link of the answer on yourself"}
	}
	return createdRequest{ID: r.ID, Status: statusCreated, Env: r.Env, Scopes: append([]string{}, r.Scopes...), Claims: request.Public(r.Claims),
		Template: r.Template, Link: request.Link(r), Phone: req.Phone, Email: req.Email, Label: r.Label, ExpiresAt: r.ExpiresAt}, err
}

// order reads what is to be asked for: claims and scopes, or a template, or the
// environment's default template.
func (req *createRequestRequest) order(ctx context.Context, c *call, tx *store.Tx) (o request.Order, err error) {
	o = request.Order{Env: c.env.ID, Label: req.Label, Scopes: req.Scopes, Claims: req.Claims, MaxUses: 1, Mail: req.Email, Phone: req.Phone, WhatsApp: req.WhatsApp,
		MadeBy: c.key.ID, Requester: c.key.Staff}
	if len(req.Label) > maxLabel || strings.ContainsFunc(req.Label, isControl) {
		return o, bad(fmt.Sprintf("label: want one line of at most %d bytes", maxLabel))
	}
	if err := checkAsked(req.Scopes, req.Claims); err != nil {
		return o, err
	}
	asked := len(req.Scopes)+len(req.Claims) > 0
	switch {
	case asked && req.Template != "":
		return o, bad("template: brings claims of its own; give either it or claims and scopes")
	case !asked:
		if err := useTemplate(ctx, tx, &o, req.Template); err != nil {
			return o, err
		}
	}
	if err := checkProvable(o.Scopes, o.Claims); err != nil {
		return o, err
	}
	if req.MaxUsages != nil {
		if o.MaxUses = *req.MaxUsages; o.MaxUses < 0 || o.MaxUses > maxUses {
			return o, bad(fmt.Sprintf("max_usages: want a number up to %d; 0 is no limit", maxUses))
		}
	}
	o.ExpiresAt, err = req.end()
	return o, err
}

// claimNames are the claims of the public API.
var claimNames = []string{"account", "address", "birth_date", "email", "family_name", "given_name", "govtid", "govtid_expired", "gps_location",
	"ip_location", "name", "phone_number", "picture", "preferred_name"}

func checkAsked(scopes, claims []string) error {
	if len(scopes)+len(claims) > maxClaims {
		return bad(fmt.Sprintf("claims: more than %d", maxClaims))
	}
	for _, n := range claims {
		if !request.KnownClaim(n) {
			return bad(fmt.Sprintf("claims: %.40q is none of %s", n, strings.Join(claimNames, ", ")))
		}
	}
	for _, n := range scopes {
		if !request.KnownScope(n) {
			return bad(fmt.Sprintf("scopes: there is no %.40q", n))
		}
	}
	return nil
}

// checkProvable refuses what nobody could ever prove: a person would share less than was
// asked for, and nobody would know why.
func checkProvable(scopes, claims []string) error {
	if bare := request.Unprovable(scopes, claims); len(bare) > 0 {
		return bad(fmt.Sprintf("claims: no method of this product proves %s; there are: %s", strings.Join(bare, ", "), strings.Join(request.Answerable(claimNames), ", ")))
	}
	if len(request.Asked(scopes, claims)) == 0 {
		return bad("claims: ask for something; there are: " + strings.Join(request.Answerable(claimNames), ", "))
	}
	return nil
}

// end returns when the request ends, zero for the usual life.
func (req *createRequestRequest) end() (at time.Time, err error) {
	switch {
	case req.ExpiresAt != nil && req.TTL != nil:
		return at, bad("ttl: give either it or expires_at")
	case req.ExpiresAt != nil:
		at = *req.ExpiresAt
	case req.TTL != nil:
		at = time.Now().Add(time.Duration(*req.TTL))
	default:
		return at, nil
	}
	if left := time.Until(at); left <= 0 || left > request.Life {
		return at, bad("expires_at: want a time within the next 168 hours")
	}
	return at, nil
}

// getRequest answers with one request and what was shared by it.
func getRequest(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	return c.api.Requests.Document(ctx, tx, c.request)
}

// ownOnly reports whether the role reaches only requests of its own: those made by the
// key, or by whichever key of the member of staff whose it is.
func (c *call) ownOnly() bool { return !roleReaches(c.key.Role, RoleUser) }

func (c *call) owns(r store.Request) bool {
	return r.MadeBy == c.key.ID || c.key.Staff != "" && r.Requester == c.key.Staff
}

// findRequest finds a request in the environments that the key is for.
func (c *call) findRequest(ctx context.Context, tx *store.Tx, id string) (err error) {
	if c.request, err = tx.RequestByID(ctx, id); err != nil {
		return err
	}
	if env := c.r.PathValue("env"); env != "" && env != c.request.Env {
		return store.ErrNotFound
	}
	if c.ownOnly() && !c.owns(c.request) {
		return store.ErrNotFound
	}
	return c.findEnv(ctx, tx, c.request.Env)
}

// updateRequestRequest is the wire type UpdateRequestRequest.
type updateRequestRequest struct {
	Label *string `json:"label,omitempty"`
}

// updateRequest changes the label of a request.
func updateRequest(ctx context.Context, c *call, tx *store.Tx, req *updateRequestRequest) (any, error) {
	c.detail = map[string]any{"request_id": c.request.ID, "request": req}
	if req.Label == nil {
		return nil, nil
	}
	if len(*req.Label) > maxLabel || strings.ContainsFunc(*req.Label, isControl) {
		return nil, bad(fmt.Sprintf("label: want one line of at most %d bytes", maxLabel))
	}
	return nil, c.api.Requests.SetLabel(ctx, tx, c.request, *req.Label)
}

// cancelRequest ends the link.
func cancelRequest(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	c.detail = map[string]any{"request_id": c.request.ID}
	return nil, c.api.Requests.Cancel(ctx, tx, c.request)
}

// requestsList is the wire type GetRequestsResponse.
type requestsList struct {
	Requests   []request.Document `json:"requests"`
	NextOffset int                `json:"next_offset"`
	Total      int                `json:"total_result_count"`
}

// listRequests answers with a page of an environment's requests.
func listRequests(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	f, none := c.requestFilter()
	list := requestsList{Requests: []request.Document{}}
	if none {
		return list, nil
	}
	var err error
	if list.Total, err = tx.CountRequests(ctx, c.env.ID, f); err != nil {
		return nil, err
	}
	all, err := tx.Requests(ctx, c.env.ID, f)
	if err != nil {
		return nil, err
	}
	for _, r := range all {
		d, err := c.api.Requests.Document(ctx, tx, r)
		if err != nil {
			return nil, err
		}
		list.Requests = append(list.Requests, d)
	}
	if list.NextOffset = f.Offset + len(all); list.NextOffset >= list.Total {
		list.NextOffset = 0
	}
	return list, nil
}

// requestFilter reads the parameters. none says that they can fit no request: nothing
// waits for its deletion, and a limited role has no requests of others.
func (c *call) requestFilter() (f store.RequestFilter, none bool) {
	f = store.RequestFilter{Offset: c.number("offset"), Count: c.number("count"), Query: c.text("q"), Requester: c.text("requestor")}
	sorted(&f, c.text("sort"))
	updated(&f, c.text("updatedAt"), time.Now().UTC())
	none = inStatus(&f, c.text("statusFilter"))
	switch {
	case !c.ownOnly():
	case c.key.Staff == "":
		f.MadeBy = c.key.ID
	case f.Requester != "" && f.Requester != c.key.Staff:
		none = true
	default:
		f.Requester = c.key.Staff
	}
	return f, none
}

// Words of the parameters of a list of requests.
var (
	sorts         = []string{"last_created", "last_updated", "-last_created", "-last_updated"}
	statusFilters = []string{"active", "expired", "hideExpired", "rejectedAll", "rejectedFraud", "scheduledForDeletion"}
	updates       = []string{"all", "today", "week", "month", "lastmonth", "year"}
)

// sorted reads sort: the last first, or with "-" the first.
func sorted(f *store.RequestFilter, order string) {
	order, f.OldestFirst = strings.CutPrefix(order, "-")
	f.ByUpdate = order == "last_updated"
}

func inStatus(f *store.RequestFilter, filter string) (none bool) {
	switch filter {
	case "active":
		f.States = []string{request.Pending, request.InProgress}
	case "expired":
		f.States = []string{request.Expired}
	case "hideExpired":
		f.Without = request.Expired
	case "rejectedAll":
		f.States = []string{request.RejectedUnusable, request.RejectedFraud, request.Appealed}
	case "rejectedFraud":
		f.States = []string{request.RejectedFraud}
	case "scheduledForDeletion": // people are erased at once
		return true
	}
	return false
}

// updated reads updatedAt, in UTC.
func updated(f *store.RequestFilter, span string, now time.Time) {
	day := time.Date(now.Year(), now.Month(), now.Day(), 0, 0, 0, 0, time.UTC)
	month := day.AddDate(0, 0, 1-day.Day())
	f.UpdatedAfter = map[string]time.Time{"today": day, "week": day.AddDate(0, 0, -7), "month": month, "lastmonth": month.AddDate(0, -1, 0),
		"year": day.AddDate(0, 1-int(day.Month()), 1-day.Day())}[span]
	if span == "lastmonth" {
		f.UpdatedBefore = month
	}
}

// splitClaims reads the claims and scopes of a path. What is a name of neither stands
// with the claims, and is refused.
func splitClaims(text string) (scopes, names []string, err error) {
	for _, n := range strings.Split(text, ",") {
		if request.KnownScope(n) {
			scopes = append(scopes, n)
		} else {
			names = append(names, n)
		}
	}
	return scopes, names, checkAsked(scopes, names)
}

// sendLinks sends at once what was queued.
func sendLinks(_ context.Context, c *call, reply any) (any, error) {
	c.api.Requests.Wake()
	return reply, nil
}

package api

import (
	"cmp"
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"

	"golang.org/x/text/language"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/storage"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/token"
)

// env is the wire type Env. SAML is not spoken, so no directory is listed under it.
type env struct {
	ID                string            `json:"id"`
	Name              string            `json:"name"`
	PublicName        string            `json:"public_name"`
	LogoURL           string            `json:"logo_url"`
	TermsOfServiceURL string            `json:"terms_of_service_url"`
	CallbackURLs      []string          `json:"callback_urls"`
	Webhooks          []webhook         `json:"webhooks"`
	Templates         []templateOut     `json:"templates"`
	Storage           *storage.Settings `json:"storage,omitempty"`
	OIDCDelegates     []delegate        `json:"oidc_delegates"`
	SAMLDirectories   []string          `json:"microsite_saml_directories"`
	Microsite         micrositeOut      `json:"microsite"` // ours
}

// micrositeOut are the settings of the recovery site.
type micrositeOut struct {
	Domains          []domainOut     `json:"domains"`
	RequirePresigned bool            `json:"require_presigned"`
	Languages        []string        `json:"languages"` // empty: every language
	Accent           string          `json:"accent"`
	RequestMails     int             `json:"request_mails_per_day"` // to addresses that people who answer requests type in
	LinkTTL          policy.Duration `json:"max_link_ttl"`          // of presigned links
}

// envList is the wire type ListEnvsResponse.
type envList struct {
	Envs []env `json:"envs"`
}

// createdID is the wire types CreateEnvResponse and CreateTemplateResponse.
type createdID struct {
	ID string `json:"id"`
}

// listEnvs answers with the environments that the key is for.
func listEnvs(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	all, err := c.environments(ctx, tx)
	if err != nil {
		return nil, err
	}
	out := make([]env, 0, len(all))
	for _, e := range all {
		w, err := c.wireEnv(ctx, tx, e)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return envList{out}, nil
}

// getEnv answers with one environment.
func getEnv(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	return c.wireEnv(ctx, tx, c.env)
}

func (c *call) wireEnv(ctx context.Context, tx *store.Tx, e store.Environment) (env, error) {
	domains, err := tx.Domains(ctx, e.ID)
	if err != nil {
		return env{}, err
	}
	hooks, err := tx.Webhooks(ctx, e.ID)
	if err != nil {
		return env{}, err
	}
	templates, err := wireTemplates(ctx, tx, e.ID)
	if err != nil {
		return env{}, err
	}
	delegates, err := wireDelegates(ctx, tx, e.ID)
	if err != nil {
		return env{}, err
	}
	kept, err := shownStorage(ctx, tx, e.ID)
	if err != nil {
		return env{}, err
	}
	m := e.Microsite
	return env{
		ID: e.ID, Name: e.Name, PublicName: e.PublicName,
		LogoURL: c.logoURL(e.Microsite.Logo), TermsOfServiceURL: e.TermsOfServiceURL,
		CallbackURLs: append([]string{}, e.CallbackURLs...), Webhooks: wireWebhooks(hooks), Templates: templates, Storage: kept, OIDCDelegates: delegates, SAMLDirectories: []string{},
		Microsite: micrositeOut{
			Domains: c.wireDomains(domains), RequirePresigned: m.RequirePresigned,
			Languages: append([]string{}, m.Languages...), Accent: m.Accent, RequestMails: m.MailsPerDay(), LinkTTL: policy.Duration(cmp.Or(m.LinkLife, token.MaxLife)),
		},
	}, nil
}

// createEnvRequest is the wire type CreateEnvRequest, which declares no members; the
// names are ours.
type createEnvRequest struct {
	Name       string `json:"name,omitempty"`
	PublicName string `json:"public_name,omitempty"`
}

// createEnv makes an environment. A key for single environments cannot: it would not
// be for the new one.
func createEnv(ctx context.Context, c *call, tx *store.Tx, req *createEnvRequest) (any, error) {
	if !c.key.Admits(store.AllEnvs) {
		return nil, errForbidden
	}
	e := store.Environment{Org: c.key.Org, Name: "Environment", PublicName: "Account recovery"}
	if req.Name != "" {
		e.Name, e.PublicName = req.Name, req.Name
	}
	if req.PublicName != "" {
		e.PublicName = req.PublicName
	}
	if err := checkNames(e); err != nil {
		return nil, err
	}
	e, err := tx.CreateEnvironment(ctx, e)
	c.env = e
	return createdID{e.ID}, err
}

// updateEnvRequest is the wire type EnvUpdateRequest, with ours. The
// singular names stand in published examples.
type updateEnvRequest struct {
	Name            *string                    `json:"name,omitempty"`
	PublicName      *string                    `json:"public_name,omitempty"`
	CallbackURLs    *[]string                  `json:"callback_urls,omitempty"`
	TermsURL        *string                    `json:"terms_of_service_url,omitempty"` // deprecated by the reference; "" removes it
	RemoveWebhooks  []string                   `json:"remove_webhooks,omitempty"`
	RemoveWebhook   []string                   `json:"remove_webhook,omitempty"`
	AddWebhooks     []webhookRequest           `json:"add_webhooks,omitempty"`
	AddWebhook      []webhookRequest           `json:"add_webhook,omitempty"`
	UpdateWebhook   *webhookUpdate             `json:"update_webhook,omitempty"`
	Storage         optional[storage.Settings] `json:"storage,omitzero"` // null or {}: none
	RemoveDelegates []string                   `json:"remove_oidc_delegates,omitempty"`
	RemoveDelegate  []string                   `json:"remove_oidc_delegate,omitempty"`
	AddDelegates    []delegate                 `json:"add_oidc_delegates,omitempty"`
	AddDelegate     []delegate                 `json:"add_oidc_delegate,omitempty"`
	UpdateDelegate  *delegateUpdate            `json:"update_oidc_delegate,omitempty"`
	Microsite       *micrositeUpdate           `json:"microsite,omitempty"` // ours
}

// redacted implements redactor: authorization headers are secrets.
func (u *updateEnvRequest) redacted() any {
	out := *u
	out.AddWebhooks = redactWebhooks(append(append([]webhookRequest(nil), u.AddWebhooks...), u.AddWebhook...))
	out.AddWebhook = nil
	if u.UpdateWebhook != nil && u.UpdateWebhook.Authorization != nil {
		w, hidden := *u.UpdateWebhook, redactedSecret
		w.Authorization = &hidden
		out.UpdateWebhook = &w
	}
	out.AddDelegates, out.AddDelegate = nil, nil
	for _, d := range slices.Concat(u.AddDelegates, u.AddDelegate) {
		out.AddDelegates = append(out.AddDelegates, d.redacted())
	}
	out.UpdateDelegate = u.UpdateDelegate.redacted()
	out.Storage.Value = u.Storage.Value.Shown()
	return out
}

// redactedSecret stands in audit records where a secret was.
const redactedSecret = "REDACTED"

// masked returns what stands in a record for a member that is personal or secret.
func masked(text string) string {
	if text == "" {
		return ""
	}
	return redactedSecret
}

// micrositeUpdate changes what is given.
type micrositeUpdate struct {
	RequirePresigned *bool            `json:"require_presigned,omitempty"`
	Languages        *[]string        `json:"languages,omitempty"`
	Accent           *string          `json:"accent,omitempty"`
	RequestMails     *int             `json:"request_mails_per_day,omitempty"` // to addresses that people who answer requests type in; 0: the default
	LinkTTL          *policy.Duration `json:"max_link_ttl,omitempty"`          // of presigned links, at most 720h; 0s: 24h. Those that are older by now end
}

// updateEnv changes names, addresses, the recovery site's settings and webhooks.
func updateEnv(ctx context.Context, c *call, tx *store.Tx, req *updateEnvRequest) (any, error) {
	e := c.env
	set(&e.Name, req.Name)
	set(&e.PublicName, req.PublicName)
	set(&e.CallbackURLs, req.CallbackURLs)
	set(&e.TermsOfServiceURL, req.TermsURL)
	if m := req.Microsite; m != nil {
		set(&e.Microsite.RequirePresigned, m.RequirePresigned)
		set(&e.Microsite.Languages, m.Languages)
		set(&e.Microsite.Accent, m.Accent)
		set(&e.Microsite.RequestMails, m.RequestMails)
		set((*policy.Duration)(&e.Microsite.LinkLife), m.LinkTTL)
	}
	if err := checkNames(e); err != nil {
		return nil, err
	}
	if err := checkMicrosite(e.Microsite); err != nil {
		return nil, err
	}
	if err := checkAddresses(e); err != nil {
		return nil, err
	}
	if err := tx.UpdateEnvironment(ctx, e); err != nil {
		return nil, err
	}
	if err := setStorage(ctx, c, tx, req.Storage); err != nil {
		return nil, err
	}
	if err := updateDelegates(ctx, c, tx, req); err != nil {
		return nil, err
	}
	return nil, updateWebhooks(ctx, c, tx, req)
}

// maxName bounds names that people read, in bytes.
const maxName = 200

// checkNames refuses names that pages cannot show.
func checkNames(e store.Environment) error {
	if err := checkText("name", e.Name); err != nil {
		return err
	}
	return checkText("public_name", e.PublicName)
}

// checkText refuses a name that is empty, too long, or breaks a line.
func checkText(member, text string) error {
	if strings.TrimSpace(text) == "" || len(text) > maxName || strings.ContainsFunc(text, isControl) {
		return bad(fmt.Sprintf("%s: want one line of 1 to %d bytes", member, maxName))
	}
	return nil
}

// hexColour is what accent takes.
var hexColour = regexp.MustCompile(`^#[0-9a-fA-F]{6}$`)

// maxLanguages bounds the languages of a site.
const maxLanguages = 16

// maxRequestMails bounds what is counted one by one, and what one link can do to others.
const maxRequestMails = 100_000

// checkMicrosite refuses colours and languages that the site cannot read, and numbers that
// are none.
func checkMicrosite(m store.Microsite) error {
	if m.Accent != "" && !hexColour.MatchString(m.Accent) {
		return bad("microsite.accent: want a colour such as #0a5fd0, or an empty text for the product's own")
	}
	if m.RequestMails < 0 || m.RequestMails > maxRequestMails {
		return bad(fmt.Sprintf("microsite.request_mails_per_day: want a number up to %d, or 0 for the default", maxRequestMails))
	}
	if !token.GoodLimit(m.LinkLife) {
		return bad(fmt.Sprintf("microsite.max_link_ttl: want whole seconds from %s to %s, or 0s for %s", token.MinLimit, token.MaxLimit, token.MaxLife))
	}
	if len(m.Languages) > maxLanguages {
		return bad(fmt.Sprintf("microsite.languages: at most %d", maxLanguages))
	}
	for _, l := range m.Languages {
		if _, err := language.Parse(l); err != nil || len(l) > 35 { // RFC 5646, section 4.4.1
			return bad(fmt.Sprintf("microsite.languages: %.40q is not a language tag such as de or pt-BR", l))
		}
	}
	return nil
}

// deleteEnv removes an environment with everything in it. The record names the members and
// the keys whose lists have it no more.
func deleteEnv(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	people, err := tx.StaffList(ctx, c.key.Org)
	if err != nil {
		return nil, err
	}
	keys, err := tx.APIKeys(ctx, c.key.Org)
	if err != nil {
		return nil, err
	}
	c.detail = map[string]any{}
	for _, s := range people {
		c.loses("limited_org_members", s.ID, s.Envs)
	}
	for _, k := range keys {
		c.loses("limited_api_keys", k.ID, k.Envs)
	}
	return nil, tx.DeleteEnvironment(ctx, c.env.ID)
}

// loses adds whoever has the call's environment in a list to a member of the record.
func (c *call) loses(member, id string, envs []string) {
	if slices.Contains(envs, c.env.ID) {
		all, _ := c.detail[member].([]string)
		c.detail[member] = append(all, id)
	}
}

package api

import (
	"context"
	"encoding/json"
	"fmt"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
)

// Bounds of templates.
const (
	maxTemplates    = 100
	maxTemplateName = 200
	maxTemplateText = 400
	maxShareLife    = 60 * 365 * 24 * 60 * 60 // seconds: a life, and less than would pass for none
)

// templateText are the members of a template that are texts or numbers for people's
// pages, with what they ask for.
type templateText struct {
	QRHeadline     string       `json:"qr_headline"`
	ExpirationText string       `json:"expiration_text"`
	InstallMessage string       `json:"install_message_sms"`
	Scopes         []scopeAsked `json:"scope_definitions"`
	ScopesLife     int          `json:"scopes_expire_in"` // seconds
	Claims         []claimAsked `json:"claim_definitions"`
	ClaimsLife     int          `json:"claims_expire_in"` // seconds; 0: no end
	MaxUsages      int          `json:"max_usages"`
	Enabled        bool         `json:"enabled"`
	Reverification bool         `json:"require_selfie_reverification"`
	QRText         string       `json:"qr_custom_text"`
	SelfieOnly     bool         `json:"enable_selfie_only"`
	Headline       string       `json:"headline"`
	AcceptText     string       `json:"accept_text"`
	AcceptedText   string       `json:"accepted_text"`
}

type scopeAsked struct {
	Scope   string   `json:"scope" words:"scope"`
	Domains []string `json:"restrict_email_domains,omitempty"`
}

type claimAsked struct {
	Claim string `json:"claim" words:"claim"`
}

// templateOut is the wire type Template.
type templateOut struct {
	ID        string    `json:"id"`
	CreatedAt time.Time `json:"created_at"`
	Name      string    `json:"name"`
	Default   bool      `json:"is_default"`
	templateText
}

// templateRequest is the wire type CreateTemplateRequest.
type templateRequest struct {
	Name           *string       `json:"name,omitempty"`
	Default        *bool         `json:"is_default,omitempty"`
	QRHeadline     *string       `json:"qr_headline,omitempty"`
	ExpirationText *string       `json:"expiration_text,omitempty"`
	InstallMessage *string       `json:"install_message_sms,omitempty"`
	Scopes         *[]scopeAsked `json:"scope_definitions,omitempty"`
	ScopesLife     *int          `json:"scopes_expire_in,omitempty"`
	Claims         *[]claimAsked `json:"claim_definitions,omitempty"`
	ClaimsLife     *int          `json:"claims_expire_in,omitempty"`
	MaxUsages      *int          `json:"max_usages,omitempty"`
	Enabled        *bool         `json:"enabled,omitempty"`
	Reverification *bool         `json:"require_selfie_reverification,omitempty"`
	QRText         *string       `json:"qr_custom_text,omitempty"`
	SelfieOnly     *bool         `json:"enable_selfie_only,omitempty"`
	Headline       *string       `json:"headline,omitempty"`
	AcceptText     *string       `json:"accept_text,omitempty"`
	AcceptedText   *string       `json:"accepted_text,omitempty"`
}

// templateUpdate is the wire type UpdateTemplateRequest. A Template as it was read may
// stand there whole.
type templateUpdate struct {
	ID        string     `json:"id,omitempty"`         // of the path
	CreatedAt *time.Time `json:"created_at,omitempty"` // ignored
	templateRequest
}

// put writes the members that were given.
func (req *templateRequest) put(t *templateOut) {
	set(&t.Name, req.Name)
	set(&t.Default, req.Default)
	set(&t.QRHeadline, req.QRHeadline)
	set(&t.ExpirationText, req.ExpirationText)
	set(&t.InstallMessage, req.InstallMessage)
	set(&t.Scopes, req.Scopes)
	set(&t.ScopesLife, req.ScopesLife)
	set(&t.Claims, req.Claims)
	for i, c := range t.Claims {
		t.Claims[i].Claim = request.Canonical([]string{c.Claim})[0]
	}
	set(&t.ClaimsLife, req.ClaimsLife)
	set(&t.MaxUsages, req.MaxUsages)
	set(&t.Enabled, req.Enabled)
	set(&t.Reverification, req.Reverification)
	set(&t.QRText, req.QRText)
	set(&t.SelfieOnly, req.SelfieOnly)
	set(&t.Headline, req.Headline)
	set(&t.AcceptText, req.AcceptText)
	set(&t.AcceptedText, req.AcceptedText)
}

// asked returns the names of what a template asks for.
func (t templateText) asked() (scopes, claims []string) {
	for _, s := range t.Scopes {
		scopes = append(scopes, s.Scope)
	}
	for _, c := range t.Claims {
		claims = append(claims, c.Claim)
	}
	return scopes, claims
}

// life returns how long what is shared may be read, in the unit of the wire.
func (t templateText) life() int {
	if t.ClaimsLife == 0 {
		return min(t.ScopesLife, maxShareLife)
	}
	return min(t.ClaimsLife, maxShareLife)
}

func (t templateOut) check() error {
	scopes, claims := t.asked()
	switch {
	case strings.TrimSpace(t.Name) == "" || len(t.Name) > maxTemplateName || strings.ContainsFunc(t.Name, isControl):
		return bad(fmt.Sprintf("name: want one line of 1 to %d bytes", maxTemplateName))
	case t.Default && !t.Enabled:
		return bad("enabled: the default template must be enabled")
	case t.ClaimsLife < 0 || t.ScopesLife < 0 || t.ClaimsLife > maxShareLife || t.ScopesLife > maxShareLife:
		return bad(fmt.Sprintf("claims_expire_in, scopes_expire_in: want seconds up to %d, or 0 for no end", maxShareLife))
	case t.MaxUsages < 0 || t.MaxUsages > maxUses:
		return bad(fmt.Sprintf("max_usages: want a number up to %d; 0 is no limit", maxUses))
	case t.InstallMessage != "" && !strings.Contains(t.InstallMessage, "{{.Link}}"):
		return bad("install_message_sms: must contain {{.Link}}")
	}
	if err := checkAsked(scopes, claims); err != nil {
		return err
	}
	if err := t.refused(); err != nil {
		return err
	}
	if len(scopes)+len(claims) == 0 { // is filled in later
		return nil
	}
	return checkProvable(scopes, claims)
}

// maxDomains bounds the domains of one scope.
const maxDomains = 100

// domains are those of which a mail address must be; none: any.
func (t templateText) domains() (all []string) {
	for _, s := range t.Scopes {
		all = append(all, s.Domains...)
	}
	return all
}

// refused names members that cannot be followed.
func (t templateText) refused() error {
	for _, s := range t.Scopes {
		if len(s.Domains) > 0 && !slices.Contains(request.Asked([]string{s.Scope}, nil), request.Email) {
			return bad("scope_definitions: restrict_email_domains stands with nt:email, not with " + s.Scope)
		}
		if len(s.Domains) > maxDomains || slices.ContainsFunc(s.Domains, func(d string) bool { return !isDomain(d) }) {
			return bad(fmt.Sprintf("scope_definitions: restrict_email_domains: want at most %d names such as example.com", maxDomains))
		}
	}
	for _, text := range []string{t.Headline, t.AcceptText, t.AcceptedText, t.InstallMessage, t.QRHeadline, t.QRText, t.ExpirationText} {
		if len(text) > maxTemplateText || strings.ContainsFunc(text, isControl) {
			return bad(fmt.Sprintf("headline, accept_text, accepted_text, install_message_sms, qr_headline, qr_custom_text, expiration_text: want one line of at most %d bytes", maxTemplateText))
		}
	}
	return nil
}

// isDomain reports whether d is what stands after the @ of a mail address.
func isDomain(d string) bool {
	a, err := mail.ParseAddress("<x@" + d + ">")
	return err == nil && a.Address == "x@"+d && len(d) <= maxDomain && !strings.ContainsAny(d, "@[] ")
}

// maxDomain bounds a domain, in bytes (RFC 1035, section 2.3.4).
const maxDomain = 253

func wireTemplate(t store.Template) (templateOut, error) {
	out := templateOut{ID: t.ID, CreatedAt: t.CreatedAt, Name: t.Name, Default: t.Default}
	if err := json.Unmarshal(t.Body, &out.templateText); err != nil {
		return out, err
	}
	out.Scopes, out.Claims = append([]scopeAsked{}, out.Scopes...), append([]claimAsked{}, out.Claims...)
	return out, nil
}

func wireTemplates(ctx context.Context, tx *store.Tx, env string) ([]templateOut, error) {
	all, err := tx.Templates(ctx, env)
	out := make([]templateOut, 0, len(all))
	for _, t := range all {
		w, err := wireTemplate(t)
		if err != nil {
			return nil, err
		}
		out = append(out, w)
	}
	return out, err
}

// row returns what is stored of a template.
func (t templateOut) row(env string) (store.Template, error) {
	b, err := json.Marshal(t.templateText)
	return store.Template{Env: env, ID: t.ID, Name: t.Name, Default: t.Default, Body: b}, err
}

var errTemplateName = bad("name: another template of this environment has it")

// createTemplate adds a template.
func createTemplate(ctx context.Context, c *call, tx *store.Tx, req *templateRequest) (any, error) {
	all, err := tx.Templates(ctx, c.env.ID)
	if err != nil {
		return nil, err
	}
	if len(all) >= maxTemplates {
		return nil, bad(fmt.Sprintf("at most %d templates in one environment", maxTemplates))
	}
	t := templateOut{templateText: templateText{Enabled: true, MaxUsages: 1}}
	req.put(&t)
	if req.Name == nil {
		t.Name = freeName(all)
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	row, err := t.row(c.env.ID)
	if err != nil {
		return nil, err
	}
	err = tx.AddTemplate(ctx, &row)
	return createdID{row.ID}, as(err, store.ErrConflict, errTemplateName)
}

// freeName is the name of a template that was given none.
func freeName(all []store.Template) string {
	name := "Template"
	for n := 2; slices.ContainsFunc(all, func(t store.Template) bool { return t.Name == name }); n++ {
		name = fmt.Sprint("Template ", n)
	}
	return name
}

// updateTemplate changes what is given of a template.
func updateTemplate(ctx context.Context, c *call, tx *store.Tx, req *templateUpdate) (any, error) {
	if req.ID != "" && req.ID != c.template.ID {
		return nil, bad("id: want the id of the path, or none")
	}
	t, err := wireTemplate(c.template)
	if err != nil {
		return nil, err
	}
	was := t.Default
	req.put(&t)
	if was && !t.Default {
		return nil, bad("is_default: make another template the default in place of this one")
	}
	if err := t.check(); err != nil {
		return nil, err
	}
	row, err := t.row(c.env.ID)
	if err != nil {
		return nil, err
	}
	return nil, as(tx.SaveTemplate(ctx, row), store.ErrConflict, errTemplateName)
}

// removeTemplate removes a template; requests that were made by it keep what they ask.
func removeTemplate(ctx context.Context, c *call, tx *store.Tx) (any, error) {
	err := tx.RemoveTemplate(ctx, c.env.ID, c.template.ID)
	return nil, as(err, store.ErrConflict, bad("this is the default template; make another one the default first"))
}

func (c *call) findTemplate(ctx context.Context, tx *store.Tx, id string) (err error) {
	c.template, err = tx.Template(ctx, c.env.ID, id)
	return err
}

// errNothingAsked is the refusal of a request that names nothing to ask for.
var errNothingAsked = bad("claims: say what to ask for, by claims, scopes or a template: the default template asks for nothing yet")

// useTemplate fills an order from a template by its name or id, or from the default.
func useTemplate(ctx context.Context, tx *store.Tx, o *request.Order, name string) error {
	all, err := wireTemplates(ctx, tx, o.Env)
	if err != nil {
		return err
	}
	for _, t := range all {
		if !t.Enabled || name == "" && !t.Default || name != "" && t.Name != name && t.ID != name {
			continue
		}
		o.Template, o.MaxUses, o.ShareLife = t.Name, t.MaxUsages, time.Duration(t.life())*time.Second
		if o.Scopes, o.Claims = t.asked(); name == "" && len(o.Scopes)+len(o.Claims) == 0 {
			return errNothingAsked
		}
		o.Message, o.Domains, o.Selfie = t.InstallMessage, t.domains(), t.Reverification
		return nil
	}
	return bad(fmt.Sprintf("template: %.80q is not an enabled template of this environment", name))
}

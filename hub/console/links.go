package console

import (
	"context"
	"errors"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/token"
)

// linksPath is the page of what an environment says of its presigned links.
const linksPath = settingsPath + "/{env}/links"

// lifeField is the field of how long they admit at most, as the API spells it.
const lifeField = "max_link_ttl"

// linking is that page.
type linking struct {
	Stamp  string // what stands; a form that was filled in for something else is not taken
	Fields []field
}

// errLife says that a text is no time for which links may admit.
var errLife = errors.New("console: no time for which links may admit")

func (v *visit) links() {
	ctx, cancel := v.context()
	defer cancel()
	v.showLinks(ctx, new(settingsPage), nil)
}

// showLinks shows the page with what stands, or with what was typed.
func (v *visit) showLinks(ctx context.Context, p *settingsPage, typed *string) {
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		p.Env, err = v.environment(ctx, tx)
		return err
	})
	if err != nil {
		v.fail(err)
		return
	}
	life := shortLife(p.Env.Microsite.LinkLife)
	p.Links = &linking{Stamp: life}
	if typed != nil {
		life, p.Links.Stamp = *typed, v.field("as")
	}
	p.Links.Fields = v.worded("links.", p, []field{{Name: lifeField, Kind: fieldText, Value: life, Most: 20}})
	v.showSettings("links", "links.title", p)
}

// shortLife is a duration as people type it, "" for 0, where nothing is said.
func shortLife(d time.Duration) string {
	if d == 0 {
		return ""
	}
	text := d.String()
	if strings.HasSuffix(text, "m0s") {
		text = strings.TrimSuffix(text, "0s")
	}
	if strings.HasSuffix(text, "h0m") {
		text = strings.TrimSuffix(text, "0m")
	}
	return text
}

// lifeTyped reads the form; nothing is the product's own.
func (v *visit) lifeTyped() (time.Duration, error) {
	text := v.text(lifeField)
	if text == "" {
		return 0, nil
	}
	d, err := policy.ParseDuration(text)
	if err != nil || d == 0 || !token.GoodLimit(time.Duration(d)) {
		return 0, errLife
	}
	return time.Duration(d), nil
}

// saveLinks changes how long links admit at most.
func (v *visit) saveLinks() {
	ctx, cancel := v.context()
	defer cancel()
	if v.field("do") != "save" {
		v.fail(errNoPage)
		return
	}
	life, err := v.lifeTyped()
	if err == nil {
		err = v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) error { return v.keepLife(ctx, tx, life) })
	}
	p, typed := new(settingsPage), v.text(lifeField)
	switch {
	case errors.Is(err, errLife):
		v.wrong(p, lifeField, "links."+lifeField)
		v.showLinks(ctx, p, &typed)
	case errors.Is(err, errStale):
		v.wrong(p, "page", "stale")
		v.showLinks(ctx, p, nil)
	case err != nil:
		v.fail(err)
	default:
		v.done(v.r.URL.Path, "saved")
	}
}

// keepLife writes it, with its record.
func (v *visit) keepLife(ctx context.Context, tx *store.Tx, life time.Duration) error {
	e, err := v.environment(ctx, tx)
	if err != nil {
		return err
	}
	if v.field("as") != shortLife(e.Microsite.LinkLife) {
		return errStale
	}
	e.Microsite.LinkLife = life
	said := map[string]any{"microsite": map[string]any{lifeField: life.String()}}
	return errors.Join(tx.UpdateEnvironment(ctx, e), v.decided(ctx, tx, e.ID, audit.EnvUpdated, map[string]any{"request": said}))
}

package console

import (
	"context"
	"errors"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/wallet"
)

// trusted is the page that says who issues documents that are believed, and which are
// asked for.
type trusted struct {
	Sources   []source
	Documents []document
	Signers   []certificate
	Status    string   // what is done about revoked documents
	Modes     []string // that there are
	Hosts     string   // that status lists are read from, one on each line
	Soon      int      // certificates that end soon or have ended
	Name      string
	Root      string
}

// source is one imported list.
type source struct {
	ID, Name, Kind string
	AddedAt        time.Time
	Problem        string // why it brings nothing now
	Authorities    []certificate
}

// certificate is one authority, or the hub's own certificate towards wallets.
type certificate struct {
	Name, Fingerprint string
	Ends              time.Time
	State             string // ok, soon, ended
	Given             bool   // by the operator
	Kinds             []string
}

type document struct {
	Kind string
	On   bool
}

// endsSoon is how long before its end a certificate is warned of: authorities publish
// their next list well before.
const endsSoon = 60 * 24 * time.Hour

// uploadSize bounds the form with a list: 4 MiB, and what stands beside it.
const uploadSize = 5 << 20

func (v *visit) trust() {
	ctx, cancel := v.context()
	defer cancel()
	v.showTrust(ctx, new(settingsPage))
}

func (v *visit) showTrust(ctx context.Context, p *settingsPage) {
	kept := p.Trust
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) (err error) {
		if p.Env, err = v.environment(ctx, tx); err != nil {
			return err
		}
		p.Trust, err = v.readTrust(ctx, tx, p.Env.ID)
		return err
	})
	if err != nil {
		v.fail(err)
		return
	}
	if kept != nil {
		p.Trust.Name, p.Trust.Root = kept.Name, kept.Root
		if kept.Status != "" {
			p.Trust.Status, p.Trust.Hosts = kept.Status, kept.Hosts
		}
	}
	v.showSettings("trust", "set.trust.title", p)
}

func (v *visit) readTrust(ctx context.Context, tx *store.Tx, env string) (*trusted, error) {
	t := new(trusted)
	chosen, err1 := tx.Documents(ctx, env)
	for _, k := range wallet.Kinds() {
		t.Documents = append(t.Documents, document{k, len(chosen) == 0 || slices.Contains(chosen, k)})
	}
	status, err3 := tx.CredentialStatus(ctx, env)
	t.Status, t.Modes, t.Hosts = status.Mode, wallet.StatusModes(), strings.Join(status.Hosts, "\n")
	all, err2 := tx.TrustSources(ctx, env)
	for _, s := range all {
		one := t.sourceOf(v.console.cfg.Trust, s, tx.Now())
		one.Problem = v.why(one.Problem)
		t.Sources = append(t.Sources, one)
	}
	return t, errors.Join(err1, err2, err3, t.readSigners(ctx, tx, env))
}

// sourceOf shows a source with what it brings now, or why it brings nothing.
func (t *trusted) sourceOf(lists *wallet.Lists, s store.TrustSource, now time.Time) source {
	out := source{ID: s.ID, Name: s.Name, Kind: s.Kind, AddedAt: s.AddedAt}
	anchors, err := lists.Authorities(s)
	if err != nil {
		_, out.Problem, _ = strings.Cut(err.Error(), ": ")
	}
	for _, a := range anchors {
		c := certificate{Name: a.Name(), Fingerprint: a.Fingerprint(), Ends: a.Certificate.NotAfter, Kinds: a.DocTypes}
		out.Authorities = append(out.Authorities, t.judge(c, now))
	}
	return out
}

// judge says whether a certificate ends soon, and counts those that do.
func (t *trusted) judge(c certificate, now time.Time) certificate {
	c.State = "ok"
	switch {
	case !c.Ends.After(now):
		c.State = "ended"
	case c.Ends.Before(now.Add(endsSoon)):
		c.State = "soon"
	}
	if c.State != "ok" && (c.Fingerprint != "" || c.Given) { // the hub renews its own
		t.Soon++
	}
	return c
}

// readSigners lists the certificates by which wallets know the recovery domains.
func (t *trusted) readSigners(ctx context.Context, tx *store.Tx, env string) error {
	domains, err := tx.Domains(ctx, env)
	for _, d := range domains {
		w, err := tx.WalletSigner(ctx, env, d.Name)
		if errors.Is(err, store.ErrNotFound) {
			continue
		} else if err != nil {
			return err
		}
		t.Signers = append(t.Signers, t.judge(certificate{Name: d.Name, Ends: w.EndsAt, Given: w.Given}, tx.Now()))
	}
	return err
}

// saveTrust takes one of the forms of the page.
func (v *visit) saveTrust() {
	ctx, cancel := v.context()
	defer cancel()
	p, done := new(settingsPage), map[string]string{"add": "added", "remove": "removed", "documents": "saved", "status": "saved"}[v.field("do")]
	err := v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		p.Problems = nil
		e, err := v.environment(ctx, tx)
		if err != nil {
			return err
		}
		switch v.field("do") {
		case "add":
			return v.addTrust(ctx, tx, p, e.ID)
		case "remove":
			return v.removeTrust(ctx, tx, e.ID)
		case "documents":
			return v.saveDocuments(ctx, tx, p, e.ID)
		case "status":
			return v.saveStatus(ctx, tx, p, e.ID)
		}
		return errNoPage
	})
	switch {
	case err != nil:
		v.fail(err)
	case len(p.Problems) > 0:
		v.showTrust(ctx, p)
	default:
		v.done(v.r.URL.Path, done)
	}
}

// addTrust imports a list after it was read and, if it is signed, verified.
func (v *visit) addTrust(ctx context.Context, tx *store.Tx, p *settingsPage, env string) error {
	s := store.TrustSource{Env: env, Kind: v.field("kind"), Name: strings.TrimSpace(v.field("name")), Body: v.upload("file")}
	p.Trust = &trusted{Name: s.Name, Root: v.field("root")}
	if len(s.Body) == 0 && s.Kind == store.TrustPEM {
		s.Body = []byte(v.field("pem"))
	}
	if s.Kind == store.TrustVICAL {
		s.Root = []byte(v.field("root"))
	}
	err := wallet.CheckSource(s, tx.Now())
	if w := (*wallet.Wrong)(nil); errors.As(err, &w) {
		field, words := map[string][2]string{"name": {"name", "trust.name"}, "root": {"root", "trust.root"}}[w.Field], "trust.file"
		if field[0] == "" {
			field[0] = "file"
		} else {
			words = field[1]
		}
		v.wrong(p, field[0], words, "why", v.why(w.Text))
		return nil
	} else if err != nil {
		return err
	}
	if err := tx.AddTrustSource(ctx, &s); errors.Is(err, store.ErrConflict) {
		v.wrong(p, "page", "trust.full")
		return nil
	} else if err != nil {
		return err
	}
	return v.decided(ctx, tx, env, audit.EnvUpdated, map[string]any{"request": map[string]any{"add_trust": v.auditSource(s)}})
}

// auditSource is what an audit row says of a list.
func (v *visit) auditSource(s store.TrustSource) map[string]any {
	anchors, _ := v.console.cfg.Trust.Authorities(s)
	prints := make([]string, len(anchors))
	for i, a := range anchors {
		prints[i] = a.Fingerprint()
	}
	return map[string]any{"id": s.ID, "kind": s.Kind, "name": s.Name, "fingerprints": prints}
}

// upload returns the file of a form's field, nil if there is none.
func (v *visit) upload(name string) []byte {
	if v.r.MultipartForm == nil || len(v.r.MultipartForm.File[name]) != 1 {
		return nil
	}
	f, err := v.r.MultipartForm.File[name][0].Open()
	if err != nil {
		return nil
	}
	defer func() { _ = f.Close() }()
	b, err := io.ReadAll(io.LimitReader(f, uploadSize))
	if err != nil {
		return nil
	}
	return b
}

func (v *visit) removeTrust(ctx context.Context, tx *store.Tx, env string) error {
	s, err := tx.TrustSource(ctx, env, v.field("source"))
	if err != nil {
		return err
	}
	return errors.Join(tx.RemoveTrustSource(ctx, env, s.ID),
		v.decided(ctx, tx, env, audit.EnvUpdated, map[string]any{"request": map[string]any{"remove_trust": v.auditSource(s)}}))
}

// saveDocuments says for which kinds of document wallets are asked.
func (v *visit) saveDocuments(ctx context.Context, tx *store.Tx, p *settingsPage, env string) error {
	kinds := v.r.PostForm["document"]
	if len(kinds) == 0 || wallet.CheckKinds(kinds) != nil {
		v.wrong(p, "documents", "trust.documents")
		return nil
	}
	return errors.Join(tx.SetDocuments(ctx, env, kinds),
		v.decided(ctx, tx, env, audit.EnvUpdated, map[string]any{"request": map[string]any{"documents": kinds}}))
}

// saveStatus says what is done about revoked documents.
func (v *visit) saveStatus(ctx context.Context, tx *store.Tx, p *settingsPage, env string) error {
	s := store.CredentialStatus{Mode: v.field("status"), Hosts: strings.Fields(strings.ToLower(v.field("hosts")))}
	err := wallet.CheckStatusSettings(s)
	if w := (*wallet.Wrong)(nil); errors.As(err, &w) && w.Field == "hosts" {
		p.Trust = &trusted{Status: s.Mode, Hosts: v.field("hosts")}
		v.wrong(p, "hosts", "trust.hosts")
		return nil
	} else if err != nil {
		return errNoPage // no form of this page says so
	}
	return errors.Join(tx.SetCredentialStatus(ctx, env, s),
		v.decided(ctx, tx, env, audit.EnvUpdated, map[string]any{"request": map[string]any{"credential_status": map[string]any{"status": s.Mode, "hosts": s.Hosts}}}))
}

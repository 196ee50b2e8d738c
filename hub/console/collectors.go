package console

import (
	"context"
	"encoding/json"
	"errors"
	"strconv"
	"strings"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/export"
	"github.com/postern-id/postern/hub/store"
)

// collectorPath is the page of one collector of the audit log, or of a new one.
const collectorPath = root + "/collectors/{destination}"

// newCollector is the name of a new one in addresses.
const newCollector = "new"

// collectorSize bounds the form of a collector: it may bring certificates and a key.
const collectorSize = 256 << 10

// collecting is the page of one collector.
type collecting struct {
	ID, Name string // ID: "" of a new one
	Stamp    string // of the settings that stand; a form that was filled in for others is not taken
	Fields   []field
}

func (v *visit) collector() {
	ctx, cancel := v.context()
	defer cancel()
	v.showCollector(ctx, new(settingsPage), nil)
}

// keptCollector returns the one of the address with its settings; none of a new one.
func (v *visit) keptCollector(ctx context.Context, tx *store.Tx) (d store.Destination, s export.Settings, err error) {
	id := v.r.PathValue("destination")
	if id == newCollector {
		return store.Destination{Org: v.org}, s, nil
	}
	if d, err = tx.Destination(ctx, v.org, id); err == nil {
		err = json.Unmarshal(d.Settings, &s)
	}
	return d, s, err
}

// showCollector shows the page with what stands, or with what was typed.
func (v *visit) showCollector(ctx context.Context, p *settingsPage, typed *export.Settings) {
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		d, s, err := v.keptCollector(ctx, tx)
		p.Collector = &collecting{ID: d.ID, Name: s.Name, Stamp: v.stampOfCollector(d)}
		if typed != nil {
			s, p.Collector.Stamp = *typed, v.field("as")
		}
		p.Collector.Fields = v.worded("collector.", p, v.collectorFields(s.Shown()))
		return err
	})
	if err != nil {
		v.fail(err)
		return
	}
	v.showSettings("collector", "collector.title", p)
}

// stampOfCollector says for which settings a form is filled in; "" for a new one.
func (v *visit) stampOfCollector(d store.Destination) string {
	if d.ID == "" {
		return ""
	}
	return v.stamp(string(d.Settings))
}

func (v *visit) collectorFields(s export.Settings) []field {
	var formats []option
	for _, f := range export.Formats {
		formats = append(formats, option{string(f), string(f)})
	}
	most := ""
	if s.MaxBytes != 0 {
		most = strconv.Itoa(s.MaxBytes)
	}
	return []field{
		{Name: "name", Kind: fieldText, Value: s.Name, Most: 100},
		{Name: "url", Kind: fieldText, Value: s.URL, Most: 2000},
		{Name: "format", Kind: fieldChoice, Value: string(s.Format), Options: formats},
		{Name: "authorization", Kind: fieldSecret, Most: 2000},
		{Name: "ca", Kind: fieldLines, Value: s.CA},
		{Name: "server_name", Kind: fieldText, Value: s.ServerName, Most: 253},
		{Name: "client_certificate", Kind: fieldLines, Value: s.Certificate},
		{Name: "client_key", Kind: fieldLines},
		{Name: "env", Kind: fieldLines, Value: strings.Join(s.Envs, "\n")},
		{Name: "kind", Kind: fieldLines, Value: strings.Join(s.Kinds, "\n")},
		{Name: "personal", Kind: fieldTick, On: s.Personal},
		{Name: "max_bytes", Kind: fieldText, Value: most, Most: 6},
	}
}

// collectorTyped reads the form. Secrets that were not typed again stay, unless they would
// be sent to another address than before.
func (v *visit) collectorTyped(old export.Settings) (export.Settings, error) {
	s := export.Settings{
		Name: v.text("name"), URL: v.text("url"), Format: export.Format(v.text("format")), Auth: v.text("authorization"),
		CA: v.text("ca"), ServerName: v.text("server_name"), Certificate: v.text("client_certificate"), Key: v.text("client_key"),
		Envs: v.lines("env"), Kinds: v.lines("kind"), Personal: v.checked("personal"),
	}
	if old.URL != "" && s.URL == old.Shown().URL { // what stands behind its ? is not shown
		s.URL = old.URL
		if s.Auth == "" {
			s.Auth = old.Auth
		}
		if s.Key == "" && s.Certificate == old.Certificate {
			s.Key = old.Key
		}
	}
	if most := v.text("max_bytes"); most != "" {
		n, err := strconv.Atoi(most)
		if err != nil {
			return s, &export.Wrong{Field: "max_bytes", Text: "want a number"}
		}
		s.MaxBytes = n
	}
	return s, nil
}

// saveCollector makes a collector, or changes the one of the address.
func (v *visit) saveCollector() {
	ctx, cancel := v.context()
	defer cancel()
	if v.field("do") != "save" {
		v.fail(errNoPage)
		return
	}
	var s export.Settings
	err := v.console.cfg.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		s, err = v.keepCollector(ctx, tx)
		return err
	})
	p := new(settingsPage)
	switch w := (*export.Wrong)(nil); {
	case errors.As(err, &w):
		v.wrong(p, w.Field, "collector."+w.Field, "why", v.why(w.Text))
		v.showCollector(ctx, p, &s)
	case errors.Is(err, errStale):
		v.wrong(p, "page", "stale")
		v.showCollector(ctx, p, nil)
	case errors.Is(err, store.ErrConflict):
		v.wrong(p, "page", "collector.full")
		v.showCollector(ctx, p, &s)
	case err != nil:
		v.fail(err)
	default:
		v.done(auditPath, "saved")
	}
}

// keepCollector keeps what was typed, and returns it.
func (v *visit) keepCollector(ctx context.Context, tx *store.Tx) (s export.Settings, err error) {
	d, old, err := v.keptCollector(ctx, tx)
	if err != nil {
		return s, err
	}
	if v.field("as") != v.stampOfCollector(d) {
		return s, errStale
	}
	if s, err = v.collectorTyped(old); err != nil {
		return s, err
	}
	if err := s.Check(ctx, tx, v.org, d.Envs); err != nil {
		return s, err
	}
	d.Settings, d.Envs, d.Kinds = []byte(store.JSON(s)), s.Envs, s.Kinds
	request, keep := "replace_audit_destination", func() error { return tx.SaveDestination(ctx, d) }
	if d.ID == "" {
		request, keep = "add_audit_destination", func() error { return tx.AddDestination(ctx, &d) }
	}
	if err := keep(); err != nil {
		return s, err
	}
	return s, v.decided(ctx, tx, "", audit.OrgUpdated, map[string]any{"request": map[string]any{request: s.Shown()}, "audit_destination": d.ID})
}

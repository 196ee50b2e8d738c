package console

import (
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"net"
	"net/http"
	"net/url"
	"slices"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
)

// Addresses of settings. What they are of stands in the path.
const (
	settingsPath  = root + "/settings"
	waysPath      = settingsPath + "/{env}/directories/{directory}"
	rulePath      = waysPath + "/rules/{rule}"
	trustPath     = settingsPath + "/{env}/trust"
	providersPath = settingsPath + "/{env}/providers"
	providerPath  = providersPath + "/{provider}"
)

// stampPurpose tells the key of stamps from the store's other derived keys.
const stampPurpose = "postern/console/stamp/v1"

// settingsPage is one of the pages on which administrators decide how people prove who
// they are.
type settingsPage struct {
	Env         store.Environment
	Directory   store.Directory
	Environment []settingsOf // on the first page
	Done        string       // what was just done
	Problems    []problem

	Ways      *ways
	Rule      *rule
	Trust     *trusted
	Providers []outside
	Provider  *provided
	Audit     *audited
	Hooks     *hooked
	Hook      *hooking
	Told      *told
	Clients   []asking
	Client    *asking
	Collector *collecting
	Links     *linking
}

// settingsOf is what can be set in one environment.
type settingsOf struct {
	ID, Name    string
	Directories []store.Directory
}

// A problem is what keeps a form from being taken: where, and what would.
type problem struct{ Field, Text string }

// wrong adds a problem. Its words are named by the field and what is wrong with it.
func (v *visit) wrong(p *settingsPage, field, words string, args ...any) {
	p.Problems = append(p.Problems, problem{field, v.words.T("set.wrong."+words, args...)})
}

// Problem returns what is wrong with a field, "" if nothing.
func (p *settingsPage) Problem(field string) string {
	i := slices.IndexFunc(p.Problems, func(q problem) bool { return q.Field == field })
	if i < 0 {
		return ""
	}
	return p.Problems[i].Text
}

// doings are the sentences with which a page may begin; its address names one.
var doings = []string{"saved", "added", "removed", "moved", "queued", "rotated"}

// showSettings shows a page of settings.
func (v *visit) showSettings(name, title string, p *settingsPage) {
	s := v.screen()
	s.Title, s.SignedIn, s.Settings = s.T(title), true, p
	status := http.StatusOK
	if len(p.Problems) > 0 {
		status = http.StatusUnprocessableEntity
	}
	if done := v.r.URL.Query().Get("done"); len(p.Problems) == 0 && slices.Contains(doings, done) {
		p.Done = s.T("set.done." + done)
	}
	v.show(status, name, s)
}

// settings lists what can be set, by environment.
func (v *visit) settings() {
	ctx, cancel := v.context()
	defer cancel()
	p := new(settingsPage)
	err := v.console.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		p.Environment = nil
		all, err := v.environments(ctx, tx)
		for _, e := range all {
			rows, err := tx.Directories(ctx, e.ID)
			if err != nil {
				return err
			}
			p.Environment = append(p.Environment, settingsOf{e.ID, e.Name, rows})
		}
		return err
	})
	if err != nil {
		v.fail(err)
		return
	}
	v.showSettings("settings", "set.title", p)
}

// environment returns the environment of the address, if it is the organisation's, and one
// of those in which whoever is signed in works (T25).
func (v *visit) environment(ctx context.Context, tx *store.Tx) (store.Environment, error) {
	e, err := tx.Environment(ctx, v.r.PathValue("env"))
	if err == nil && (e.Org != v.org || !v.reaches(e.ID)) {
		return store.Environment{}, errNoPage
	}
	return e, err
}

// servedBy returns environment and directory of the address.
func (v *visit) servedBy(ctx context.Context, tx *store.Tx) (e store.Environment, d store.Directory, err error) {
	if e, err = v.environment(ctx, tx); err == nil {
		d, err = tx.Directory(ctx, e.ID, v.r.PathValue("directory"))
	}
	return e, d, err
}

// maxDevice bounds what an audit row keeps of a User-Agent header, in bytes.
const maxDevice = 200

// decided writes an audit row about a setting.
func (v *visit) decided(ctx context.Context, tx *store.Tx, env string, kind audit.Kind, detail map[string]any) error {
	device := v.r.UserAgent()
	host, _, err := net.SplitHostPort(v.r.RemoteAddr)
	if err != nil {
		host = v.r.RemoteAddr
	}
	return audit.Append(ctx, tx, audit.Event{Org: v.org, Env: env, Kind: kind, Actor: v.actor(), RemoteAddr: host,
		UserAgent: device[:min(len(device), maxDevice)], Detail: detail})
}

// done leads back to a page that says what was done.
func (v *visit) done(path, what string) {
	q := url.Values{"done": {what}}
	if v.lang != "" {
		q.Set("lang", v.lang)
	}
	v.w.Header().Set("Location", path+"?"+q.Encode())
	v.w.WriteHeader(http.StatusSeeOther)
}

// errStale says that a form was filled in for what is no longer so.
var errStale = errors.New("console: somebody else changed it meanwhile")

// stamp says for what a form is filled in, without a word about the secrets in it: who
// sees the form could try out words for them if it were a plain hash.
func (v *visit) stamp(kept string) string {
	mac := hmac.New(sha256.New, v.console.cfg.Store.DeriveKeys(stampPurpose)[0])
	mac.Write([]byte(kept))
	return hex.EncodeToString(mac.Sum(nil)[:8])
}

// checked reports whether a box of the form is ticked.
func (v *visit) checked(name string) bool { return v.field(name) != "" }

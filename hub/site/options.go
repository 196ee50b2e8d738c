package site

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/factor"
	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/page"
	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// Owners says whom a recovery has proven, so that they may change what they recover with.
type Owners interface {
	Owner(ctx context.Context, env, id, session string) (factor.Owner, error)
	Finished(ctx context.Context, env, id, session string) (factor.Owner, error)
	CanEnrollKey(ctx context.Context, env, id, session string) (bool, error)
	EnrollKey(ctx context.Context, env, id, session, factorID string, c evidence.Credential) (newID, newSession string, err error)
}

// optionsScreen is the pages of my recovery options.
type optionsScreen struct {
	Options  []option
	One      *option
	Kinds    []string // that can be added
	Kind     string
	Factor   string // id
	Label    string
	Setup    factor.Setup
	QR       string // path of an SVG
	QRSize   int
	Codes    []string
	Ceremony json.RawMessage
	CanAgent bool
	Said     string        // what was just done
	Where    string        // address to which a code was sent
	Wait     time.Duration // before something new counts
}

// An option is one row of the list.
type option struct {
	factor.Row
	Name string
}

// Bounds of the forms' fields, in bytes.
const (
	maxLabelField = 256
	maxFactorID   = 64
	maxCodeField  = 40
)

// toOptions is the entrance: the first page with other words.
func (v *visit) toOptions() { v.see("/", url.Values{"flow": {flow.FlowOptions}}) }

// chooseOptions answers the one question that this entrance has, where one directory
// offers it; otherwise the page asks for the directory.
func (v *visit) chooseOptions(ctx context.Context, id, session string) {
	err := v.site.cfg.Recoveries.Choose(ctx, v.req.Env, id, session, "", protocol.ActionOptions)
	if err != nil && !errors.Is(err, recovery.ErrNotAdmitted) && !errors.Is(err, recovery.ErrStep) {
		v.fail(err)
		return
	}
	v.open(id, session)
}

// owner returns who is there, or answers: whoever has not proven it yet is led to where
// they do.
func (v *visit) owner() (o factor.Owner, ok bool) {
	id, session, ok := v.own()
	if !ok {
		return o, false
	}
	v.flow = flow.FlowOptions
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	o, err := v.site.cfg.Owners.Owner(ctx, v.req.Env, id, session)
	switch {
	case errors.Is(err, recovery.ErrStep):
		v.toRecovery()
	case err != nil:
		v.fail(err)
	default:
		return o, true
	}
	return o, false
}

// optionsPage begins one of the pages.
func (v *visit) optionsPage(title string) *screen {
	s := v.screen(flow.View{ID: v.id(), Action: protocol.ActionOptions})
	s.Title = s.T(title)
	return s
}

// said are the sentences that the list may begin with; the address names one.
var said = []string{"added", "removed", "renamed", "disowned"}

// options lists what the person has.
func (v *visit) options() {
	if o, ok := v.owner(); ok {
		v.showOptions(http.StatusOK, o, nil)
	}
}

func (v *visit) showOptions(status int, o factor.Owner, wrong *fieldError) {
	s := v.optionsPage("options.title")
	rows, err := v.site.cfg.Factors.List(v.r.Context(), o)
	if err != nil {
		v.fail(err)
		return
	}
	for _, r := range rows {
		s.Options = append(s.Options, option{r, s.T("options.kind." + r.Kind)})
	}
	s.Wait = v.site.cfg.Factors.Waits()
	s.Kinds = []string{factor.Passkey, factor.TOTP, factor.SavedCode, factor.Mail}
	if v.site.cfg.Factors.SMS(v.r.Context(), o.Env) {
		s.Kinds = append(s.Kinds, factor.Phone)
	}
	if done := v.r.URL.Query().Get("done"); slices.Contains(said, done) {
		s.Said = s.T("options.said." + done)
	}
	if wrong != nil {
		s.wrong(wrong.Field, s.T(wrong.Text))
	}
	v.show(status, "options", s)
}

// addOption begins something new. A form leads here, because it writes a row.
func (v *visit) addOption() {
	o, ok := v.owner()
	if !ok {
		return
	}
	switch kind := v.field("kind"); kind {
	case factor.Passkey:
		v.makePasskey(o)
	case factor.TOTP:
		setup, err := v.site.cfg.Factors.BeginTOTP(v.r.Context(), o)
		v.showApp(http.StatusOK, setup, err, nil)
	case factor.SavedCode:
		v.showCodes(o)
	case factor.Mail, factor.Phone:
		v.askOwnAddress(http.StatusOK, kind, "", nil)
	default:
		v.showOptions(http.StatusUnprocessableEntity, o, &fieldError{"kind", "options.error.kind"})
	}
}

func (v *visit) makePasskey(o factor.Owner) {
	id, ask, err := v.site.cfg.Factors.BeginPasskey(v.r.Context(), o)
	if err != nil {
		v.failOption(err)
		return
	}
	s := v.optionsPage("options.passkey.title")
	s.Factor, s.Ceremony, s.Script, s.Label = id, ask, v.script(policy.Passkey), s.Language.Device(v.r.UserAgent())
	page.Allow(v.w.Header(), "publickey-credentials-create")
	v.show(http.StatusOK, "optionpasskey", s)
}

// madePasskey takes what the script made.
func (v *visit) madePasskey() {
	o, ok := v.owner()
	if !ok {
		return
	}
	err := v.site.cfg.Factors.FinishPasskey(v.r.Context(), o, bounded(v.field("factor"), maxFactorID), bounded(v.field("label"), maxLabelField), []byte(v.field("answer")))
	switch {
	case errors.Is(err, factor.ErrWrong):
		v.showOptions(http.StatusUnprocessableEntity, o, &fieldError{"kind", "options.error.passkey"})
	case errors.Is(err, factor.ErrTaken):
		v.showOptions(http.StatusConflict, o, &fieldError{"kind", "options.error.taken"})
	case err != nil:
		v.failOption(err)
	default:
		v.optionsAgain("added")
	}
}

// showApp shows what is put into an authenticator app.
func (v *visit) showApp(status int, setup factor.Setup, err error, wrong *fieldError) {
	if err != nil {
		v.failOption(err)
		return
	}
	s := v.optionsPage("options.app.title")
	s.Setup, s.Factor, s.Kind = setup, setup.ID, factor.TOTP
	if s.QR, s.QRSize, err = factor.QR(setup.URI); err != nil {
		v.fail(err)
		return
	}
	if wrong != nil {
		s.wrong(wrong.Field, s.T(wrong.Text))
	}
	v.show(status, "optionapp", s)
}

// Groups parts a key for people who type it.
func (s *screen) Groups(key string) []string {
	var list []string
	for ; len(key) > 4; key = key[4:] {
		list = append(list, key[:4])
	}
	return append(list, key)
}

// showCodes makes a sheet of codes and shows it, once.
func (v *visit) showCodes(o factor.Owner) {
	codes, err := v.site.cfg.Factors.NewCodes(v.r.Context(), o)
	if err != nil {
		v.failOption(err)
		return
	}
	s := v.optionsPage("options.codes.title")
	s.Codes = codes
	v.show(http.StatusOK, "optioncodes", s)
}

func (v *visit) askOwnAddress(status int, kind, typed string, wrong *fieldError) {
	s := v.optionsPage("options." + kind + ".title")
	s.Kind, s.Typed = kind, typed
	if wrong != nil {
		s.wrong(wrong.Field, s.T(wrong.Text))
	}
	v.show(status, "optionaddress", s)
}

// addAddress sends a code to an address of the person's own.
func (v *visit) addAddress() {
	o, ok := v.owner()
	if !ok {
		return
	}
	kind, typed := v.field("kind"), bounded(strings.TrimSpace(v.field("address")), maxAddress)
	if kind != factor.Mail && kind != factor.Phone {
		v.toRecovery()
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), performTime)
	defer cancel()
	id, err := v.site.cfg.Factors.AddAddress(ctx, o, kind, typed)
	switch {
	case errors.Is(err, factor.ErrAddress):
		v.askOwnAddress(http.StatusUnprocessableEntity, kind, typed, &fieldError{"address", "options." + kind + ".error"})
	case errors.Is(err, factor.ErrOwn):
		v.askOwnAddress(http.StatusUnprocessableEntity, kind, typed, &fieldError{"address", "options.error.own"})
	case errors.Is(err, factor.ErrTooMany):
		v.askOwnAddress(http.StatusTooManyRequests, kind, typed, &fieldError{"address", "options.error.many"})
	case err != nil && id == "":
		v.failOption(err)
	case err != nil:
		v.askOwnAddress(http.StatusBadGateway, kind, typed, &fieldError{"address", "options.error.send"})
	default:
		v.askConfirm(http.StatusOK, kind, id, typed, nil)
	}
}

func (v *visit) askConfirm(status int, kind, id, where string, wrong *fieldError) {
	s := v.optionsPage("options.confirm.title")
	s.Kind, s.Factor, s.Where = kind, id, where
	if wrong != nil {
		s.wrong(wrong.Field, s.T(wrong.Text))
	}
	v.show(status, "optionconfirm", s)
}

// confirmOption takes the code of an app or of an address.
func (v *visit) confirmOption() {
	o, ok := v.owner()
	if !ok {
		return
	}
	kind, id, where := v.field("kind"), bounded(v.field("factor"), maxFactorID), bounded(v.field("address"), maxAddress)
	err := v.site.cfg.Factors.Confirm(v.r.Context(), o, id, bounded(v.field("label"), maxLabelField), bounded(v.field("code"), maxCodeField))
	switch {
	case errors.Is(err, factor.ErrWrong) && kind == factor.TOTP:
		setup, err := v.site.cfg.Factors.Setup(v.r.Context(), o, id)
		v.showApp(http.StatusUnprocessableEntity, setup, err, &fieldError{"code", "options.error.code"})
	case errors.Is(err, factor.ErrWrong):
		v.askConfirm(http.StatusUnprocessableEntity, kind, id, where, &fieldError{"code", "options.error.code"})
	case errors.Is(err, factor.ErrTooMany):
		v.showOptions(http.StatusTooManyRequests, o, &fieldError{"kind", "options.error.tries"})
	case err != nil:
		v.failOption(err)
	default:
		v.optionsAgain("added")
	}
}

// oneOption shows one thing, with what can be done with it.
func (v *visit) oneOption() {
	o, ok := v.owner()
	if !ok {
		return
	}
	rows, err := v.site.cfg.Factors.List(v.r.Context(), o)
	if err != nil {
		v.fail(err)
		return
	}
	i := slices.IndexFunc(rows, func(r factor.Row) bool { return r.ID == v.r.PathValue("factor") })
	if i < 0 {
		v.fail(errNoPage)
		return
	}
	s := v.optionsPage("options.kind." + rows[i].Kind)
	s.One = &option{rows[i], s.Title}
	if s.One.Kind == factor.Passkey && s.One.AgentAt.IsZero() {
		s.CanAgent, err = v.site.cfg.Owners.CanEnrollKey(v.r.Context(), v.req.Env, v.id(), v.session(v.id()))
	}
	if err != nil {
		v.fail(err)
		return
	}
	v.show(http.StatusOK, "option", s)
}

func (v *visit) renameOption() {
	v.changeOption("renamed", func(ctx context.Context, o factor.Owner, id string) error {
		return v.site.cfg.Factors.Rename(ctx, o, id, bounded(v.field("label"), maxLabelField))
	})
}

// disownOption removes what somebody else added, with all that came with it.
func (v *visit) disownOption() { v.changeOption("disowned", v.site.cfg.Factors.NotMine) }

func (v *visit) removeOption() { v.changeOption("removed", v.site.cfg.Factors.Remove) }

func (v *visit) changeOption(done string, change func(ctx context.Context, o factor.Owner, id string) error) {
	o, ok := v.owner()
	if !ok {
		return
	}
	if err := change(v.r.Context(), o, bounded(v.r.PathValue("factor"), maxFactorID)); err != nil && !errors.Is(err, factor.ErrNotFound) {
		v.fail(err)
		return
	}
	v.optionsAgain(done)
}

// toAgent begins the recovery that enrols a passkey at the company's agent.
func (v *visit) toAgent() {
	o, ok := v.owner()
	if !ok {
		return
	}
	key := bounded(v.r.PathValue("factor"), maxFactorID)
	c, err := v.site.cfg.Factors.Credential(v.r.Context(), o, key)
	if err != nil {
		v.failOption(err)
		return
	}
	id, session, err := v.site.cfg.Owners.EnrollKey(v.r.Context(), v.req.Env, v.id(), v.session(v.id()), key, c)
	if err != nil {
		v.fail(err)
		return
	}
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	if err := v.site.cfg.Recoveries.Choose(ctx, v.req.Env, id, session, o.Directory, protocol.ActionEnrollKey); err != nil {
		v.fail(err)
		return
	}
	v.open(id, session)
}

// newCode shows the code that takes the place of one that was used, once.
func (v *visit) newCode() {
	id, session, ok := v.own()
	if !ok {
		return
	}
	o, err := v.site.cfg.Owners.Finished(v.r.Context(), v.req.Env, id, session)
	if errors.Is(err, recovery.ErrStep) {
		v.toRecovery()
		return
	} else if err != nil {
		v.fail(err)
		return
	}
	code, err := v.site.cfg.Factors.Replacement(v.r.Context(), o)
	if err != nil || code == "" {
		v.toRecovery()
		return
	}
	s := v.optionsPage("options.code.title")
	s.Codes = []string{code}
	v.show(http.StatusOK, "optioncodes", s)
}

// optionsAgain leads back to the list.
func (v *visit) optionsAgain(done string) {
	v.see("/r/"+v.id()+"/options", url.Values{"done": {done}})
}

// toOptionsList leads those who load the address of a form by itself to the list.
func (v *visit) toOptionsList() {
	if v.id() == "" {
		v.missing()
		return
	}
	v.see("/r/"+v.id()+"/options", nil)
}

// failOption answers what a person can mend with the list, and everything else as an error.
func (v *visit) failOption(err error) {
	switch {
	case errors.Is(err, factor.ErrNotFound):
		v.optionsAgain("")
	case errors.Is(err, factor.ErrTooMany):
		v.message(http.StatusTooManyRequests, "options.full.title", []string{"options.full.text"}, nil)
	default:
		v.fail(err)
	}
}

func bounded(s string, n int) string { return s[:min(len(s), n)] }

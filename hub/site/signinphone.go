package site

import (
	"context"
	"encoding/json"
	"errors"
	"net/http"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/recovery"
)

// Phones let a phone go on with a sign-in whose picture it has read off a screen.
// recovery.ErrNotAdmitted says that nothing waits for it.
type Phones interface {
	Read(ctx context.Context, env, secret string) (SignInReading, error)
	GoOn(ctx context.Context, env, secret, lang string, by recovery.Client) (SignIn, error)
	Disown(ctx context.Context, env, secret string) error
}

// A SignInReading is what a phone is told that has read a picture.
type SignInReading struct {
	Client string    // who asks
	Device string    // User-Agent of the browser that began
	At     time.Time // when it did
	Code   string    // to be typed there
	Agreed bool      // it was: the phone can go on
	Until  time.Time
}

// signInPhone names the cookie of a phone that has read a picture, signInPhonePath begins
// its pages.
const (
	signInPhone     = "sign-in-phone"
	signInPhonePath = signInPath + "/phone"
)

// phoneSignInScreen is these pages.
type phoneSignInScreen struct{ Reading SignInReading }

// Code6 is the code in groups, as people read it.
func (r SignInReading) Code6() string { return r.Code[:len(r.Code)/2] + " " + r.Code[len(r.Code)/2:] }

// read returns what this phone is told, or answers that nothing waits for it.
func (v *visit) read() (SignInReading, bool) {
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	r, err := v.site.cfg.Phones.Read(ctx, v.req.Env, v.host.Cookie(v.r, signInPhone))
	if err != nil {
		v.failSignIn(err)
	}
	return r, err == nil
}

func (v *visit) failSignIn(err error) {
	if errors.Is(err, recovery.ErrNotAdmitted) {
		err = errSignIn
	}
	v.fail(err)
}

// phoneAsks asks whoever has read a picture whether they began what it belongs to, and,
// once the code was typed, leads on.
func (v *visit) phoneAsks() {
	if r, ok := v.read(); ok {
		v.showPhone(r, map[bool]string{true: "go", false: "ask"}[r.Agreed])
	}
}

// phoneShows shows the code that is to be typed where the picture is.
func (v *visit) phoneShows() {
	r, ok := v.read()
	switch {
	case !ok:
	case r.Agreed:
		v.see(signInPhonePath, nil)
	default:
		v.showPhone(r, "code")
	}
}

func (v *visit) showPhone(r SignInReading, page string) {
	v.flow = flow.FlowSignIn
	s := v.screen(flow.View{})
	s.Title, s.Reading, s.Device = s.T("signin.phone."+page+".title"), r, s.Language.Device(r.Device)
	if page == "code" {
		s.Mark, s.Refresh = phoneMark(r), patientReload
	}
	v.show(http.StatusOK, "signinphone"+page, s)
}

// phoneMark is how it stands, for the page's script.
func phoneMark(r SignInReading) string {
	return map[bool]string{true: "agreed", false: "claimed"}[r.Agreed]
}

// phoneState tells the script of a phone how it stands.
func (v *visit) phoneState() {
	r, ok := v.read()
	if !ok {
		return
	}
	b, err := json.Marshal(map[string]string{"at": phoneMark(r)})
	if err != nil {
		v.fail(err)
		return
	}
	v.w.Header().Set("Content-Type", "application/json")
	v.body(string(b))
}

// phoneGoes begins the proof on the phone.
func (v *visit) phoneGoes() {
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	in, err := v.site.cfg.Phones.GoOn(ctx, v.req.Env, v.host.Cookie(v.r, signInPhone), v.language("").Code(), v.client())
	if err != nil {
		v.failSignIn(err)
		return
	}
	v.host.DropCookie(v.w, signInPhone)
	v.opened(in)
}

// phoneDisowns ends what somebody else began.
func (v *visit) phoneDisowns() {
	ctx, cancel := context.WithTimeout(v.r.Context(), lookupTime)
	defer cancel()
	if err := v.site.cfg.Phones.Disown(ctx, v.req.Env, v.host.Cookie(v.r, signInPhone)); err != nil {
		v.failSignIn(err)
		return
	}
	v.host.DropCookie(v.w, signInPhone)
	v.message(http.StatusOK, "signin.phone.disowned.title", []string{"signin.phone.disowned.text"}, nil)
}

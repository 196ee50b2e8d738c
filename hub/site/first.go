package site

import (
	"bytes"
	"net/http"
	"sync"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/hub/page"
)

// firstPages keeps the first page as it was written, for as long as the look that it
// belongs to: until somebody has typed an address it is the same for everybody but for
// the token of its form, and anybody may ask for it as often as they like.
type firstPages struct {
	mu   sync.Mutex
	kept map[firstPage]written
}

// A firstPage is what the page depends on beside the look of its environment.
type firstPage struct {
	language, asked string // the one shown, and the one that the address asks for
	host            page.Host
	condition       condition
}

// A written page, without the token of its form.
type written struct{ before, after []byte }

// maxFirstPages bounds the memory of one environment: some domains in some languages.
const maxFirstPages = 64

func newFirstPages() *firstPages { return &firstPages{kept: map[firstPage]written{}} }

func (f *firstPages) find(p firstPage) (written, bool) {
	f.mu.Lock()
	defer f.mu.Unlock()
	w, ok := f.kept[p]
	return w, ok
}

// keep remembers a page in which the token stands once.
func (f *firstPages) keep(p firstPage, body []byte, token string) {
	before, after, ok := bytes.Cut(body, []byte(token))
	f.mu.Lock()
	defer f.mu.Unlock()
	if ok && !bytes.Contains(after, []byte(token)) && len(f.kept) < maxFirstPages {
		f.kept[p] = written{before, after}
	}
}

// first shows the first page to somebody of whom nothing is known.
func (v *visit) first() {
	l := v.language("")
	p := firstPage{l.Code(), v.lang, v.host, v.condition()}
	if w, ok := v.look.first.find(p); ok {
		page.Write(v.w, v.r, http.StatusOK, l, w.before, []byte(v.host.FormToken(v.w, v.r)), w.after)
		return
	}
	s := v.addressScreen(flow.Intent{}, "", nil)
	s.Form = v.host.FormToken(v.w, v.r)
	if b := v.render("start", s); b != nil {
		v.look.first.keep(p, b, s.Form)
		page.Write(v.w, v.r, http.StatusOK, l, b)
	}
}

package page

import (
	"bytes"
	"fmt"
	"html/template"
	"io/fs"
	"net/http"

	"github.com/postern-id/postern/hub/locale"
)

// Screens are the templates of pages, each with the layout that all of them share.
type Screens map[string]*template.Template

// ParseScreens reads templates/layout.html and templates/NAME.html of each page. It is
// called with embedded files at the start, and panics where one cannot be read.
func ParseScreens(from fs.FS, names ...string) Screens {
	layout := template.Must(template.ParseFS(from, "templates/layout.html"))
	set := make(Screens, len(names))
	for _, name := range names {
		set[name] = template.Must(template.Must(layout.Clone()).ParseFS(from, "templates/"+name+".html"))
	}
	return set
}

// Render returns a page. A template that fails is an error, so that nothing of it
// reaches a browser.
func (s Screens) Render(name string, data any) ([]byte, error) {
	t, ok := s[name]
	if !ok {
		return nil, fmt.Errorf("page: no template %q", name)
	}
	var b bytes.Buffer
	err := t.ExecuteTemplate(&b, "layout", data)
	return b.Bytes(), err
}

// Write sends the parts of a page in a language. A browser that has left needs no answer.
func Write(w http.ResponseWriter, r *http.Request, status int, l *locale.Language, parts ...[]byte) {
	size := 0
	for _, p := range parts {
		size += len(p)
	}
	h := w.Header()
	h.Set("Content-Type", "text/html; charset=utf-8")
	h.Set("Content-Language", l.Code())
	h.Set("Content-Length", fmt.Sprint(size))
	w.WriteHeader(status)
	for _, p := range parts {
		if r.Method != http.MethodHead {
			_, _ = w.Write(p)
		}
	}
}

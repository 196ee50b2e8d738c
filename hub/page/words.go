package page

import (
	"fmt"
	"html"
	"html/template"
	"strings"
	"time"
	"unicode"

	"github.com/postern-id/postern/hub/locale"
)

// Words speak to one reader on one page. Templates call T and H.
type Words struct {
	Language *locale.Language
	Variant  string // texts whose key ends in "." + Variant take the place of the others
	Always   []any  // arguments of every text: the company, the site
}

// T returns a text as plain text, which the template escapes.
func (w Words) T(key string, args ...any) string {
	return w.Language.Text(w.key(key), append(args, w.Always...)...)
}

// H returns a text in which every time.Time is an element that the page's script shows
// in the reader's own zone. Everything else, arguments too, is escaped here.
func (w Words) H(key string, args ...any) template.HTML {
	var times []time.Time
	marked := append(append([]any(nil), args...), w.Always...)
	for i := 1; i < len(marked); i += 2 {
		switch v := marked[i].(type) {
		case time.Time:
			marked[i] = mark(len(times))
			times = append(times, v)
		case string:
			marked[i] = printable(v)
		}
	}
	text := html.EscapeString(w.Language.Text(w.key(key), marked...))
	for i, t := range times {
		text = strings.ReplaceAll(text, mark(i), string(w.clock(t)))
	}
	return template.HTML(text)
}

// Time returns the element alone.
func (w Words) Time(t time.Time) template.HTML { return w.clock(t) }

// Has reports whether there is a text, for keys that a page puts together.
func (w Words) Has(key string) bool { return w.Language.Has(key) || w.Language.Has(w.key(key)) }

func (w Words) key(key string) string {
	if w.Variant != "" && w.Language.Has(key+"."+w.Variant) {
		return key + "." + w.Variant
	}
	return key
}

// clock shows the time of day where the time is within a day, else the date as well.
func (w Words) clock(t time.Time) template.HTML {
	text, form := w.Language.Clock(t.UTC()), "clock"
	if d := time.Until(t); d > dayLong || d < -dayLong {
		text, form = w.Language.DateTime(t.UTC()), "date"
	}
	return template.HTML(fmt.Sprintf(`<time datetime="%s" data-form="%s">%s</time>`, t.UTC().Format(time.RFC3339), form, html.EscapeString(text)))
}

const dayLong = 20 * time.Hour // tomorrow at the same time is another day

// mark stands for the i-th time until the rest is escaped; no other value can hold it.
func mark(i int) string { return fmt.Sprintf("\x00%d\x00", i) }

// printable drops control characters, so that no value can look like a mark.
func printable(s string) string {
	return strings.Map(func(r rune) rune {
		if unicode.IsControl(r) {
			return -1
		}
		return r
	}, s)
}

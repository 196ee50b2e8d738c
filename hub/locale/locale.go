// Package locale holds every sentence that people read on pages and in mails, in every
// language, and chooses the language. It knows no page, no mail and no request.
//
// A language is one file of tables. A new one is a copy of en*.go with other sentences
// and one row in languages; the tests say what it lacks. Texts that count end in
// "#one", "#other" and whatever else the plural rules of the language ask for, chosen by
// the placeholder {n}. Punctuation, order and number of placeholders are the language's
// own business, their names are not.
package locale

import (
	"fmt"
	"strings"
	"time"

	"golang.org/x/text/feature/plural"
	"golang.org/x/text/language"
	"golang.org/x/text/message"
)

// A table maps keys to texts.
type table map[string]string

// A Language speaks. It is immutable and safe for concurrent use.
type Language struct {
	tag   language.Tag
	name  string
	dir   string
	texts table
}

// Code returns the BCP 47 tag, as the lang attribute of a page takes it.
func (l *Language) Code() string { return l.tag.String() }

// Name returns what the language calls itself.
func (l *Language) Name() string { return l.name }

// Dir returns the direction of writing, "ltr" or "rtl".
func (l *Language) Dir() string { return l.dir }

// Has reports whether the language has a text under the key, plural forms included.
func (l *Language) Has(key string) bool {
	_, exact := l.texts[key]
	_, forms := l.texts[key+"#other"]
	return exact || forms
}

// Text returns the text of the key. The arguments are pairs of a placeholder's name and
// its value: string and the like as they are, int in the language's digits and grouping,
// time.Time by DateTime, time.Duration by Duration. A text that is missing is taken from
// English; the tests see to it that none is.
func (l *Language) Text(key string, args ...any) string {
	text, ok := l.lookup(key, args)
	if !ok && l.texts != nil && l != fallback() {
		return fallback().Text(key, args...)
	}
	if !ok {
		return key
	}
	if len(args) == 0 {
		return text
	}
	pairs := make([]string, 0, len(args))
	for i := 0; i+1 < len(args); i += 2 {
		pairs = append(pairs, "{"+fmt.Sprint(args[i])+"}", l.value(args[i+1]))
	}
	return strings.NewReplacer(pairs...).Replace(text)
}

func (l *Language) lookup(key string, args []any) (string, bool) {
	if text, ok := l.texts[key]; ok {
		return text, true
	}
	for i := 0; i+1 < len(args); i += 2 {
		if n, ok := args[i+1].(int); ok && args[i] == "n" {
			text, ok := l.texts[key+"#"+l.form(n)]
			return text, ok
		}
	}
	return "", false
}

// forms names the plural categories of CLDR.
var forms = map[plural.Form]string{
	plural.Zero: "zero", plural.One: "one", plural.Two: "two",
	plural.Few: "few", plural.Many: "many", plural.Other: "other",
}

// form returns the plural category of a whole number (its visible digits, no fraction).
func (l *Language) form(n int) string {
	return forms[plural.Cardinal.MatchPlural(l.tag, max(n, -n), 0, 0, 0, 0)]
}

func (l *Language) value(v any) string {
	switch v := v.(type) {
	case int:
		return message.NewPrinter(l.tag).Sprintf("%d", v)
	case time.Time:
		return l.DateTime(v)
	case time.Duration:
		return l.Duration(v)
	}
	return fmt.Sprint(v)
}

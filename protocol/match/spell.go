package match

import (
	"slices"
	"strings"
	"unicode"
	"unicode/utf8"

	"golang.org/x/text/unicode/norm"
)

// Bounds: names are data from outside, and each comparison multiplies them.
const (
	maxName      = 512 // bytes; the longest legal names are below 250 letters
	maxTokens    = 12  // words of a name
	maxSpellings = 32  // of one word
)

// A token is one word of a name in each spelling that it may have. The first is the
// commonest. A field is a name's words in order.
type (
	token []string
	field []token
)

// fold brings a text to one case and one composition.
func fold(s string) string {
	return norm.NFKC.String(strings.ToLower(norm.NFKC.String(s)))
}

// split returns the words of a folded text. Apostrophes and invisible characters vanish,
// everything else that is neither letter nor digit parts words.
func split(s string) []string {
	s = strings.Map(func(r rune) rune {
		switch {
		case unicode.IsLetter(r) && !apostrophe(r), unicode.IsMark(r), unicode.IsDigit(r):
			return r
		case apostrophe(r), r == '·', unicode.Is(unicode.Cf, r):
			return -1
		}
		return ' '
	}, s)
	return strings.Fields(s)
}

// apostrophe reports whether r is one of the characters that people type for one.
func apostrophe(r rune) bool { return strings.ContainsRune("'’‘ʼʻ`´′ʹʾʿ＇", r) }

// strips are the scripts whose marks do not make another letter. In others, such as
// Devanagari, Thai or kana, a mark is a vowel or another consonant and stays.
var strips = []*unicode.RangeTable{unicode.Latin, unicode.Greek, unicode.Cyrillic, unicode.Hebrew, unicode.Arabic}

// spell returns the spellings of one folded word, at most maxSpellings; those of a word
// that is spelled already are the word.
func spell(word string) token {
	out := token{""}
	bare := true // the letter before is of a script that loses its marks
	for _, r := range word {
		options := letters[r]
		if options == nil {
			options, bare = plain(r, bare)
		} else {
			bare = true
		}
		out = out.times(options)
	}
	if len(out) == 1 && aliases[out[0]] != "" {
		return token{aliases[out[0]]}
	}
	return out
}

// plain returns the spellings of a letter without its marks.
func plain(r rune, bare bool) (options token, nowBare bool) {
	if r < utf8.RuneSelf {
		return token{string(r)}, true
	}
	options = token{""}
	for _, q := range norm.NFKD.String(string(r)) {
		switch {
		case !unicode.IsMark(q):
			bare = unicode.In(q, strips...)
			if more := letters[q]; more != nil {
				options = options.times(more)
			} else {
				options = options.times(token{string(unicode.ToLower(q))})
			}
		case !bare || !unicode.Is(unicode.Mn, q):
			options = options.times(token{string(q)})
		}
	}
	return options, bare
}

// times returns every spelling of t followed by every option, or by the first option
// only where that would be too many.
func (t token) times(options token) token {
	if len(options) == 1 {
		out := make(token, len(t))
		for i, s := range t {
			out[i] = s + options[0]
		}
		return out
	}
	if len(t)*len(options) > maxSpellings {
		options = options[:1]
	}
	out := make(token, 0, len(t)*len(options))
	for _, o := range options {
		for _, s := range t {
			if w := s + o; !slices.Contains(out, w) {
				out = append(out, w)
			}
		}
	}
	return out
}

// read returns the words of a text; ok is false when it is no name at all.
func read(text string) (f field, generation string, ok bool) {
	if len(text) > maxName {
		return nil, "", false
	}
	all := split(fold(text))
	if len(all) > maxTokens {
		return nil, "", false
	}
	for i, w := range all {
		if g := generations[w]; g != "" && i > 0 {
			generation = g
		} else if !titles[w] && !absent[w] {
			f = appendToken(f, w)
		}
	}
	if len(f) == 0 { // somebody whose name is a title
		for _, w := range all {
			if !absent[w] {
				f = appendToken(f, w)
			}
		}
	}
	return f, generation, true
}

func appendToken(f field, word string) field {
	if t := spell(word); t[0] != "" {
		return append(f, t)
	}
	return f
}

// equal reports whether two words have a spelling in common.
func (t token) equal(u token) bool {
	return slices.ContainsFunc(t, func(s string) bool { return slices.Contains(u, s) })
}

// initial reports whether a word is one Latin letter.
func (t token) initial() bool { return len(t[0]) == 1 && t[0][0] >= 'a' && t[0][0] <= 'z' }

// nickname reports whether two given names stand in one group.
func (t token) nickname(u token) bool {
	return slices.ContainsFunc(t, func(s string) bool {
		return slices.ContainsFunc(groupsOf[s], func(g int) bool {
			return slices.ContainsFunc(u, func(v string) bool { return slices.Contains(groupsOf[v], g) })
		})
	})
}

// common reports whether a word is a common given name.
func (t token) common() bool {
	return slices.ContainsFunc(t, func(s string) bool { return commonGiven[s] })
}

// glue writes the words of a field as one.
func (f field) glue() token {
	out := token{""}
	for _, t := range f {
		out = out.times(t)
	}
	return out
}

// core returns a field without its particles, and these. The first keep words are none,
// and neither is the last: a particle stands before something.
func (f field) core(keep int) (rest field, dropped []string) {
	for i, t := range f {
		if p := particles[t[0]]; p != "" && i >= keep && i < len(f)-1 {
			dropped = append(dropped, p)
		} else {
			rest = append(rest, t)
		}
	}
	return rest, dropped
}

package match

import (
	"maps"
	"slices"
	"strings"
)

// MaxKeys bounds the keys of one name. Names of two or three words have one to nine.
const MaxKeys = 40

// Keys returns words under which a name is found again in whatever way it is written: two
// names that are a Match share one, and so do many that are not. They make an index, to be
// followed by Names, and are too coarse for anything else. None is given for no name.
func (n Name) Keys() []string {
	all, _, ok := n.readings()
	if !ok {
		return nil
	}
	seen := map[string]bool{}
	for _, r := range all {
		if len(r.given) == 0 || len(r.family) == 0 {
			continue
		}
		family, _ := r.family.core(0)
		families := append(coarse(family[0]), append(skeletons(r.family.glue()), skeletons(family.glue())...)...)
		givens := coarse(r.given[0])
		for i := 2; i <= min(glued, len(r.given)); i++ {
			givens = append(givens, skeletons(r.given[:i].glue())...)
		}
		for _, f := range families {
			for _, g := range givens {
				seen[min(f, g)+" "+max(f, g)] = true // in either order
			}
		}
	}
	keys := slices.Sorted(maps.Keys(seen))
	return keys[:min(len(keys), MaxKeys)]
}

// coarse gives the forms of a word: for one with short forms, one for all of them.
func coarse(t token) []string {
	for _, s := range t {
		if c := classOf[s]; c != "" {
			return []string{c}
		}
	}
	return skeletons(t)
}

// maxForms bounds the forms of one word, and with them the keys of a name.
const maxForms = 3

func skeletons(t token) (all []string) {
	for _, s := range t {
		if s = skeleton(s); !slices.Contains(all, s) && len(all) < maxForms {
			all = append(all, s)
		}
	}
	return all
}

// folds brings the spellings of one letter to one form.
var folds = strings.NewReplacer("ae", "a", "oe", "o", "ue", "u", "aa", "a", "dj", "d", "kh", "h", "shch", "s", "sht", "s", "sh", "s", "zh", "z",
	"ts", "c", "ch", "c", "io", "e", "yo", "e", "ie", "e", "ye", "e", "iu", "u", "yu", "u", "ia", "a", "ya", "a", "yi", "i", "ii", "i", "iy", "i", "y", "i", "g", "h", "j", "i")

// skeleton brings the spellings of a word to one form, and many other words with it.
func skeleton(s string) string {
	for {
		t := folds.Replace(s)
		if t == s {
			return squeezed(s)
		}
		s = t
	}
}

// squeezed drops repeated letters.
func squeezed(s string) string {
	var b strings.Builder
	var last rune
	for _, r := range s {
		if r != last {
			b.WriteRune(r)
		}
		last = r
	}
	return b.String()
}

package api

import (
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"unicode/utf8"
)

// A parameter is one that stands in the query of a row's address. What does not fit is
// refused before the row's function runs.
type parameter struct {
	name    string
	kind    string   // of JSON Schema: string, integer, boolean
	many    bool     // it may be repeated
	most    int      // bytes of a text, or the greatest number
	least   int      // number
	capped  bool     // a greater number is the greatest
	absent  string   // what its absence means, "" if nothing
	words   []string // the only values; nil: any
	example string   // "": none is needed
}

// Bounds of parameters.
const (
	maxID       = 200     // bytes of an id, a word or a date
	maxQuery    = 200     // bytes of a search text
	maxOffset   = 1 << 30 // rows that may be skipped
	maxRepeated = 100     // values of one parameter
)

// defaultCount is the length of a page.
const defaultCount = 50

// textIn is a text of at most so many bytes.
func textIn(name string, most int) parameter {
	return parameter{name: name, kind: "string", most: most}
}

// listIn may be repeated; each value is an id or a word.
func listIn(name string) parameter {
	return parameter{name: name, kind: "string", most: maxID, many: true}
}

// wordIn is one of the words.
func wordIn(name string, words ...string) parameter {
	return parameter{name: name, kind: "string", most: maxID, words: words}
}

// wordsIn may be repeated; each value is one of the words.
func wordsIn(name string, words ...string) parameter {
	return parameter{name: name, kind: "string", most: maxID, words: words, many: true}
}

// boolIn is true or false.
func boolIn(name string) parameter { return parameter{name: name, kind: "boolean", most: maxID} }

// numberIn is a number between two others.
func numberIn(name string, least, most, absent int) parameter {
	return parameter{name: name, kind: "integer", least: least, most: most, absent: strconv.Itoa(absent)}
}

// countIn is the length of a page, at most so many.
func countIn(most int) parameter { return countOf(most, defaultCount) }

// countOf is the length of a page. Who asks for more than the most gets the most, and the
// rest by going on where the page ends, as with every page.
func countOf(most, absent int) parameter {
	p := numberIn("count", 1, most, absent)
	p.capped = true
	return p
}

// offsetIn is how many are skipped before a page.
func offsetIn() parameter { return numberIn("offset", 0, maxOffset, 0) }

// like is the parameter with an example, which the tests send.
func (p parameter) like(example string) parameter {
	p.example = example
	return p
}

// checkQuery refuses parameters that the row does not have, or not with such values. A query
// that cannot be read is refused as a whole: what is left of it may narrow less than it
// should.
func (c *call) checkQuery() error {
	if c.bent != nil {
		return bad("the query cannot be read: " + c.bent.Error() + "; parameters are joined by & and escaped as in application/x-www-form-urlencoded")
	}
	var lines badRequest
	for name, values := range c.query {
		i := slices.IndexFunc(c.row.query, func(p parameter) bool { return p.name == name })
		if i < 0 {
			lines = append(lines, unknown("parameter", name, c.row.parameters()))
			continue
		}
		if err := c.row.query[i].check(values); err != "" {
			lines = append(lines, err)
		}
	}
	if len(lines) == 0 {
		return nil
	}
	slices.Sort(lines)
	return lines[:min(len(lines), maxLines)]
}

// parameters are the names of the row's parameters.
func (r row) parameters() (names []string) {
	for _, p := range r.query {
		names = append(names, p.name)
	}
	return names
}

// check returns what is wrong with the values of a parameter, "" if nothing.
func (p parameter) check(values []string) string {
	if len(values) > 1 && !p.many {
		return p.name + ": give this parameter once"
	}
	if len(values) > maxRepeated {
		return fmt.Sprintf("%s: at most %d of them", p.name, maxRepeated)
	}
	for _, v := range values {
		if wrong := p.wrong(v); wrong != "" {
			return p.name + ": " + wrong
		}
	}
	return ""
}

// wrong returns what is wrong with a value of a parameter, "" if nothing. An empty value
// is an absent one, but not of a list: who names nothing would get nothing, or everything.
func (p parameter) wrong(v string) string {
	switch {
	case v == "" && p.many:
		return "an empty value names nothing; leave the parameter out for all"
	case v == "":
		return ""
	case !utf8.ValidString(v) || strings.ContainsFunc(v, isControl):
		return "want a text without control characters, in UTF-8"
	case p.kind == "integer":
		if n, err := p.number(v); err != nil || n < p.least || n > p.most {
			return fmt.Sprintf("want a number from %d to %d", p.least, p.most)
		}
	case p.kind == "boolean":
		if _, err := truthOf(v); err != nil {
			return err.Error()
		}
	case len(v) > p.most:
		return fmt.Sprintf("at most %d bytes", p.most)
	case p.words != nil && !slices.Contains(p.words, v):
		return oneOf(v, p.words)
	}
	return ""
}

// number reads a value of a parameter.
func (p parameter) number(v string) (int, error) {
	n, err := strconv.Atoi(v)
	if p.capped {
		n = min(n, p.most)
	}
	return n, err
}

// text returns the one value of a parameter, "" if it is absent.
func (c *call) text(name string) string { return c.query.Get(name) }

// many returns all values of a parameter.
func (c *call) many(name string) []string { return c.query[name] }

// number returns a parameter that is a number, what it is by itself if it is absent.
func (c *call) number(name string) int {
	text := c.query.Get(name)
	p := c.row.query[slices.IndexFunc(c.row.query, func(p parameter) bool { return p.name == name })]
	if text == "" {
		text = p.absent
	}
	n, _ := p.number(text) // checkQuery has seen to that
	return n
}

// truth returns a parameter that is true or false, nil if it is absent.
func (c *call) truth(name string) *bool {
	text := c.query.Get(name)
	if text == "" {
		return nil
	}
	is, _ := truthOf(text) // checkQuery has seen to that
	return &is
}

// is reports whether a parameter is true; absent it is not.
func (c *call) is(name string) bool {
	is := c.truth(name)
	return is != nil && *is
}

var errTruth = errors.New("want true or false")

// truthOf reads true and false, also as Python writes them: True and False.
func truthOf(text string) (bool, error) {
	switch strings.ToLower(text) {
	case "true":
		return true, nil
	case "false":
		return false, nil
	}
	return false, errTruth
}

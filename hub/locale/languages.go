package locale

import (
	"maps"
	"slices"

	"golang.org/x/text/language"
)

// languages are all that the product speaks, the fallback first.
var languages = []*Language{
	speak(language.English, "English", enSite, enProof, enStaff, enWallet, enOptions, enResult, enMail, enSMS, enAway, enConsole, enReview, enRequest, enBadge, enManual, enTrial, enEvaluation, enExamine, enSignIn, enSettings, enAuthorize, enTerminal, enChange, enAudit, enDesk, enWhy),
	speak(language.German, "Deutsch", deSite, deProof, deStaff, deWallet, deOptions, deResult, deMail, deSMS, deAway, deConsole, deReview, deRequest, deBadge, deManual, deTrial, deEvaluation, deExamine, deSignIn, deSettings, deAuthorize, deTerminal, deChange, deAudit, deDesk, deWhy),
}

// rightToLeft lists the scripts that are written from right to left (ISO 15924).
var rightToLeft = []string{"Arab", "Hebr", "Thaa", "Syrc", "Nkoo", "Adlm", "Rohg"}

// speak joins the tables of a language.
func speak(tag language.Tag, name string, tables ...table) *Language {
	l := &Language{tag: tag, name: name, dir: "ltr", texts: table{}}
	for _, t := range tables {
		maps.Copy(l.texts, t)
	}
	if script, _ := tag.Script(); slices.Contains(rightToLeft, script.String()) {
		l.dir = "rtl"
	}
	return l
}

func fallback() *Language { return languages[0] }

// Languages returns all languages in the order in which a page offers them.
func Languages() []*Language { return slices.Clone(languages) }

// maxWish bounds a wish: a browser's list of languages is shorter, and longer ones cost
// time to read.
const maxWish = 256

// A Choice finds the best of the languages that an environment offers. It is made once,
// since that takes longer than a page; many goroutines may use it.
type Choice struct {
	list    []*Language
	matcher language.Matcher
}

// NewChoice offers the languages of the BCP 47 tags, the preferred one first; unknown
// ones are passed over, and none means all.
func NewChoice(offered []string) *Choice {
	c := &Choice{list: Offered(offered)}
	tags := make([]language.Tag, len(c.list))
	for i, l := range c.list {
		tags[i] = l.tag
	}
	c.matcher = language.NewMatcher(tags)
	return c
}

// For returns the best language for the wishes, the most important first: BCP 47 tags or
// values of Accept-Language, empty and malformed ones are passed over. Without a wish
// that fits, the first one offered is chosen.
func (c *Choice) For(wishes ...string) *Language {
	for _, w := range wishes {
		if w == "" || len(w) > maxWish {
			continue
		}
		wanted, _, err := language.ParseAcceptLanguage(w)
		if err != nil {
			continue
		}
		if _, i, confidence := c.matcher.Match(wanted...); confidence > language.Low {
			return c.list[i]
		}
	}
	return c.list[0]
}

// Choose is NewChoice and For at once.
func Choose(offered []string, wishes ...string) *Language { return NewChoice(offered).For(wishes...) }

// Offered returns the languages that the tags name, in their order, or all if they name
// none.
func Offered(tags []string) []*Language {
	var list []*Language
	for _, t := range tags {
		for _, l := range languages {
			if l.Code() == t && !slices.Contains(list, l) {
				list = append(list, l)
			}
		}
	}
	if len(list) == 0 {
		return Languages()
	}
	return list
}

// Known reports whether the product speaks the language of the tag.
func Known(tag string) bool {
	return slices.ContainsFunc(languages, func(l *Language) bool { return l.Code() == tag })
}

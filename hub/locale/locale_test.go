package locale

import (
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"golang.org/x/text/language"
)

var placeholder = regexp.MustCompile(`\{[a-z_0-9]+\}`)

// placeholders returns the names that a text uses, sorted, each once.
func placeholders(text string) []string {
	found := placeholder.FindAllString(text, -1)
	slices.Sort(found)
	return slices.Compact(found)
}

// base cuts the plural form off a key.
func base(key string) string {
	k, _, _ := strings.Cut(key, "#")
	return k
}

func TestEveryLanguageHasEveryText(t *testing.T) {
	for _, l := range languages {
		for _, other := range languages {
			for key := range other.texts {
				if !l.Has(base(key)) {
					t.Errorf("%s lacks %q, which %s has", l.Code(), key, other.Code())
				}
			}
		}
	}
}

func TestTextsOfOneKeyHaveTheSamePlaceholders(t *testing.T) {
	want := map[string][]string{}
	for key, text := range fallback().texts {
		want[base(key)] = placeholders(text)
	}
	for _, l := range languages {
		for key, text := range l.texts {
			if got := placeholders(text); !slices.Equal(got, want[base(key)]) {
				t.Errorf("%s %q has %v, want %v", l.Code(), key, got, want[base(key)])
			}
			if rest := placeholder.ReplaceAllString(text, ""); strings.ContainsAny(rest, "{}") {
				t.Errorf("%s %q has a malformed placeholder: %s", l.Code(), key, text)
			}
			if strings.TrimSpace(text) == "" || strings.Contains(text, "  ") && !strings.Contains(text, "\n") {
				t.Errorf("%s %q is empty or has double spaces: %q", l.Code(), key, text)
			}
		}
	}
}

func TestCountedTextsHaveEveryPluralFormOfTheirLanguage(t *testing.T) {
	for _, l := range languages {
		needed := map[string]bool{}
		for n := range 1001 {
			needed[l.form(n)] = true
		}
		for key := range l.texts {
			if base(key) == key {
				continue
			}
			for form := range maps.Keys(needed) {
				if _, ok := l.texts[base(key)+"#"+form]; !ok {
					t.Errorf("%s lacks %s#%s", l.Code(), base(key), form)
				}
			}
		}
	}
}

// A table that overwrote another's key would hide a text without a word.
func TestNoKeyStandsInTwoTables(t *testing.T) {
	for _, tables := range [][]table{{enSite, enProof, enStaff, enWallet, enResult, enMail, enConsole}, {deSite, deProof, deStaff, deWallet, deResult, deMail, deConsole}} {
		seen := table{}
		for _, tab := range tables {
			for key := range tab {
				if _, ok := seen[key]; ok {
					t.Errorf("%q stands twice", key)
				}
				seen[key] = ""
			}
		}
	}
}

func TestLanguageIsChosenByWishThenByTheEnvironment(t *testing.T) {
	for _, c := range []struct {
		name    string
		offered []string
		wishes  []string
		want    string
	}{
		{"no wish", nil, nil, "en"},
		{"no wish, German environment", []string{"de", "en"}, []string{"", ""}, "de"},
		{"query before header", nil, []string{"de", "en-GB,en;q=0.9"}, "de"},
		{"header with a region", nil, []string{"", "de-AT,de;q=0.9,en;q=0.5"}, "de"},
		{"header of an unknown language", []string{"de", "en"}, []string{"", "fi"}, "de"},
		{"second wish of the header", nil, []string{"", "fi,de;q=0.5"}, "de"},
		{"not offered", []string{"en"}, []string{"de", "de"}, "en"},
		{"malformed", nil, []string{"<script>", "de"}, "de"},
		{"too long", nil, []string{strings.Repeat("de,", 100), "de"}, "de"},
		{"unknown offer", []string{"xx"}, []string{"de"}, "de"},
	} {
		if got := Choose(c.offered, c.wishes...).Code(); got != c.want {
			t.Errorf("%s: %s, want %s", c.name, got, c.want)
		}
	}
}

func TestTextsSpeakTheReadersForm(t *testing.T) {
	de, en := Choose(nil, "de"), Choose(nil, "en")
	at := time.Date(2026, time.March, 5, 9, 7, 0, 0, time.UTC)
	berlin := at.In(time.FixedZone("CET", 3600))
	nameless := at.In(time.FixedZone("", -5*3600))
	for _, c := range []struct{ got, want string }{
		{en.DateTime(at), "5 March 2026, 09:07 UTC"},
		{de.DateTime(berlin), "5. März 2026, 10:07 Uhr (CET)"},
		{en.Clock(nameless), "04:07 UTC-05:00"},
		{en.Text("prove.tries", "n", 1), "You have 1 try left."},
		{de.Text("prove.tries", "n", 3), "Sie haben noch 3 Versuche."},
		{de.Duration(59 * time.Second), "59 Sekunden"},
		{en.Duration(61 * time.Second), "2 minutes"},
		{de.Duration(time.Minute), "1 Minute"},
		{en.Duration(24 * time.Hour), "24 hours"},
		{en.Duration(72 * time.Hour), "3 days"},
		{en.Duration(-time.Second), "0 seconds"},
		{de.Text("time.days", "n", 12345), "12.345 Tage"},
		{en.Text("common.until", "until", at), "You can finish this until 5 March 2026, 09:07 UTC."},
		{en.Text("ready.account", "account", "{site} & Co"), "Account: {site} & Co"},
	} {
		if c.got != c.want {
			t.Errorf("got %q, want %q", c.got, c.want)
		}
	}
}

func TestMissingTextsComeFromEnglishAndThenShowTheirKey(t *testing.T) {
	arabic := speak(language.Arabic, "العربية", table{"common.back": "رجوع"})
	if arabic.Dir() != "rtl" || arabic.Code() != "ar" {
		t.Errorf("direction %s of %s", arabic.Dir(), arabic.Code())
	}
	if got := arabic.Text("common.back"); got != "رجوع" {
		t.Error("own text:", got)
	}
	if got := arabic.Text("prove.tries", "n", 2); got != "You have 2 tries left." {
		t.Error("fallback:", got)
	}
	if got := fallback().Text("no.such.key"); got != "no.such.key" {
		t.Error("unknown key:", got)
	}
}

func TestDeviceIsSaidInOurWordsOnly(t *testing.T) {
	en := Choose(nil, "en")
	for ua, want := range map[string]string{
		"Mozilla/5.0 (Windows NT 10.0; Win64; x64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0.0.0 Safari/537.36 Edg/140.0.0.0":           "Edge, Windows",
		"Mozilla/5.0 (iPhone; CPU iPhone OS 18_0 like Mac OS X) AppleWebKit/605.1.15 (KHTML, like Gecko) Version/18.0 Mobile/15E148 Safari/604.1": "Safari, iPhone",
		"Mozilla/5.0 (X11; Linux x86_64; rv:140.0) Gecko/20100101 Firefox/140.0":                                                                  "Firefox, Linux",
		"curl/8.1 <b>hello</b>": "an unknown device",
		"":                      "an unknown device",
		"Linux":                 "Linux",
	} {
		if got := en.Device(ua); got != want {
			t.Errorf("%q: %q, want %q", ua, got, want)
		}
	}
}

func FuzzChoose(f *testing.F) {
	f.Add("de-AT,de;q=0.9,en;q=0.5")
	f.Add("x-;q=")
	f.Fuzz(func(t *testing.T, wish string) {
		if l := Choose([]string{"de", "en"}, wish); l == nil {
			t.Error("no language")
		}
	})
}

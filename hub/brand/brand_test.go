package brand

import (
	"errors"
	"fmt"
	"testing"
)

func contrast(t *testing.T, a, b string) float64 {
	t.Helper()
	r, err := Contrast(a, b)
	if err != nil {
		t.Fatal(err)
	}
	return r
}

func TestContrastIsThatOfTheStandard(t *testing.T) {
	for _, c := range []struct {
		a, b string
		want string
	}{
		{"#000000", "#ffffff", "21.00"},
		{"#fff", "#ffffff", "1.00"},
		{"#767676", "#ffffff", "4.54"}, // the well-known lightest grey for text on white
		{"#777777", "#ffffff", "4.48"},
	} {
		if got := fmt.Sprintf("%.2f", contrast(t, c.a, c.b)); got != c.want {
			t.Errorf("%s on %s: %s, want %s", c.a, c.b, got, c.want)
		}
	}
}

func TestEveryAcceptedAccentIsReadableOnBothGrounds(t *testing.T) {
	refused := 0
	for i := range 16 * 16 * 16 {
		accent := fmt.Sprintf("#%x%x%x", i>>8, i>>4&15, i&15)
		p, err := Derive(accent)
		var low *ContrastError
		if errors.As(err, &low) {
			refused++
			if _, err := Derive(low.Suggestion); err != nil {
				t.Errorf("%s: the suggestion %s is refused as well: %v", accent, low.Suggestion, err)
			}
			continue
		}
		if err != nil {
			t.Fatal(accent, err)
		}
		for _, pair := range []struct {
			what, a, b string
			least      float64
		}{
			{"text on the accent", p.OnAccent, p.Accent, 4.5},
			{"link", p.Link, Paper, 4.5},
			{"link in a box", p.Link, Tint, 4.5},
			{"text on the dark page's accent", p.OnNight, p.NightAccent, 4.5},
			{"button on the dark page", p.NightAccent, Night, 3},
			{"link on the dark page", p.NightLink, Night, 4.5},
			{"link in a box on the dark page", p.NightLink, NightTint, 4.5},
		} {
			if got := contrast(t, pair.a, pair.b); got < pair.least {
				t.Errorf("%s: %s has %.2f:1, want %.1f:1", accent, pair.what, got, pair.least)
			}
		}
	}
	if refused == 0 {
		t.Error("no accent was refused: the refusal is not tested")
	}
}

func TestOnlyColoursAreTaken(t *testing.T) {
	for _, bad := range []string{"red", "#12", "#1234567", "123456", "#12345g", "#+12345", "url(x)", "#fff;}"} {
		if _, err := Derive(bad); !errors.Is(err, ErrColor) {
			t.Errorf("%q: %v", bad, err)
		}
	}
	p, err := Derive("")
	if err != nil || p.Accent != Default {
		t.Errorf("default accent: %v, %v", p, err)
	}
}

func FuzzDerive(f *testing.F) {
	f.Add("#1d5c8f")
	f.Add("#fff")
	f.Fuzz(func(t *testing.T, text string) {
		p, err := Derive(text)
		if err == nil && (len(p.Accent) != 7 || len(p.NightLink) != 7) {
			t.Errorf("%q became %v", text, p)
		}
	})
}

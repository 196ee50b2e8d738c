// Package brand decides by measured contrast whether an environment's accent colour can
// carry text, derives the other colours that pages need from it, and writes logos anew so
// that they hold nothing but a picture. It is pure and knows neither pages nor where
// anything is kept.
package brand

import (
	"errors"
	"fmt"
	"math"
	"strconv"
)

// Limits of WCAG 2.2: text against its ground (1.4.3), shapes against theirs (1.4.11).
const (
	textContrast  = 4.5
	shapeContrast = 3.0
)

// Default is the accent of an environment that has chosen none.
const Default = "#1d5c8f"

// Ground colours and text colours of pages. The stylesheet has the same values; a test
// compares them.
const (
	Paper     = "#ffffff" // ground of light pages
	Tint      = "#eef2f6" // ground of boxes on them
	Night     = "#14181d" // ground of dark pages
	NightTint = "#1d242b" // ground of boxes on them
	Ink       = "#14181d" // text on light accents; on dark ones it is white
)

// ErrColor says that a text is no colour.
var ErrColor = errors.New("brand: a colour is written #rrggbb or #rgb")

// A ContrastError refuses an accent on which neither of the two text colours is
// readable.
type ContrastError struct {
	Best       float64 // contrast that can be had
	Suggestion string  // nearest darker colour that works
}

// Error implements error; the text is for administrators.
func (e *ContrastError) Error() string {
	return fmt.Sprintf("brand: text on this colour has a contrast of only %.2f:1, it needs %.1f:1; %s works", e.Best, textContrast, e.Suggestion)
}

// A Palette is the accent and what is derived from it, as CSS colours.
type Palette struct {
	Accent, OnAccent     string // buttons on light pages, and the text on them
	Link                 string // links and edges on light pages: the accent, darkened where it must be
	NightAccent, OnNight string // the same on dark pages
	NightLink            string
}

// Derive returns the palette of an accent, or a *ContrastError or ErrColor. An empty
// accent is Default.
func Derive(accent string) (Palette, error) {
	if accent == "" {
		accent = Default
	}
	c, err := parse(accent)
	if err != nil {
		return Palette{}, err
	}
	on, contrast := textOn(c)
	if contrast < textContrast {
		return Palette{}, &ContrastError{contrast, darken(c, func(d color) bool { return ratio(d, white) >= textContrast }).String()}
	}
	night := lighten(c, func(d color) bool {
		_, text := textOn(d)
		return ratio(d, dark) >= shapeContrast && text >= textContrast
	})
	onNight, _ := textOn(night)
	return Palette{
		Accent: c.String(), OnAccent: on.String(),
		Link:        darken(c, func(d color) bool { return ratio(d, tint) >= textContrast }).String(),
		NightAccent: night.String(), OnNight: onNight.String(),
		NightLink: lighten(c, func(d color) bool { return ratio(d, nightTint) >= textContrast }).String(),
	}, nil
}

// Contrast returns the contrast ratio of two colours, 1 to 21 (WCAG 2.2, "contrast
// ratio"), or ErrColor.
func Contrast(a, b string) (float64, error) {
	x, err := parse(a)
	if err != nil {
		return 0, err
	}
	y, err := parse(b)
	if err != nil {
		return 0, err
	}
	return ratio(x, y), nil
}

type color [3]uint8

var (
	white     = color{0xff, 0xff, 0xff}
	dark      = color{0x14, 0x18, 0x1d} // Ink and Night
	tint      = color{0xee, 0xf2, 0xf6}
	nightTint = color{0x1d, 0x24, 0x2b}
)

// String writes the colour for CSS.
func (c color) String() string { return fmt.Sprintf("#%02x%02x%02x", c[0], c[1], c[2]) }

func parse(text string) (color, error) {
	if len(text) == 4 && text[0] == '#' {
		text = string([]byte{'#', text[1], text[1], text[2], text[2], text[3], text[3]})
	}
	if len(text) != 7 || text[0] != '#' {
		return color{}, ErrColor
	}
	n, err := strconv.ParseUint(text[1:], 16, 24)
	if err != nil {
		return color{}, ErrColor
	}
	return color{uint8(n >> 16), uint8(n >> 8), uint8(n)}, nil
}

// luminance is the relative luminance of WCAG 2.2.
func luminance(c color) float64 {
	lin := func(b uint8) float64 {
		s := float64(b) / 255
		if s <= 0.04045 {
			return s / 12.92
		}
		return math.Pow((s+0.055)/1.055, 2.4)
	}
	return 0.2126*lin(c[0]) + 0.7152*lin(c[1]) + 0.0722*lin(c[2])
}

func ratio(a, b color) float64 {
	x, y := luminance(a), luminance(b)
	return (max(x, y) + 0.05) / (min(x, y) + 0.05)
}

// textOn returns the better of the two text colours, white where both will do.
func textOn(c color) (color, float64) {
	if w := ratio(c, white); w >= textContrast || w >= ratio(c, dark) {
		return white, w
	}
	return dark, ratio(c, dark)
}

func darken(c color, good func(color) bool) color  { return blend(c, color{}, good) }
func lighten(c color, good func(color) bool) color { return blend(c, white, good) }

// blend moves the colour towards an end until it is good; the end itself is.
func blend(c, end color, good func(color) bool) color {
	const steps = 100
	for i := range steps {
		var d color
		for k := range d {
			d[k] = uint8((int(c[k])*(steps-i) + int(end[k])*i) / steps)
		}
		if good(d) {
			return d
		}
	}
	return end
}

package capture

import (
	"bytes"
	"errors"
	"image"
	"image/color"
	"image/jpeg"
	"slices"
	"testing"
)

// portrait draws a head before a wall: skin, hair, eyes, and light that the case gives.
func portrait(t *testing.T, w, h int, light func(x, y int, v uint8) uint8) []byte {
	t.Helper()
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			v := uint8(190)
			dx, dy := float64(x-w/2)/float64(w)*3.2, float64(y-h/2)/float64(h)*2.4
			switch r := dx*dx + dy*dy; {
			case r < 0.5 && (y/6+x/6)%9 == 0: // lines of a face
				v = 70
			case r < 0.5:
				v = 150
			case r < 0.75:
				v = 40
			}
			if light != nil {
				v = light(x, y, v)
			}
			m.Set(x, y, color.RGBA{v, v, v, 255})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	clean, err := Clean(b.Bytes())
	if err != nil {
		t.Fatal(err)
	}
	return clean
}

func TestFlawsOfPortraits(t *testing.T) {
	for name, c := range map[string]struct {
		w, h  int
		light func(x, y int, v uint8) uint8
		want  []Flaw
	}{
		"good":    {600, 800, nil, nil},
		"large":   {2400, 3200, nil, nil},
		"small":   {200, 260, nil, []Flaw{TooSmall}},
		"a strip": {400, 1000, nil, []Flaw{TooWide}},
		"dark":    {600, 800, func(_, _ int, v uint8) uint8 { return v / 5 }, []Flaw{TooDark}},
		"bright":  {600, 800, func(_, _ int, v uint8) uint8 { return 215 + v/5 }, []Flaw{TooLight}},
		"fog":     {600, 800, func(_, _ int, v uint8) uint8 { return 120 + v/20 }, []Flaw{TooFlat}},
		"a smear": {600, 800, func(_, y int, _ uint8) uint8 { return uint8(y * 255 / 800) }, []Flaw{Blurred}},
	} {
		got, err := Flaws(portrait(t, c.w, c.h, c.light))
		if err != nil || !slices.Equal(got, c.want) {
			t.Errorf("%s: %v, want %v (%v)", name, got, c.want, err)
		}
	}
	if _, err := Flaws([]byte("no picture")); !errors.Is(err, ErrImage) {
		t.Error(err)
	}
}

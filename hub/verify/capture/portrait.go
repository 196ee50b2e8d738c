package capture

import (
	"bytes"
	"image"
	"image/jpeg"
)

// A Flaw is why a portrait cannot be used as it is. What a face needs, whose it is and what
// stands behind it, a program of the operator or a person must judge.
type Flaw string

// Flaws that can be measured.
const (
	TooSmall Flaw = "small"
	TooWide  Flaw = "wide" // or too high, so that a face fills too little of it
	TooDark  Flaw = "dark"
	TooLight Flaw = "bright"
	TooFlat  Flaw = "flat" // nothing stands out: fog, a covered lens
	Blurred  Flaw = "blurred"
)

// Limits of a portrait. They refuse only what nobody could recognise somebody on.
const (
	minPortrait = 300 // pixels of the shorter edge: 25 mm at 300 dpi
	maxRatio    = 2   // of the edges
	minMean     = 40  // of the luminance, 0 to 255
	maxMean     = 225
	minSpread   = 14 // standard deviation of the luminance
	minSharp    = 8  // variance of the Laplacian at measureSide
	measureSide = 512
)

// Flaws returns what is wrong with a portrait that Clean wrote, in the order in which a
// person mends it; none: nothing. ErrImage for anything else.
func Flaws(clean []byte) (all []Flaw, err error) {
	m, err := jpeg.Decode(bytes.NewReader(clean))
	if err != nil {
		return nil, ErrImage
	}
	w, h := m.Bounds().Dx(), m.Bounds().Dy()
	g := luminance(m)
	mean, spread := g.moments()
	lit := mean >= minMean && mean <= maxMean // otherwise the light is what is to be mended
	for _, f := range []struct {
		flaw Flaw
		is   bool
	}{
		{TooSmall, min(w, h) < minPortrait}, {TooWide, max(w, h) > maxRatio*min(w, h)},
		{TooDark, mean < minMean}, {TooLight, mean > maxMean},
		{TooFlat, lit && spread < minSpread*minSpread}, {Blurred, lit && spread >= minSpread*minSpread && g.sharpness() < minSharp},
	} {
		if f.is {
			all = append(all, f.flaw)
		}
	}
	return all, nil
}

// grey is a picture's luminance.
type grey struct {
	w, h int
	pix  []float64
}

// luminance measures a picture at no more than measureSide, so that one limit holds for
// pictures of any size.
func luminance(m image.Image) grey {
	b := m.Bounds()
	step := max(1, (max(b.Dx(), b.Dy())+measureSide-1)/measureSide)
	g := grey{w: b.Dx() / step, h: b.Dy() / step}
	g.pix = make([]float64, g.w*g.h)
	for y := range g.h {
		for x := range g.w {
			g.pix[y*g.w+x] = meanLuminance(m, b.Min.X+x*step, b.Min.Y+y*step, step)
		}
	}
	return g
}

// meanLuminance is that of a square of pixels (ITU-R BT.601).
func meanLuminance(m image.Image, x0, y0, side int) float64 {
	sum := 0.0
	for y := y0; y < y0+side; y++ {
		for x := x0; x < x0+side; x++ {
			r, g, b, _ := m.At(x, y).RGBA()
			sum += (0.299*float64(r) + 0.587*float64(g) + 0.114*float64(b)) / 257
		}
	}
	return sum / float64(side*side)
}

// moments returns mean and variance.
func (g grey) moments() (mean, variance float64) {
	if len(g.pix) == 0 {
		return 0, 0
	}
	for _, v := range g.pix {
		mean += v
	}
	mean /= float64(len(g.pix))
	for _, v := range g.pix {
		variance += (v - mean) * (v - mean)
	}
	return mean, variance / float64(len(g.pix))
}

// sharpness is the variance of the Laplacian: little where edges are smeared.
func (g grey) sharpness() float64 {
	edges := grey{w: max(0, g.w-2), h: max(0, g.h-2)}
	for y := 1; y < g.h-1; y++ {
		for x := 1; x < g.w-1; x++ {
			at := y*g.w + x
			edges.pix = append(edges.pix, g.pix[at-1]+g.pix[at+1]+g.pix[at-g.w]+g.pix[at+g.w]-4*g.pix[at])
		}
	}
	_, variance := edges.moments()
	return variance
}

package review

import (
	"bytes"
	"image"
	"image/color"
	"image/draw"
	"image/jpeg"
	"strings"
)

// glyphs are five columns by seven rows, one byte a row, of the characters in marks.
var glyphs = map[rune][7]byte{
	'0': {14, 17, 19, 21, 25, 17, 14}, '1': {4, 12, 4, 4, 4, 4, 14}, '2': {14, 17, 1, 2, 4, 8, 31}, '3': {31, 2, 4, 2, 1, 17, 14},
	'4': {2, 6, 10, 18, 31, 2, 2}, '5': {31, 16, 30, 1, 1, 17, 14}, '6': {6, 8, 16, 30, 17, 17, 14}, '7': {31, 1, 2, 4, 8, 8, 8},
	'8': {14, 17, 17, 14, 17, 17, 14}, '9': {14, 17, 17, 15, 1, 2, 12}, '-': {0, 0, 0, 31, 0, 0, 0}, ':': {0, 4, 4, 0, 4, 4, 0},
	'A': {14, 17, 17, 17, 31, 17, 17}, 'B': {30, 17, 17, 30, 17, 17, 30}, 'C': {14, 17, 16, 16, 16, 17, 14}, 'D': {28, 18, 17, 17, 17, 18, 28},
	'E': {31, 16, 16, 30, 16, 16, 31}, 'F': {31, 16, 16, 30, 16, 16, 16}, 'G': {14, 17, 16, 23, 17, 17, 15}, 'H': {17, 17, 17, 31, 17, 17, 17},
	'I': {14, 4, 4, 4, 4, 4, 14}, 'J': {7, 2, 2, 2, 2, 18, 12}, 'K': {17, 18, 20, 24, 20, 18, 17}, 'L': {16, 16, 16, 16, 16, 16, 31},
	'M': {17, 27, 21, 21, 17, 17, 17}, 'N': {17, 17, 25, 21, 19, 17, 17}, 'O': {14, 17, 17, 17, 17, 17, 14}, 'P': {30, 17, 17, 30, 16, 16, 16},
	'Q': {14, 17, 17, 17, 21, 18, 13}, 'R': {30, 17, 17, 30, 20, 18, 17}, 'S': {15, 16, 16, 14, 1, 1, 30}, 'T': {31, 4, 4, 4, 4, 4, 4},
	'U': {17, 17, 17, 17, 17, 17, 14}, 'V': {17, 17, 17, 17, 17, 10, 4}, 'W': {17, 17, 17, 21, 21, 21, 10}, 'X': {17, 17, 10, 4, 10, 17, 17},
	'Y': {17, 17, 17, 10, 4, 4, 4}, 'Z': {31, 1, 2, 4, 8, 16, 31},
}

// mark writes a line across a picture, several times, so that a photograph of the screen
// tells who took it.
func mark(body []byte, text string) ([]byte, error) {
	m, err := jpeg.Decode(bytes.NewReader(body))
	if err != nil {
		return nil, err
	}
	out := image.NewRGBA(m.Bounds())
	draw.Draw(out, out.Bounds(), m, m.Bounds().Min, draw.Src)
	b := out.Bounds()
	text = strings.ToUpper(text)
	size := max(1, b.Dx()/(6*max(1, len(text))))
	step := max(8*size, b.Dy()/4)
	for i, y := 0, b.Min.Y+step/2; y < b.Max.Y; i, y = i+1, y+step {
		write(out, text, b.Min.X+(i%2)*3*size, y, size)
	}
	var w bytes.Buffer
	err = jpeg.Encode(&w, out, &jpeg.Options{Quality: 85})
	return w.Bytes(), err
}

// write draws a line of text, half transparent.
func write(m *image.RGBA, text string, x, y, size int) {
	for i, r := range []rune(text) {
		for row, bits := range glyphs[r] {
			for col := range 5 {
				if bits&(16>>col) == 0 {
					continue
				}
				at := image.Rect(0, 0, size, size).Add(image.Pt(x+(6*i+col)*size, y+row*size))
				draw.Draw(m, at, image.NewUniform(ink), image.Point{}, draw.Over)
			}
		}
	}
}

var ink = color.NRGBA{R: 255, G: 255, B: 255, A: 120}

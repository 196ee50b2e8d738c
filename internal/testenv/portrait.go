package testenv

import (
	"bytes"
	"image"
	"image/color"
	"image/jpeg"
	"testing"
)

// Portrait draws a head before a wall, as a JPEG: dark divides the light.
func Portrait(t testing.TB, dark int) []byte {
	t.Helper()
	m := image.NewGray(image.Rect(0, 0, 480, 640))
	for y := range 640 {
		for x := range 480 {
			v := 200
			if dx, dy := float64(x-240)/150, float64(y-280)/200; dx*dx+dy*dy < 1 {
				v = 90 + 60*((x/10+y/10)%2)
			}
			m.SetGray(x, y, color.Gray{uint8(v / dark)})
		}
	}
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

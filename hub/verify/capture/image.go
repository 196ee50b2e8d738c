package capture

import (
	"bytes"
	"errors"
	"image"
	"image/draw"
	"image/gif"
	"image/jpeg"
	"image/png"

	"golang.org/x/image/tiff"
	"golang.org/x/image/webp"
)

// Bounds of pictures (P21). They hold before a picture is decoded.
const (
	MaxImage  = 7 << 20    // bytes, as sent
	maxPixels = 24_000_000 // a phone's camera; decoded about 100 MB at most
	maxSide   = 20_000     // of one edge, so that no picture is a line
	keptSide  = 2_000      // longest edge of what is kept: print of 1 mm stays legible
	quality   = 88         // of the JPEG that is kept
)

// ErrImage says that something is not a picture that is taken: too large, of another
// format than JPEG, PNG and WebP, or broken.
var ErrImage = errors.New("capture: not a picture that is taken")

// A format is a kind of file, known by its first bytes and by nothing that the sender says.
type format struct {
	known  func(raw []byte) bool
	config func(raw []byte) (image.Config, error)
	decode func(raw []byte) (image.Image, error)
}

var formats = []format{
	{
		isJPEG,
		jpegConfig,
		func(b []byte) (image.Image, error) { return jpeg.Decode(bytes.NewReader(b)) },
	},
	{
		func(b []byte) bool { return bytes.HasPrefix(b, []byte("\x89PNG\r\n\x1a\n")) },
		func(b []byte) (image.Config, error) { return png.DecodeConfig(bytes.NewReader(b)) },
		func(b []byte) (image.Image, error) { return png.Decode(bytes.NewReader(b)) },
	},
	{
		func(b []byte) bool { return len(b) > 12 && string(b[:4]) == "RIFF" && string(b[8:12]) == "WEBP" },
		func(b []byte) (image.Config, error) { return webp.DecodeConfig(bytes.NewReader(b)) },
		func(b []byte) (image.Image, error) { return webp.Decode(bytes.NewReader(b)) },
	},
}

// more are the formats that photos of administrators come in besides.
var more = []format{
	{
		func(b []byte) bool { return bytes.HasPrefix(b, []byte("GIF8")) },
		func(b []byte) (image.Config, error) { return gif.DecodeConfig(bytes.NewReader(b)) },
		func(b []byte) (image.Image, error) { return gif.Decode(bytes.NewReader(b)) }, // its first picture
	},
	{
		func(b []byte) bool {
			return bytes.HasPrefix(b, []byte("II*\x00")) || bytes.HasPrefix(b, []byte("MM\x00*"))
		},
		func(b []byte) (image.Config, error) { return tiff.DecodeConfig(bytes.NewReader(b)) },
		func(b []byte) (image.Image, error) { return tiff.Decode(bytes.NewReader(b)) },
	},
}

// CleanPhoto is Clean for photos that administrators send: it takes GIF and TIFF too. SVG is
// a program that draws, and no decoder of AVIF is at hand that bounds its memory: neither
// is taken.
func CleanPhoto(raw []byte) ([]byte, error) {
	return clean(raw, append(formats[:len(formats):len(formats)], more...))
}

// Clean makes a new JPEG of what is seen in a picture, and of nothing else: no metadata,
// no place, no second file inside. It stands upright as the camera was held.
func Clean(raw []byte) ([]byte, error) { return clean(raw, formats) }

func clean(raw []byte, formats []format) ([]byte, error) {
	if len(raw) > MaxImage {
		return nil, ErrImage
	}
	for _, f := range formats {
		if !f.known(raw) {
			continue
		}
		c, err := f.config(raw)
		if err != nil || c.Width < 1 || c.Height < 1 || c.Width > maxSide || c.Height > maxSide || c.Width*c.Height > maxPixels {
			return nil, ErrImage
		}
		m, err := f.decode(raw)
		if err != nil {
			return nil, ErrImage
		}
		return encode(upright(shrink(m), orientation(raw)))
	}
	return nil, ErrImage
}

func encode(m image.Image) ([]byte, error) {
	var b bytes.Buffer
	err := jpeg.Encode(&b, m, &jpeg.Options{Quality: quality})
	return b.Bytes(), err
}

// shrink returns a picture whose longest edge is at most keptSide, each pixel the mean of
// those that it stands for, on white where it was transparent.
func shrink(m image.Image) *image.RGBA {
	full := image.NewRGBA(image.Rect(0, 0, m.Bounds().Dx(), m.Bounds().Dy()))
	draw.Draw(full, full.Bounds(), image.White, image.Point{}, draw.Src)
	draw.Draw(full, full.Bounds(), m, m.Bounds().Min, draw.Over)
	w, h := full.Bounds().Dx(), full.Bounds().Dy()
	long := max(w, h)
	if long <= keptSide {
		return full
	}
	out := image.NewRGBA(image.Rect(0, 0, max(1, w*keptSide/long), max(1, h*keptSide/long)))
	nw, nh := out.Bounds().Dx(), out.Bounds().Dy()
	for y := range nh {
		for x := range nw {
			mean(full, x*w/nw, y*h/nh, max((x+1)*w/nw, x*w/nw+1), max((y+1)*h/nh, y*h/nh+1), out.Pix[out.PixOffset(x, y):])
		}
	}
	return out
}

// mean writes the mean colour of a part of m.
func mean(m *image.RGBA, x0, y0, x1, y1 int, to []uint8) {
	var sum [4]int
	for y := y0; y < y1; y++ {
		row := m.Pix[m.PixOffset(x0, y) : m.PixOffset(x1-1, y)+4]
		for i, v := range row {
			sum[i%4] += int(v)
		}
	}
	n := (x1 - x0) * (y1 - y0)
	for i := range sum {
		to[i] = uint8(sum[i] / n)
	}
}

// upright turns and mirrors a picture by an orientation of EXIF (tag 0x0112), 1 to 8.
func upright(m *image.RGBA, orientation int) *image.RGBA {
	if orientation < 2 || orientation > 8 {
		return m
	}
	w, h := m.Bounds().Dx(), m.Bounds().Dy()
	out := image.NewRGBA(image.Rect(0, 0, w, h))
	if orientation > 4 {
		out = image.NewRGBA(image.Rect(0, 0, h, w))
	}
	for y := range h {
		for x := range w {
			to := [9]image.Point{{}, {}, {w - 1 - x, y}, {w - 1 - x, h - 1 - y}, {x, h - 1 - y}, {y, x}, {h - 1 - y, x}, {h - 1 - y, w - 1 - x}, {y, w - 1 - x}}[orientation]
			out.SetRGBA(to.X, to.Y, m.RGBAAt(x, y))
		}
	}
	return out
}

package brand

import (
	"bytes"
	"errors"
	"image"
	"image/jpeg"
	"image/png"
	"io"
)

// Bounds of logos. They hold before a picture is decoded.
const (
	MaxLogo    = 1 << 20 // bytes, as sent
	maxKept    = 1 << 19 // bytes, as kept: a page loads it
	maxSide    = 2048    // pixels of an edge; decoded at most 16 MB
	jpgQuality = 90
)

// ErrLogo says that something is not a logo that is taken.
var ErrLogo = errors.New("brand: want a PNG or JPEG picture of at most 2048 by 2048 pixels, or an SVG drawing of plain shapes, of at most 1 MiB and not more than 512 KiB when written anew")

// Logo writes a picture anew, so that nothing is in it but what is seen: no metadata, no
// second file, no script. What it is says its content, never the sender. It returns the
// media type with the picture; errors wrap ErrLogo.
func Logo(raw []byte) (media string, clean []byte, err error) {
	switch {
	case len(raw) > MaxLogo:
		return "", nil, ErrLogo
	case bytes.HasPrefix(raw, []byte("\x89PNG\r\n\x1a\n")):
		media = "image/png"
		clean, err = redraw(raw, png.DecodeConfig, png.Decode, png.Encode)
	case bytes.HasPrefix(raw, []byte("\xff\xd8\xff")):
		media = "image/jpeg"
		clean, err = redraw(raw, jpeg.DecodeConfig, jpeg.Decode, encodeJPEG)
	default:
		media = "image/svg+xml"
		clean, err = cleanSVG(raw)
	}
	if err == nil && len(clean) > maxKept {
		err = ErrLogo
	}
	if err != nil {
		return "", nil, err
	}
	return media, clean, nil
}

func encodeJPEG(w io.Writer, m image.Image) error {
	return jpeg.Encode(w, m, &jpeg.Options{Quality: jpgQuality})
}

// redraw decodes a picture of a bounded size and encodes it again.
func redraw(raw []byte, config func(io.Reader) (image.Config, error), decode func(io.Reader) (image.Image, error), encode func(io.Writer, image.Image) error) ([]byte, error) {
	c, err := config(bytes.NewReader(raw))
	if err != nil || c.Width < 1 || c.Height < 1 || c.Width > maxSide || c.Height > maxSide {
		return nil, ErrLogo
	}
	m, err := decode(bytes.NewReader(raw))
	if err != nil {
		return nil, ErrLogo
	}
	var b bytes.Buffer
	err = encode(&b, m)
	return b.Bytes(), err
}

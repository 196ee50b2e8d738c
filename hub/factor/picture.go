package factor

import (
	"bytes"
	"fmt"
	"image"
	"image/draw"
	"image/png"

	"github.com/boombuler/barcode"
	"github.com/boombuler/barcode/qr"
)

// pictureSize is the side of a QR code as a picture, and pictureQuiet the margin that
// readers need around it, in pixels.
const (
	pictureSize  = 400
	pictureQuiet = 32
)

// QRImage draws a text as a picture, in PNG.
func QRImage(text string) ([]byte, error) {
	code, err := qr.Encode(text, qr.M, qr.Auto)
	if err == nil {
		code, err = barcode.Scale(code, pictureSize, pictureSize)
	}
	if err != nil {
		return nil, fmt.Errorf("factor: QR code: %w", err)
	}
	const side = pictureSize + 2*pictureQuiet
	page := image.NewGray(image.Rect(0, 0, side, side))
	draw.Draw(page, page.Bounds(), image.White, image.Point{}, draw.Src)
	draw.Draw(page, image.Rect(pictureQuiet, pictureQuiet, side-pictureQuiet, side-pictureQuiet), code, image.Point{}, draw.Src)
	var b bytes.Buffer
	err = png.Encode(&b, page)
	return b.Bytes(), err
}

package capture

import (
	"bytes"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"hash/crc32"
	"image"
	"image/color"
	"image/color/palette"
	"image/gif"
	"image/jpeg"
	"image/png"
	"strings"
	"testing"

	"golang.org/x/image/tiff"
)

// halves is a picture with a red left and a blue right half.
func halves(w, h int) *image.RGBA {
	m := image.NewRGBA(image.Rect(0, 0, w, h))
	for y := range h {
		for x := range w {
			c := color.RGBA{220, 0, 0, 255}
			if x >= w/2 {
				c = color.RGBA{0, 0, 220, 255}
			}
			m.SetRGBA(x, y, c)
		}
	}
	return m
}

func jpegOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, m, nil); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func pngOf(t testing.TB, m image.Image) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, m); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

// withEXIF puts a segment with an orientation and a secret into a JPEG.
func withEXIF(raw []byte, orientation byte) []byte {
	tiff := append([]byte("Exif\x00\x00MM\x00*\x00\x00\x00\x08\x00\x01\x01\x12\x00\x03\x00\x00\x00\x01\x00"), orientation, 0, 0, 0, 0, 0, 0)
	tiff = append(tiff, "GPS 48.2082 N 16.3738 E"...)
	seg := append([]byte{0xff, 0xe1}, binary.BigEndian.AppendUint16(nil, uint16(len(tiff)+2))...)
	return append(append(append([]byte{}, raw[:2]...), append(seg, tiff...)...), raw[2:]...)
}

// onePixel is a lossless WebP of one pixel.
const onePixel = "UklGRhoAAABXRUJQVlA4TA0AAAAvAAAAEAcQERGIiP4HAA=="

func TestP21_PicturesAreMadeAnew(t *testing.T) {
	web, err := base64.StdEncoding.DecodeString(onePixel)
	if err != nil {
		t.Fatal(err)
	}
	photo := jpegOf(t, halves(300, 200))
	for what, raw := range map[string][]byte{
		"JPEG": photo, "PNG": pngOf(t, halves(300, 200)), "WebP": web,
		"with a place": withEXIF(photo, 1), "with an archive behind": append(append([]byte{}, photo...), "PK\x03\x04 GPS 48.2082 N"...),
	} {
		clean, err := Clean(raw)
		if err != nil {
			t.Errorf("%s: %v", what, err)
			continue
		}
		if bytes.Contains(clean, []byte("GPS")) || bytes.Contains(clean, []byte("PK\x03\x04")) || bytes.Contains(clean, []byte("Exif")) {
			t.Errorf("%s: something of the file is left", what)
		}
		if _, err := jpeg.Decode(bytes.NewReader(clean)); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
}

func TestPicturesStandUpright(t *testing.T) {
	// where the red half is in the result: x, y in quarters of the picture
	red := map[byte][2]int{1: {1, 2}, 2: {3, 2}, 3: {3, 2}, 4: {1, 2}, 5: {2, 1}, 6: {2, 1}, 7: {2, 3}, 8: {2, 3}}
	for o, at := range red {
		clean, err := Clean(withEXIF(jpegOf(t, halves(80, 40)), o))
		if err != nil {
			t.Fatal(err)
		}
		m, err := jpeg.Decode(bytes.NewReader(clean))
		if err != nil {
			t.Fatal(err)
		}
		b := m.Bounds()
		if turned := b.Dx() < b.Dy(); turned != (o > 4) {
			t.Errorf("orientation %d: %v", o, b)
		}
		if r, _, blue, _ := m.At(b.Dx()*at[0]/4, b.Dy()*at[1]/4).RGBA(); r < 0x8000 || blue > 0x8000 {
			t.Errorf("orientation %d: not red at %v", o, at)
		}
	}
}

func TestLargePicturesAreMadeSmaller(t *testing.T) {
	clean, err := Clean(jpegOf(t, halves(4000, 1000)))
	if err != nil {
		t.Fatal(err)
	}
	c, err := jpeg.DecodeConfig(bytes.NewReader(clean))
	if err != nil || c.Width != keptSide || c.Height != keptSide/4 {
		t.Errorf("%d × %d, %v", c.Width, c.Height, err)
	}
}

// bomb is a PNG that says it has so many pixels, in a few bytes.
func bomb(w, h uint32) []byte {
	ihdr := binary.BigEndian.AppendUint32(binary.BigEndian.AppendUint32([]byte("IHDR"), w), h)
	ihdr = append(ihdr, 8, 6, 0, 0, 0)
	b := append([]byte("\x89PNG\r\n\x1a\n\x00\x00\x00\x0d"), ihdr...)
	return binary.BigEndian.AppendUint32(b, crc32.ChecksumIEEE(ihdr))
}

func TestP21_BombsAndOtherFilesAreRefusedBeforeDecoding(t *testing.T) {
	photo := jpegOf(t, halves(30, 20))
	for what, raw := range map[string][]byte{
		"nothing": nil, "SVG": []byte(`<svg xmlns="http://www.w3.org/2000/svg"/>`), "GIF": []byte("GIF89a\x01\x00\x01\x00"), "PDF": []byte("%PDF-1.7"), "HTML": []byte("<!doctype html>"),
		"60,000 × 60,000": bomb(60000, 60000), "a line": bomb(30000, 1), "24 million and one": bomb(6000, 4001), "no pixels": bomb(0, 4),
		"too many bytes": append(photo, make([]byte, MaxImage)...), "half a picture": photo[:len(photo)/3], "a text behind a JPEG's first bytes": []byte("\xff\xd8\xff" + strings.Repeat("x", 100)),
	} {
		if _, err := Clean(raw); err == nil {
			t.Errorf("%s was taken", what)
		}
	}
}

func TestPhotosOfAdministratorsMayBeGIFAndTIFF(t *testing.T) {
	m := image.NewPaletted(image.Rect(0, 0, 40, 20), palette.WebSafe)
	var asGIF, asTIFF bytes.Buffer
	if err := errors.Join(gif.Encode(&asGIF, m, nil), tiff.Encode(&asTIFF, m, &tiff.Options{Compression: tiff.Deflate})); err != nil {
		t.Fatal(err)
	}
	for name, raw := range map[string][]byte{"GIF": asGIF.Bytes(), "TIFF": asTIFF.Bytes()} {
		if out, err := CleanPhoto(raw); err != nil || !bytes.HasPrefix(out, []byte("\xff\xd8\xff")) {
			t.Errorf("%s: %.10q %v", name, out, err)
		}
		if _, err := Clean(raw); !errors.Is(err, ErrImage) {
			t.Errorf("%s of a phone: %v", name, err)
		}
		if _, err := CleanPhoto(raw[:len(raw)/2]); !errors.Is(err, ErrImage) {
			t.Errorf("half a %s: %v", name, err)
		}
	}
	large := bytes.Clone(asGIF.Bytes())
	copy(large[6:], []byte{0xff, 0xff, 0xff, 0xff}) // width and height
	if _, err := CleanPhoto(large); !errors.Is(err, ErrImage) {
		t.Errorf("65,535 by 65,535 pixels: %v", err)
	}
}

func FuzzPhoto(f *testing.F) {
	m := image.NewPaletted(image.Rect(0, 0, 4, 2), palette.WebSafe)
	var asGIF, asTIFF bytes.Buffer
	if err := errors.Join(gif.Encode(&asGIF, m, nil), tiff.Encode(&asTIFF, m, nil)); err != nil {
		f.Fatal(err)
	}
	f.Add(asGIF.Bytes())
	f.Add(asTIFF.Bytes())
	f.Fuzz(func(t *testing.T, raw []byte) {
		if out, err := CleanPhoto(raw); (err == nil) != (len(out) > 0) {
			t.Errorf("%d bytes, %v", len(out), err)
		}
	})
}

func FuzzImage(f *testing.F) {
	web, _ := base64.StdEncoding.DecodeString(onePixel)
	photo := jpegOf(f, halves(8, 8))
	for _, raw := range [][]byte{photo, pngOf(f, halves(3, 3)), web, withEXIF(photo, 6), bomb(9, 9)} {
		f.Add(raw)
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		if len(raw) > 64<<10 {
			return
		}
		if o := orientation(raw); o < 1 || o > 8 {
			t.Fatalf("orientation %d", o)
		}
		for _, form := range formats { // only small ones, so that the fuzzer gets on
			if c, err := form.config(raw); form.known(raw) && (err != nil || c.Width*c.Height > 1<<16) {
				return
			}
		}
		clean, err := Clean(raw)
		if err == nil && !bytes.HasPrefix(clean, []byte("\xff\xd8\xff")) {
			t.Fatal("not a JPEG")
		}
	})
}

// animated is a WebP of one pixel that says it moves: a VP8X chunk with the animation flag,
// and a frame.
func animated() []byte {
	chunk := func(name string, body []byte) []byte {
		return append(binary.LittleEndian.AppendUint32([]byte(name), uint32(len(body))), body...)
	}
	body := append([]byte("WEBP"), chunk("VP8X", []byte{2, 0, 0, 0, 0, 0, 0, 0, 0, 0})...)
	body = append(body, chunk("ANIM", []byte{0, 0, 0, 0, 0, 0})...)
	body = append(body, chunk("ANMF", make([]byte, 16))...)
	return chunk("RIFF", body)
}

// cmyk is a JPEG of four components, as printers use: each block is grey.
func cmyk(t *testing.T) []byte {
	t.Helper()
	raw := jpegOf(t, image.NewGray(image.Rect(0, 0, 8, 8))) // one component: its tables serve all four
	sof, sos := bytes.Index(raw, []byte{0xff, 0xc0}), bytes.Index(raw, []byte{0xff, 0xda})
	if sof < 0 || sos < 0 {
		t.Fatal("the encoder writes no baseline picture")
	}
	frame := []byte{0xff, 0xc0, 0, 20, 8, 0, 8, 0, 8, 4, 1, 0x11, 0, 2, 0x11, 0, 3, 0x11, 0, 4, 0x11, 0}
	scan := []byte{0xff, 0xda, 0, 14, 4, 1, 0, 2, 0, 3, 0, 4, 0, 0, 63, 0}
	length := func(at int) int { return 2 + int(binary.BigEndian.Uint16(raw[at+2:])) }
	var out []byte
	out = append(out, raw[:2]...)
	out = append(out, 0xff, 0xee, 0, 14, 'A', 'd', 'o', 'b', 'e', 0, 100, 0, 0, 0, 0, 0) // its colours are as they are
	out = append(append(out, raw[2:sof]...), frame...)
	out = append(append(out, raw[sof+length(sof):sos]...), scan...)
	return append(append(out, bytes.Repeat([]byte{0}, 100)...), 0xff, 0xd9)
}

// What phones and design programs send beside photos: one moving picture is none that is
// taken, and colours for print become those of a screen.
func TestP21_MovingPicturesAreRefusedAndColoursForPrintAreTaken(t *testing.T) {
	if out, err := Clean(animated()); !errors.Is(err, ErrImage) {
		t.Errorf("a WebP that moves: %d bytes, %v", len(out), err)
	}
	raw := cmyk(t)
	m, err := jpeg.Decode(bytes.NewReader(raw))
	if _, four := m.(*image.CMYK); err != nil || !four {
		t.Fatalf("the test's picture is %T, %v", m, err)
	}
	out, err := Clean(raw)
	if err != nil {
		t.Fatal(err)
	}
	if m, err := jpeg.Decode(bytes.NewReader(out)); err != nil || m.Bounds().Dx() != 8 {
		t.Errorf("written anew as %T, %v", m, err)
	} else if _, screen := m.(*image.YCbCr); !screen {
		t.Errorf("the colours are still those of print: %T", m)
	}
}

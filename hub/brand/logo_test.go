package brand

import (
	"bytes"
	"encoding/xml"
	"errors"
	"image"
	palette "image/color"
	"image/jpeg"
	"image/png"
	"io"
	"strings"
	"testing"
)

func picture(w, h int) image.Image {
	m := image.NewNRGBA(image.Rect(0, 0, w, h))
	m.Set(0, 0, palette.NRGBA{200, 10, 10, 128})
	return m
}

func pngOf(t testing.TB, w, h int) []byte {
	t.Helper()
	var b bytes.Buffer
	if err := png.Encode(&b, picture(w, h)); err != nil {
		t.Fatal(err)
	}
	return b.Bytes()
}

func TestP21_LogosAreWrittenAnewAndHoldNothingElse(t *testing.T) {
	var jpg bytes.Buffer
	if err := jpeg.Encode(&jpg, picture(40, 20), nil); err != nil {
		t.Fatal(err)
	}
	const canary = "<script>second file</script>"
	withMeta := append([]byte("\xff\xd8\xff\xfe\x00\x1e"), append([]byte(canary), jpg.Bytes()[2:]...)...)
	for what, c := range map[string]struct {
		raw   []byte
		media string
	}{
		"png":                   {append(pngOf(t, 512, 512), canary...), "image/png"},
		"jpeg with a comment":   {withMeta, "image/jpeg"},
		"jpeg with a tail":      {append(jpg.Bytes(), canary...), "image/jpeg"},
		"png of the last sizes": {pngOf(t, maxSide, 1), "image/png"},
	} {
		media, clean, err := Logo(c.raw)
		if err != nil || media != c.media || bytes.Contains(clean, []byte(canary)) {
			t.Errorf("%s: %s, %d bytes, %v", what, media, len(clean), err)
		}
		if m, _, err := image.Decode(bytes.NewReader(clean)); err != nil || m.Bounds().Empty() {
			t.Errorf("%s: what is kept is no picture: %v", what, err)
		}
	}
	for what, raw := range map[string][]byte{
		"nothing": nil, "text": []byte("hello"), "gif": []byte("GIF89a\x01\x00\x01\x00\x00\x00\x00;"), "too wide": pngOf(t, maxSide+1, 1),
		"half a picture": pngOf(t, 300, 300)[:60], "too long": append(pngOf(t, 1, 1), make([]byte, MaxLogo)...),
	} {
		if media, _, err := Logo(raw); !errors.Is(err, ErrLogo) {
			t.Errorf("%s: %s, %v", what, media, err)
		}
	}
}

const drawnLogo = `<?xml version="1.0" encoding="UTF-8" standalone="no"?>
<!DOCTYPE svg PUBLIC "-//W3C//DTD SVG 1.1//EN" "http://www.w3.org/Graphics/SVG/1.1/DTD/svg11.dtd">
<!-- drawn by hand -->
<svg xmlns="http://www.w3.org/2000/svg" xmlns:inkscape="http://www.inkscape.org/namespaces/inkscape" width="64" height="64" viewBox="0 0 64 64" inkscape:version="1">
<metadata><rdf>me</rdf></metadata><inkscape:page/><title>Acme</title>
<defs><linearGradient id="a"><stop offset="0" stop-color="#fff"/></linearGradient></defs>
<g transform="translate(1,2) rotate(-4.5)" style="fill:url(#a);-inkscape-x:y"><path d="M0 0 L1e1-2,3 z" fill-opacity=".5"/></g></svg>`

func TestDrawingsKeepTheirShapesAndLoseTheRest(t *testing.T) {
	media, clean, err := Logo([]byte(drawnLogo))
	if err != nil || media != "image/svg+xml" {
		t.Fatal(media, err)
	}
	want := `<svg xmlns="http://www.w3.org/2000/svg" width="64" height="64" viewBox="0 0 64 64"><title></title><defs><linearGradient id="a"><stop offset="0" stop-color="#fff"></stop></linearGradient></defs><g transform="translate(1,2) rotate(-4.5)" fill="url(#a)"><path d="M0 0 L1e1-2,3 z" fill-opacity=".5"></path></g></svg>`
	if string(clean) != want {
		t.Errorf("kept %s\nwant %s", clean, want)
	}
	if _, again, err := Logo(clean); err != nil || !bytes.Equal(again, clean) {
		t.Errorf("a clean drawing changes: %s, %v", again, err)
	}
}

// hostile are drawings that run or load something, each inside an otherwise plain one.
var hostile = []string{
	`<script>alert(1)</script>`, `<style>*{fill:url(https://x.test)}</style>`, `<foreignObject><b xmlns="http://www.w3.org/1999/xhtml" onclick="x">x</b></foreignObject>`,
	`<image href="https://x.test/a.png"/>`, `<use href="#a"/>`, `<a href="javascript:alert(1)"><path d="M0 0"/></a>`, `<path d="M0 0" onload="alert(1)"/>`,
	`<path d="M0 0" fill="url(https://x.test)"/>`, `<path d="M0 0" fill="url( #a )"/>`, `<path d="M0 0" style="fill:url(//x.test)"/>`, `<path d="M0 0" style="background:url(//x.test)"/>`,
	`<animate attributeName="d"/>`, `<set attributeName="fill" to="x"/>`, `<text>x</text>`, `<filter id="f"/>`, `<svg/>`, `<path d="&quot;/&gt;&lt;script&gt;"/>`, `<path fill="\75rl(x)"/>`, `<path d="&#x22; onload=&#x22;x"/>`,
}

func TestDrawingsThatRunOrLoadSomethingAreRefused(t *testing.T) {
	for _, part := range hostile {
		if _, clean, err := Logo([]byte(`<svg xmlns="http://www.w3.org/2000/svg">` + part + `</svg>`)); !errors.Is(err, ErrLogo) {
			t.Errorf("%s: %s, %v", part, clean, err)
		}
	}
	for _, whole := range []string{
		`<!DOCTYPE svg [<!ENTITY x "y">]><svg xmlns="http://www.w3.org/2000/svg"/>`, `<svg/>`, `<html xmlns="http://www.w3.org/1999/xhtml"/>`, `<svg xmlns="http://www.w3.org/2000/svg">`,
		`<svg xmlns="http://www.w3.org/2000/svg"/><svg xmlns="http://www.w3.org/2000/svg"/>`, `<svg xmlns="http://www.w3.org/2000/svg">` + strings.Repeat("<g>", 40) + strings.Repeat("</g>", 40) + `</svg>`,
		`<svg xmlns="http://www.w3.org/2000/svg">` + strings.Repeat("<g/>", maxElements) + `</svg>`, `<svg xmlns="http://www.w3.org/2000/svg">&nbsp;</svg>`,
	} {
		if _, clean, err := Logo([]byte(whole)); !errors.Is(err, ErrLogo) {
			t.Errorf("%.80s: %.80s, %v", whole, clean, err)
		}
	}
}

func FuzzLogo(f *testing.F) {
	f.Add([]byte(drawnLogo))
	f.Add(pngOf(f, 2, 2))
	for _, part := range hostile {
		f.Add([]byte(`<svg xmlns="http://www.w3.org/2000/svg">` + part + `</svg>`))
	}
	f.Fuzz(func(t *testing.T, raw []byte) {
		media, clean, err := Logo(raw)
		if err != nil || media != "image/svg+xml" {
			return
		}
		d := xml.NewDecoder(bytes.NewReader(clean))
		for {
			tok, err := d.Token()
			if err == io.EOF {
				return
			}
			if err != nil {
				t.Fatalf("what is kept is no XML: %s: %v", clean, err)
			}
			e, ok := tok.(xml.StartElement)
			if !ok {
				continue
			}
			if !drawn[e.Name.Local] || e.Name.Space != svgSpace {
				t.Fatalf("kept <%s> in %s", e.Name.Local, clean)
			}
			for _, a := range e.Attr {
				if a.Name.Local != "xmlns" && (!attribute[a.Name.Local] || !value.MatchString(a.Value)) {
					t.Fatalf("kept %s in %s", a.Name.Local, clean)
				}
			}
		}
	})
}

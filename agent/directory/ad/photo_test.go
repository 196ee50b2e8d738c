package ad

import (
	"bytes"
	"image"
	"image/jpeg"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

func TestPhotosComeFromTheFirstAttributeThatHasOne(t *testing.T) {
	s, d := open(t)
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 8, 8)), nil); err != nil {
		t.Fatal(err)
	}
	id, _, dn := person(t, s, "pictured", nil)
	look := func(what string, want []byte) {
		t.Helper()
		if got, err := d.Photo(t.Context(), id); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v; want %d", what, len(got), err, len(want))
		}
	}
	look("none", nil)
	s.Set(t, dn, map[string][]string{"jpegPhoto": {b.String()}})
	look("the second attribute", b.Bytes())
	s.Set(t, dn, map[string][]string{"thumbnailPhoto": {"<svg onload=alert(1)>"}})
	look("something else in the first one", b.Bytes())
	better := append(bytes.Clone(b.Bytes()), 0)
	s.Set(t, dn, map[string][]string{"thumbnailPhoto": {string(better)}})
	look("the first one", better)
	if directory.IsPicture(append([]byte{0xff, 0xd8, 0xff}, make([]byte, 7<<20)...)) {
		t.Error("a picture without a bound")
	}
	if _, err := d.Photo(t.Context(), "00000000-0000-4000-8000-000000000000"); protocol.CodeOf(err) != protocol.CodeAccountNotFound {
		t.Errorf("the photo of nobody: %v", err)
	}
}

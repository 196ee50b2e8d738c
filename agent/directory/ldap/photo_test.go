package ldap

import (
	"bytes"
	"encoding/base64"
	"image"
	"image/jpeg"
	"testing"

	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// photographed sets pictures of a person and looks what is read.
func photographed(t *testing.T, s interface{ Modify(testing.TB, string) }, d *Directory, id, dn string) {
	t.Helper()
	var b bytes.Buffer
	if err := jpeg.Encode(&b, image.NewGray(image.Rect(0, 0, 8, 8)), nil); err != nil {
		t.Fatal(err)
	}
	look := func(what string, want []byte) {
		t.Helper()
		if got, err := d.Photo(t.Context(), id); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%s: %d bytes, %v; want %d", what, len(got), err, len(want))
		}
	}
	set := func(values ...[]byte) {
		t.Helper()
		text := "dn: " + dn + "\nchangetype: modify\nreplace: jpegPhoto\n"
		for _, v := range values {
			text += "jpegPhoto:: " + base64.StdEncoding.EncodeToString(v) + "\n"
		}
		s.Modify(t, text)
	}
	look("none", nil)
	set([]byte("<svg onload=alert(1)>"))
	look("something else", nil)
	set(b.Bytes())
	look("a picture", b.Bytes())
	set()
	if _, err := d.Photo(t.Context(), testenv.SlapdID("uid=nobody")); protocol.CodeOf(err) != protocol.CodeAccountNotFound && protocol.CodeOf(err) != protocol.CodeBadRequest {
		t.Errorf("the photo of nobody: %v", err)
	}
}

func TestPhotosOnSlapd(t *testing.T) {
	s := testenv.StartSlapd(t, testenv.SlapdOptions{People: 1})
	id, dn := testenv.SlapdID(testenv.SlapdDN("anna")), testenv.SlapdDN("anna")
	photographed(t, s, openAt(t, configFor(t, s.Addr(), s.CAFile)), id, dn)
	s.Modify(t, "dn: "+dn+"\nchangetype: modify\nreplace: jpegPhoto\njpegPhoto:: "+base64.StdEncoding.EncodeToString([]byte{0xff, 0xd8, 0xff, 0xe0})+"\n")
	for _, c := range []struct {
		attributes []string
		want       int
	}{{[]string{}, 0}, {[]string{"corpStatus", "jpegPhoto"}, 4}} {
		cfg := configFor(t, s.Addr(), s.CAFile)
		cfg.PhotoAttributes = c.attributes
		if got, err := openAt(t, cfg).Photo(t.Context(), id); err != nil || len(got) != c.want {
			t.Errorf("%q: %d bytes, %v", c.attributes, len(got), err)
		}
	}
}

// A custom schema has the pictures that the file names.
func TestACustomSchemaHasNoPhotosUnlessItNamesThem(t *testing.T) {
	for _, profile := range []string{ProfileOpenLDAP, Profile389, ProfileFreeIPA} {
		if cfg, err := (Config{Profile: profile}).profiled(); err != nil || len(cfg.PhotoAttributes) != 1 || cfg.PhotoAttributes[0] != attrPhoto {
			t.Errorf("%s: %q, %v", profile, cfg.PhotoAttributes, err)
		}
	}
	wantKey(t, "photo_attributes", documentedCustom(t)+"\nphoto_attributes = [\"not an attribute\"]\n")
}

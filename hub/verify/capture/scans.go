package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image"
	"image/jpeg"
)

// maxScans is how often a JPEG may go over its pixels. Cameras do it once and progressive
// pictures a dozen times; each takes a decoder as long as the picture is large, and a few
// bytes of a file are enough to ask for it.
const maxScans = 64

var errScans = errors.New("capture: a JPEG that is drawn too often")

// jpegConfig is jpeg.DecodeConfig for a picture whose decoding ends soon.
func jpegConfig(raw []byte) (image.Config, error) {
	if Overdrawn(raw) {
		return image.Config{}, errScans
	}
	return jpeg.DecodeConfig(bytes.NewReader(raw))
}

// Overdrawn reports whether a picture is a JPEG that goes over its pixels too often to be
// decoded, whatever its size is.
func Overdrawn(raw []byte) bool { return isJPEG(raw) && scansOf(raw) > maxScans }

func isJPEG(raw []byte) bool { return bytes.HasPrefix(raw, []byte("\xff\xd8\xff")) }

// Markers of JPEG (ITU-T T.81, table B.1).
const (
	markerSOI  = 0xd8
	markerEOI  = 0xd9
	markerSOS  = 0xda
	markerFill = 0xff
)

// scansOf counts the scans of a JPEG. What stands inside of a segment is none: a small
// picture in the metadata is not drawn.
func scansOf(raw []byte) (n int) {
	for b := raw; ; {
		at := bytes.IndexByte(b, 0xff)
		if at < 0 || at+1 >= len(b) {
			return n
		}
		marker := b[at+1]
		switch b = b[at+2:]; {
		case marker == markerEOI:
			return n
		case marker == markerFill:
			b = raw[len(raw)-len(b)-1:] // may begin a marker itself
			continue
		case marker == 0, marker >= 0xd0 && marker <= markerSOI: // data of a scan, and markers without a length
			continue
		case marker == markerSOS:
			n++
		}
		if len(b) < 2 || int(binary.BigEndian.Uint16(b)) > len(b) {
			return n
		}
		b = b[binary.BigEndian.Uint16(b):]
	}
}

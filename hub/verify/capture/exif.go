package capture

import (
	"bytes"
	"encoding/binary"
)

// maxIFD bounds the entries of a directory of tags that are looked at.
const maxIFD = 128

// orientation returns how a JPEG says that the camera was held, 1 to 8, or 1. Nothing else
// of the metadata is read. (EXIF 2.32 section 4.6.2: a TIFF file in the segment APP1.)
func orientation(raw []byte) int {
	if !bytes.HasPrefix(raw, []byte("\xff\xd8")) {
		return 1
	}
	for b := raw[2:]; len(b) > 4 && b[0] == 0xff; {
		size := int(binary.BigEndian.Uint16(b[2:]))
		if size < 2 || len(b) < 2+size || b[1] == 0xda { // scan data follows
			break
		}
		if tiff, ok := bytes.CutPrefix(b[4:2+size], []byte("Exif\x00\x00")); b[1] == 0xe1 && ok {
			return tiffOrientation(tiff)
		}
		b = b[2+size:]
	}
	return 1
}

func tiffOrientation(b []byte) int {
	if len(b) < 10 {
		return 1
	}
	var order binary.ByteOrder = binary.BigEndian
	if b[0] == 'I' {
		order = binary.LittleEndian
	}
	at := order.Uint32(b[4:])
	if uint64(at)+2 > uint64(len(b)) {
		return 1
	}
	ifd := b[at:]
	n := min(int(order.Uint16(ifd)), maxIFD)
	for i := range n {
		e := 2 + 12*i
		if e+12 > len(ifd) {
			break
		}
		if v := order.Uint16(ifd[e+8:]); order.Uint16(ifd[e:]) == 0x0112 && v >= 1 && v <= 8 {
			return int(v)
		}
	}
	return 1
}

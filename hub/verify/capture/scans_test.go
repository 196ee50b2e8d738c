package capture

import (
	"bytes"
	"encoding/binary"
	"errors"
	"image/jpeg"
	"testing"
)

func segment(marker byte, body []byte) []byte {
	return append(binary.BigEndian.AppendUint16([]byte{0xff, marker}, uint16(len(body)+2)), body...)
}

// drawn is a progressive JPEG that goes over all of its pixels n times, in some forty bytes
// each: every scan says by runs of empty blocks that it adds nothing.
func drawn(w, h, n int) []byte {
	frame := binary.BigEndian.AppendUint16(binary.BigEndian.AppendUint16([]byte{8}, uint16(h)), uint16(w))
	codes := append(append([]byte{0x10, 1}, make([]byte, 15)...), 0xe0) // the one code, of the bit 0: a run of 2^14 blocks, and as many as the 14 bits behind it say
	b := append([]byte{0xff, markerSOI}, segment(0xdb, append([]byte{0}, bytes.Repeat([]byte{1}, 64)...))...)
	b = append(append(b, segment(0xc2, append(frame, 1, 1, 0x11, 0))...), segment(0xc4, codes)...)
	blocks := (w + 7) / 8 * ((h + 7) / 8)
	runs := blocks/(1<<15-1) + 1
	bits := make([]byte, (runs*15+7)/8)
	for i := range runs * 15 {
		if i%15 > 0 {
			bits[i/8] |= 0x80 >> (i % 8)
		}
	}
	scan := append(segment(markerSOS, []byte{1, 1, 0, 1, 63, 0}), bytes.ReplaceAll(bits, []byte{0xff}, []byte{0xff, 0})...)
	return append(append(b, bytes.Repeat(scan, n)...), 0xff, markerEOI)
}

func TestP21_APictureThatIsDrawnOverAndOverIsRefusedBeforeDecoding(t *testing.T) {
	for n, want := range map[int]error{1: nil, maxScans: nil, maxScans + 1: ErrImage} {
		raw := drawn(64, 64, n)
		if _, err := jpeg.Decode(bytes.NewReader(raw)); err != nil {
			t.Fatalf("%d scans: the test's picture is none: %v", n, err)
		}
		if _, err := Clean(raw); !errors.Is(err, want) {
			t.Errorf("%d scans: %v, want %v", n, err, want)
		}
	}
	if _, err := CleanPhoto(drawn(6000, 4000, 100_000)); !errors.Is(err, ErrImage) { // 4 MB that would take ten minutes
		t.Errorf("24 million pixels, over and over: %v", err)
	}
}

func TestScansAreCountedAsTheDecoderMeetsThem(t *testing.T) {
	one := drawn(64, 64, 1)
	many := bytes.Repeat([]byte{0xff, markerSOS}, 2*maxScans)
	for what, raw := range map[string][]byte{
		"another picture in the metadata": append(append(one[:2:2], segment(0xe1, many)...), one[2:]...),
		"something behind its end":        append(bytes.Clone(one), many...),
		"bytes that fill":                 append(append(one[:2:2], 0xff, 0xff), one[2:]...),
	} {
		if n := scansOf(raw); n != 1 {
			t.Errorf("%s: %d scans", what, n)
		}
		if _, err := Clean(raw); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for what, raw := range map[string][]byte{"nothing": nil, "a marker without a length": {0xff, markerSOI, 0xff, 0xe1}, "a length of nothing": {0xff, 0xe1, 0, 0}, "half a marker": {0xff}} {
		if n := scansOf(raw); n != 0 {
			t.Errorf("%s: %d scans", what, n)
		}
	}
}

package protocol

import (
	"bytes"
	"encoding/hex"
	"errors"
	"testing"
)

// golden frames: the layout of the package documentation, byte by byte.
var golden = []struct {
	name string
	f    frame
	hex  string
}{
	{"call get with a deadline of one second", frame{kindCall, uint8(PriorityLookup) << shiftPrio, 7, append([]byte{byte(MethodGet), 0, 0, 3, 0xe8}, `{}`...)}, "00000007" + "03" + "10" + "0000000000000007" + "03000003e8" + "7b7d"},
	{"reply", frame{kindReply, 0, 7, []byte(`{"accounts":null}`)}, "00000011" + "04" + "00" + "0000000000000007" + hex.EncodeToString([]byte(`{"accounts":null}`))},
	{"first part of a reply", frame{kindReply, flagMore, 8, []byte("ab")}, "00000002" + "04" + "01" + "0000000000000008" + "6162"},
	{"cancel", frame{kindCancel, 0, 8, nil}, "00000000" + "06" + "00" + "0000000000000008"},
	{"event", frame{kindEvent, 0, 0, append([]byte{5}, `state"active"`...)}, "0000000e" + "07" + "00" + "0000000000000000" + "05" + hex.EncodeToString([]byte(`state"active"`))},
	{"ping", frame{kind: kindPing}, "00000000" + "09" + "00" + "0000000000000000"},
}

func TestGoldenFrames(t *testing.T) {
	for _, g := range golden {
		b := appendFrame(nil, g.f)
		if got := hex.EncodeToString(b); got != g.hex {
			t.Errorf("%s:\n got %s\nwant %s", g.name, got, g.hex)
		}
		f, rest, err := nextFrame(b)
		if err != nil || len(rest) != 0 || f.kind != g.f.kind || f.flags != g.f.flags || f.id != g.f.id || !bytes.Equal(f.body, g.f.body) {
			t.Errorf("%s: decoded %+v, rest %x, %v", g.name, f, rest, err)
		}
	}
}

func TestAssemblerBoundsWhatIsOpen(t *testing.T) {
	var a assembler
	part := make([]byte, maxChunk)
	var err error
	for i := 0; err == nil && i < MaxBody/maxChunk+2; i++ {
		_, _, err = a.add(frame{kindReply, flagMore, 1, part})
	}
	if !errors.Is(err, errFrame) {
		t.Errorf("a body above %d bytes: %v", MaxBody, err)
	}
	a, err = assembler{}, nil
	for id := uint64(0); err == nil && id < 2*maxOpen/maxChunk; id++ {
		_, _, err = a.add(frame{kindReply, flagMore, id, part})
	}
	if !errors.Is(err, errFrame) {
		t.Errorf("many open bodies: %v", err)
	}
	a, err = assembler{}, nil
	for id := uint64(0); err == nil && id <= maxParts; id++ {
		_, _, err = a.add(frame{kindReply, flagMore, id, []byte("x")})
	}
	if !errors.Is(err, errFrame) || len(a.open) != maxParts {
		t.Errorf("P12: %d open bodies of one byte: %v", len(a.open), err)
	}
}

func TestUrgentFramesOvertakeBulk(t *testing.T) {
	w := newWriter(func([]byte) error { return nil })
	w.queue(frame{kind: kindReply, id: 1, body: make([]byte, 3*maxChunk)}, true)
	w.queue(frame{kind: kindReply, id: 2, body: []byte("urgent")}, false)
	f, _, err := nextFrame(w.takeLocked().frames)
	if err != nil || f.id != 2 {
		t.Errorf("first frame is of call %d, %v", f.id, err)
	}
}

func FuzzMessage(f *testing.F) {
	for _, g := range golden {
		f.Add(appendFrame(nil, g.f))
	}
	f.Fuzz(func(t *testing.T, msg []byte) {
		var a assembler
		for len(msg) > 0 {
			fr, rest, err := nextFrame(msg)
			if err != nil {
				return
			}
			if again := appendFrame(nil, fr); !bytes.Equal(again, msg[:len(again)]) {
				t.Fatalf("%x decodes to a frame that encodes to %x", msg, again)
			}
			if _, _, err := a.add(fr); err != nil {
				return
			}
			msg = rest
		}
		if a.bytes > maxOpen {
			t.Fatal("assembler above its bound")
		}
	})
}

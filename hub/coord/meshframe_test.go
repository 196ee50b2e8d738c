package coord

import (
	"bytes"
	"testing"
	"time"
)

func TestBatchesGiveBackTheirFrames(t *testing.T) {
	from, to := nodeID{1}, nodeID{2}
	key, err := pairKey(testMaster, from, to)
	must(t, err)
	long := bytes.Repeat([]byte("x"), frameBody+10)
	frames := appendFrames(appendFrames(nil, frameRequest, 7, []byte("short")), frameReply, 8, long)
	h := header{from, to, time.UnixMilli(1_800_000_000_123), 42, 41}
	batch := sealBatch(nil, key, h, frames)
	got, err := parseHeader(batch)
	must(t, err)
	if got != h {
		t.Errorf("header %v, want %v", got, h)
	}
	plain, err := openBatch(key, got, batch)
	must(t, err)
	var all []frame
	must(t, eachFrame(plain, func(f frame) error { all = append(all, f); return nil }))
	if len(all) != 3 || all[0].call != 7 || string(all[0].body) != "short" || all[0].flags != flagFirst ||
		all[1].flags != flagFirst|flagMore || len(all[1].body) != frameBody || all[2].flags != 0 || len(all[2].body) != 10 {
		t.Errorf("frames %v", all)
	}
}

func TestKeysDifferByDirection(t *testing.T) {
	a, b := nodeID{1}, nodeID{2}
	ab, err := pairKey(testMaster, a, b)
	must(t, err)
	ba, err := pairKey(testMaster, b, a)
	must(t, err)
	batch := sealBatch(nil, ab, header{from: a, to: b, count: 1}, []byte("frames"))
	if _, err := openBatch(ba, header{from: a, to: b, count: 1}, batch); err == nil {
		t.Error("opened with the key of the other direction")
	}
}

// FuzzBatch feeds the decoders of everything that a coordinator can hand to a node.
func FuzzBatch(f *testing.F) {
	key, _ := pairKey(testMaster, nodeID{1}, nodeID{2})
	f.Add(sealBatch(nil, key, header{from: nodeID{1}, to: nodeID{2}, count: 1}, appendFrames(nil, frameRequest, 1, []byte("x"))))
	f.Add([]byte{batchVersion})
	f.Fuzz(func(t *testing.T, b []byte) {
		h, err := parseHeader(b)
		if err != nil {
			return
		}
		_, _ = openBatch(key, h, bytes.Clone(b))
	})
}

// FuzzFrames feeds what a peer can seal.
func FuzzFrames(f *testing.F) {
	f.Add(appendFrames(nil, frameRequest, 1, request{"name", time.Second, []byte("payload")}.encode()))
	f.Add(appendFrames(nil, frameReply, 1, bytes.Repeat([]byte("x"), frameBody+1)))
	f.Fuzz(func(t *testing.T, b []byte) {
		p := &peer{parts: map[part]*[]byte{}}
		again := []byte(nil)
		err := eachFrame(b, func(fr frame) error {
			if body, whole := p.assemble(fr); whole {
				if r, err := decodeRequest(body); err == nil {
					_, _ = decodeRequest(r.encode())
				}
			}
			again = append(again, fr.body...)
			return nil
		})
		if err == nil && len(again) > len(b) {
			t.Error("more came out than went in")
		}
		if p.partial < 0 || p.partial > partialBytes+frameBody {
			t.Errorf("%d bytes of unfinished bodies", p.partial)
		}
	})
}

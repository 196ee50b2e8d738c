package ad

import (
	"bytes"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"testing"
)

func TestGUIDIsCanonical(t *testing.T) {
	raw, _ := hex.DecodeString("33221100554477668899aabbccddeeff")
	text, err := guidText(raw)
	if err != nil || text != "00112233-4455-6677-8899-aabbccddeeff" {
		t.Fatalf("guidText = %q, %v", text, err)
	}
}

func FuzzSID(f *testing.F) {
	f.Add([]byte{1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 3, 0, 0, 0, 0, 2, 0, 0})
	f.Add([]byte{1, 255})
	f.Fuzz(func(t *testing.T, raw []byte) {
		s, err := parseSID(raw)
		if err == nil && !strings.HasPrefix(string(s), "S-1-") {
			t.Errorf("%x is %q", raw, s)
		}
	})
}

func TestSIDOfDomainAdmins(t *testing.T) {
	raw := []byte{1, 5, 0, 0, 0, 0, 0, 5, 21, 0, 0, 0, 1, 0, 0, 0, 2, 0, 0, 0, 255, 255, 255, 255, 0, 2, 0, 0}
	s, err := parseSID(raw)
	if err != nil || s != "S-1-5-21-1-2-4294967295-512" {
		t.Fatalf("parseSID = %q, %v", s, err)
	}
	if d, rid := s.domain(); d != "S-1-5-21-1-2-4294967295" || rid != 512 {
		t.Errorf("domain = %q, %d", d, rid)
	}
	if got := s.sibling("513"); got != "S-1-5-21-1-2-4294967295-513" {
		t.Errorf("sibling = %q", got)
	}
}

// metadata builds a replPropertyMetaData of the given attributes.
func metadata(attributes ...uint32) []byte {
	b := binary.LittleEndian.AppendUint32(nil, 1)
	b = binary.LittleEndian.AppendUint32(b, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(attributes)))
	b = binary.LittleEndian.AppendUint32(b, 0)
	for i, a := range attributes {
		b = binary.LittleEndian.AppendUint32(b, a)
		b = binary.LittleEndian.AppendUint32(b, uint32(i+1))
		b = binary.LittleEndian.AppendUint64(b, dstimeUnix+1000)
		b = append(b, bytes.Repeat([]byte{byte(i + 1)}, 16)...)
		b = binary.LittleEndian.AppendUint64(b, uint64(100+i))
		b = binary.LittleEndian.AppendUint64(b, uint64(200+i))
	}
	return b
}

func TestMetadataGivesTheWritesThatMatter(t *testing.T) {
	found, err := parseMetadata(metadata(3, attUnicodePwd, 7, attLockoutTime))
	if err != nil {
		t.Fatal(err)
	}
	want := write{2, "02020202-0202-0202-0202-020202020202", 101, 1000}
	if found[attUnicodePwd] != want || found[attLockoutTime].Version != 4 || len(found) != 2 {
		t.Errorf("parseMetadata = %+v", found)
	}
}

func FuzzMetadata(f *testing.F) {
	f.Add(metadata(attUnicodePwd, attPwdLastSet))
	f.Add(metadata(attUnicodePwd)[:40])
	f.Add([]byte{1, 0, 0, 0, 0, 0, 0, 0, 255, 255, 255, 255, 0, 0, 0, 0})
	f.Fuzz(func(t *testing.T, raw []byte) {
		found, err := parseMetadata(raw)
		if err != nil && found != nil {
			t.Errorf("a malformed value gave %v", found)
		}
	})
}

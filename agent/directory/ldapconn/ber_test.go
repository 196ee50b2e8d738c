package ldapconn

import (
	"bytes"
	"testing"
)

func TestElementsReadBackAsWritten(t *testing.T) {
	for _, n := range []int{0, 1, 127, 128, 255, 256, 65536, 1<<31 - 1} {
		content, rest, err := expect(integer(tagInteger, n), tagInteger)
		if err != nil || len(rest) != 0 {
			t.Fatal(err)
		}
		if got, err := number(content); err != nil || got != n {
			t.Errorf("integer %d reads as %d, %v", n, got, err)
		}
	}
	for _, size := range []int{0, 127, 128, 70000} {
		want := bytes.Repeat([]byte{'x'}, size)
		got, rest, err := expect(element(tagOctets, want), tagOctets)
		if err != nil || len(rest) != 0 || !bytes.Equal(got, want) {
			t.Errorf("string of %d: %d bytes, %v", size, len(got), err)
		}
	}
}

func TestReadMessageLeavesTheNextOne(t *testing.T) {
	one, two := element(tagSequence, text(tagOctets, "one")), element(tagSequence, bytes.Repeat([]byte{1}, 300))
	r := bytes.NewReader(append(append([]byte(nil), one...), two...))
	for _, want := range [][]byte{one, two} {
		if got, err := readMessage(r, 1000); err != nil || !bytes.Equal(got, want) {
			t.Errorf("%x, %v", got, err)
		}
	}
	if _, err := readMessage(bytes.NewReader(two), 299); err == nil {
		t.Error("a message beyond the limit was read")
	}
}

func FuzzSplit(f *testing.F) {
	f.Add(element(tagSequence, integer(tagInteger, 7), text(tagOctets, "x")))
	f.Add([]byte{0x30, 0x84, 0, 0, 0, 1, 5})
	f.Fuzz(func(t *testing.T, b []byte) {
		_, content, rest, err := split(b)
		if err == nil && len(content)+len(rest) > len(b)-2 {
			t.Errorf("%d + %d bytes from %d", len(content), len(rest), len(b))
		}
		_, _ = extendedResult(b)
		if m, err := readMessage(bytes.NewReader(b), 1<<16); err == nil && !bytes.Equal(m, b[:len(m)]) {
			t.Error("a message differs from what was sent")
		}
	})
}

func FuzzFilterInput(f *testing.F) {
	f.Add("a)(uid=*")
	f.Add("jürgen\x00*\\")
	f.Fuzz(func(t *testing.T, value string) {
		for _, filter := range []string{Equal("mail", value), And(Equal("a", value), Or(Prefix("b", value)))} {
			if err := CheckFilter(filter); err != nil {
				t.Errorf("%q makes %s: %v", value, filter, err)
			}
		}
	})
}

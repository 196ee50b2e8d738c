package known

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"
)

const kim, lee = "id-kim", "id-lee"

func open(t *testing.T, dir string, now func() time.Time) *Store {
	t.Helper()
	s, err := Open(dir, []byte("the agent's own secret, 32 bytes"), now)
	if err != nil {
		t.Fatal(err)
	}
	return s
}

// at is a clock that tests move.
type at struct{ time.Time }

func (a *at) now() time.Time          { return a.Time }
func (a *at) forward(d time.Duration) { a.Time = a.Add(d) }

func TestT16_AValueCountsAfterSeventyTwoHoursAndAcrossRestarts(t *testing.T) {
	clock, dir := &at{time.Now()}, t.TempDir()
	s := open(t, dir, clock.now)
	if err := s.Settle(); err != nil {
		t.Fatal(err)
	}
	home := Value{KindMail, "Kim@home.example"}
	s.Note(kim, []Value{home}, true)
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	clock.forward(Wait - time.Second)
	s = open(t, dir, clock.now)
	s.Note(kim, []Value{home}, true)
	if s.Counts(kim, home) {
		t.Error("counts a second too early")
	}
	clock.forward(time.Second)
	if !s.Counts(kim, home) || !s.Counts(kim, Value{KindMail, "kim@HOME.example"}) {
		t.Error("does not count after 72 hours")
	}
	if s.Counts(lee, home) || s.Counts(kim, Value{KindName, "Kim@home.example"}) {
		t.Error("counts for another account or kind")
	}
}

func TestT16_AnAddressThatChangedIsStillToldForAWeekAndIsNewWhenItComesBack(t *testing.T) {
	clock, dir := &at{time.Now()}, t.TempDir()
	s := open(t, dir, clock.now)
	old, fresh := Value{KindMail, "kim@home.example"}, Value{KindMail, "thief@evil.example"}
	s.Note(kim, []Value{old}, true)
	if err := s.Settle(); err != nil {
		t.Fatal(err)
	}
	if !s.Counts(kim, old) {
		t.Fatal("what stood there at the start does not count")
	}
	s.Note(kim, []Value{fresh}, true)
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, clock.now)
	if s.Counts(kim, fresh) || s.Counts(kim, old) {
		t.Error("a new address counts, or one that is gone")
	}
	if got := s.Former(kim); !slices.Equal(got, []string{"kim@home.example"}) {
		t.Errorf("former = %v", got)
	}
	s.Note(kim, []Value{old}, true)
	if s.Counts(kim, old) {
		t.Error("an address that came back counts at once")
	}
	s.Note(kim, nil, true)
	clock.forward(keepGone + time.Hour)
	s.Note(kim, nil, true)
	if got := s.Former(kim); got != nil {
		t.Errorf("after a week: %v", got)
	}
}

func TestT16_TheFirstLookIsNewTooWhereTheFileSaysSo(t *testing.T) {
	clock := &at{time.Now()}
	s := open(t, t.TempDir(), clock.now)
	v := Value{KindName, "Kim Ha"}
	s.Note(kim, []Value{v}, false)
	if s.Counts(kim, v) {
		t.Error("counts at once")
	}
	clock.forward(Wait)
	if !s.Counts(kim, v) {
		t.Error("never counts")
	}
}

func TestT16_AFirstLookThatNeverEndsKeepsNoDoorOpen(t *testing.T) {
	clock, dir := &at{time.Now()}, t.TempDir()
	s := open(t, dir, clock.now)
	early, late := Value{KindMail, "kim@home.example"}, Value{KindMail, "thief@evil.example"}
	s.Note(kim, []Value{early}, true)
	if err := s.Save(); err != nil {
		t.Fatal(err)
	}
	clock.forward(firstLook)
	s = open(t, dir, clock.now)
	s.Note(kim, []Value{early, late}, true)
	if !s.Counts(kim, early) || s.Counts(kim, late) {
		t.Error("a value of the second day counts at once, or one of the first does not")
	}
}

func TestT15_ADocumentIsTiedToOneAccountAtATime(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, time.Now)
	licence := s.Document("iaca", "D-1")
	if err := errors.Join(s.Tie(kim, licence), s.Tie(kim, licence)); err != nil {
		t.Fatal(err)
	}
	s = open(t, dir, time.Now)
	if err := s.Tie(lee, licence); !errors.Is(err, ErrTied) {
		t.Errorf("tied twice: %v", err)
	}
	if got := s.Owner(s.Document("iaca", "D-1")); got != kim {
		t.Errorf("owner = %q", got)
	}
	if got := s.Owner(s.Document("iac", "aD-1")); got != "" {
		t.Errorf("the words' borders do not count: %q", got)
	}
}

func TestT03_AKeyIsActiveAfterSeventyTwoHours(t *testing.T) {
	clock, dir := &at{time.Now()}, t.TempDir()
	s := open(t, dir, clock.now)
	if err := errors.Join(s.Enrol(Key{Account: kim, Hash: []byte("h")}), s.Enrol(Key{Account: kim, Hash: []byte("h")})); err != nil {
		t.Fatal(err)
	}
	keys := open(t, dir, clock.now).Keys(kim)
	if len(keys) != 1 || keys[0].Active != clock.Add(Wait).Unix() || s.HasKey(lee, []byte("h")) {
		t.Errorf("keys = %+v", keys)
	}
	for i := range maxKeys - 1 {
		if err := s.Enrol(Key{Account: kim, Hash: []byte{byte(i)}}); err != nil {
			t.Fatal(err)
		}
	}
	if err := s.Enrol(Key{Account: kim, Hash: []byte("one more")}); !errors.Is(err, ErrFull) {
		t.Errorf("one more: %v", err)
	}
}

func TestT35_TheFileHoldsNoNameNumberOrAddress(t *testing.T) {
	dir := t.TempDir()
	s := open(t, dir, time.Now)
	s.Note(kim, []Value{{KindMail, "kim@home.example"}, {KindName, "Kim Hatano"}, {KindBirthDate, "1988-02-29"}}, true)
	if err := errors.Join(s.Save(), s.Tie(kim, s.Document("CN=Utopia IACA", "D-123456"))); err != nil {
		t.Fatal(err)
	}
	text, err := os.ReadFile(filepath.Join(dir, fileName))
	if err != nil {
		t.Fatal(err)
	}
	for _, secret := range []string{"home.example", "Hatano", "hatano", "1988", "D-123456", "Utopia"} {
		if strings.Contains(string(text), secret) {
			t.Errorf("the file holds %q", secret)
		}
	}
}

func TestApproversAreReadAnewAndRemovedByID(t *testing.T) {
	dir := t.TempDir()
	a := Approver{ID: "lee-1", Person: lee, Credential: []byte("c")}
	if err := AddApprover(dir, a); err != nil {
		t.Fatal(err)
	}
	if err := AddApprover(dir, a); err == nil {
		t.Error("the same id twice")
	}
	if list, err := Approvers(dir); err != nil || len(list) != 1 || list[0].Person != lee {
		t.Errorf("list = %+v, %v", list, err)
	}
	if err := errors.Join(RemoveApprover(dir, "lee-1")); err != nil {
		t.Fatal(err)
	}
	if err := RemoveApprover(dir, "lee-1"); !errors.Is(err, ErrUnknown) {
		t.Errorf("removed twice: %v", err)
	}
}

func FuzzOpen(f *testing.F) {
	f.Add([]byte(`{"version":1,"keys":[{"account":"x"}],"seen":{"x":[{"kind":"mail","hash":"","text":"AA=="}]}}`))
	f.Fuzz(func(t *testing.T, text []byte) {
		dir := t.TempDir()
		if err := os.WriteFile(filepath.Join(dir, fileName), text, 0o600); err != nil {
			t.Fatal(err)
		}
		s, err := Open(dir, []byte("secret"), time.Now)
		if err != nil {
			return
		}
		s.Note("x", []Value{{KindMail, "a@b.example"}}, true)
		_ = s.Former("x")
		if s.Counts("x", Value{KindMail, "never@seen.example"}) {
			t.Error("a value that nobody saw counts")
		}
	})
}

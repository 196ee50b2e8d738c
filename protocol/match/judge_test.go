package match

import (
	"crypto/sha256"
	"encoding/base64"
	"testing"

	"github.com/postern-id/postern/protocol"
)

var (
	testKey = []byte("a key of this directory")
	anna    = Document{Given: "Anna Maria", Family: "Weber", BirthDate: "1985-03-09"}
)

func account(change func(*Account)) Account {
	a := Account{ID: "4f0c", Name: Name{Full: "Weber, Anna"}, BirthDateHash: protocol.BirthDateHash(testKey, "4f0c", "1985-03-09"), Key: testKey}
	if change != nil {
		change(&a)
	}
	return a
}

func TestStrengthsDecide(t *testing.T) {
	unborn := func(a *Account) { a.BirthDateHash = "" }
	faceOf := func(f Face) Document { d := anna; d.Face = f; return d }
	photo := func(a *Account) { a.HasPhoto = true }
	strictPhoto := func(a *Account) { a.HasPhoto, a.Strict = true, true }
	stranger := Document{Given: "Otto", Family: "Kern", BirthDate: "1985-03-09", Face: SameFace}
	for _, c := range []struct {
		why      string
		strength Strength
		doc      Document
		change   func(*Account)
		want     Grade
		reason   Reason
	}{
		{"name and date", NameAndBirthDate, anna, nil, Match, Agrees},
		{"weak name without a date on file", WeakName, anna, unborn, Match, Agrees},
		{"no date on file, but asked for", NameAndBirthDate, anna, unborn, No, BirthDateNone},
		{"a date on file counts under every policy", WeakName, Document{Given: "Anna", Family: "Weber", BirthDate: "1985-03-10"}, nil, No, BirthDateOther},
		{"a document without a date", WeakName, Document{Given: "Anna", Family: "Weber"}, nil, No, BirthDateOther},
		{"without the key nobody matches", WeakName, anna, func(a *Account) { a.Key = nil }, No, BirthDateOther},
		{"another account's hash", WeakName, anna, func(a *Account) { a.ID = "4f0d" }, No, BirthDateOther},
		{"common name", CommonName, anna, func(a *Account) { a.Collides = true }, Review, NameIsCommon},
		{"common name, weakly", WeakName, anna, func(a *Account) { a.Collides = true }, Match, Agrees},
		{"common name, and the date tells", NameAndBirthDate, anna, func(a *Account) { a.Collides = true }, Match, Agrees},
		{"fuzzy is never enough", NameAndBirthDate, Document{Given: "Anna", Family: "Rodriguez", BirthDate: "1985-03-09"},
			func(a *Account) { a.Name.Full = "Anna Rodrigues" }, Review, NameResembles},
		{"another name", WeakName, Document{Given: "Otto", Family: "Kern", BirthDate: "1985-03-09"}, nil, No, NameDiffers},
		{"photo without one on file", Photo, faceOf(SameFace), nil, No, PhotoNone},
		{"photo", Photo, faceOf(SameFace), photo, Match, Agrees},
		{"photo nobody compared", Photo, anna, photo, No, FaceDiffers},
		{"unsure", Photo, faceOf(UnsureFace), photo, Review, FaceUnsure},
		{"a face replaces the name", WeakName, stranger, photo, Match, Agrees},
		{"a face never replaces the name in strict mode", WeakName, stranger, strictPhoto, No, NameDiffers},
		{"a face adds in strict mode", WeakName, faceOf(OtherFace), strictPhoto, No, FaceDiffers},
		{"an unsure face in strict mode", WeakName, faceOf(UnsureFace), strictPhoto, Review, FaceUnsure},
		{"a face replaces no date", WeakName, Document{Face: SameFace}, photo, No, BirthDateOther},
		{"disabled", "disabled", anna, nil, No, Forbidden},
		{"none", "none", anna, nil, No, Forbidden},
		{"nothing", "", anna, nil, No, Forbidden},
	} {
		if got, reason := Judge(c.strength, c.doc, account(c.change)); got != c.want || reason != c.reason {
			t.Errorf("%s: %s %q, want %s %q", c.why, got, reason, c.want, c.reason)
		}
	}
}

func TestBirthDatesInEveryPublicForm(t *testing.T) {
	const date = "1985-03-09"
	salt := []byte("twelve bytes")
	plain, salted := sha256.Sum256([]byte(date)), sha256.Sum256(append(salt, date...))
	b64 := base64.RawStdEncoding.EncodeToString
	for _, c := range []struct {
		stored string
		ok     bool
	}{
		{date, true},
		{protocol.BirthDateHash(testKey, "id", date), true},
		{"$sha256$" + b64(plain[:]), true},
		{"$sha256$" + b64(salt) + "$" + b64(salted[:]), true},
		{"$sha256$" + b64(salt) + "$" + b64(plain[:]), false},
		{"$sha256$" + b64(salt[:11]) + "$" + b64(salted[:]), false},
		{"$sha256$" + b64(salted[:]), false},
		{"$sha256$", false},
		{"$sha512$" + b64(plain[:]), false},
		{protocol.BirthDateHash(testKey, "other", date), false},
		{protocol.BirthDateHash([]byte("other"), "id", date), false},
		{"1985-03-10", false}, {"09.03.1985", false}, {"", false},
	} {
		if got := BirthDate(testKey, "id", c.stored, date); got != c.ok {
			t.Errorf("%q: %v", c.stored, got)
		}
		if c.ok && !ValidBirthDate(c.stored) {
			t.Errorf("%q is not valid", c.stored)
		}
	}
	for _, typed := range []string{"", "1985-3-9", "1985-02-30", "$sha256$", "1985-03-09 "} {
		if BirthDate(testKey, "id", typed, typed) {
			t.Errorf("%q is a date", typed)
		}
	}
}

func FuzzBirthDate(f *testing.F) {
	f.Add("$sha256$AAAA$BBBB", "1985-03-09")
	f.Add("1985-03-09", "1985-03-09")
	f.Add(protocol.BirthDateHash(testKey, "id", "1985-03-09"), "1985-03-09")
	f.Fuzz(func(t *testing.T, stored, date string) {
		if BirthDate(testKey, "id", stored, date) && (!ValidBirthDate(stored) || !isDate(date)) {
			t.Fatalf("%q is the date %q", stored, date)
		}
	})
}

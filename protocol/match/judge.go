package match

// A Strength is the wire value RecoveryPolicy: how a proof that bears a name has to match
// the account. Hub and agent spell it alike; values that are not listed here permit nothing.
type Strength string

// The strengths that compare.
const (
	WeakName         Strength = "weak_name_match"     // rules 1 to 7 for names
	CommonName       Strength = "name_match"          // and the name is nobody else's here
	NameAndBirthDate Strength = "name_and_birth_date" // and the directory's birth date agrees
	Photo            Strength = "photo"               // the account's photo was compared, nothing else
)

// A Document is what a proof says of a person.
type Document struct {
	Given, Family string
	Full          string // used when Given and Family are both empty
	BirthDate     string // YYYY-MM-DD; empty: it bears none
	Face          Face   // what an analyzer or a person made of it beside the account's photo
}

// A Face is the result of comparing the person with the photo of the account.
type Face int

// The results. The zero value is that nobody compared.
const (
	NotCompared Face = iota
	OtherFace
	UnsureFace
	SameFace
)

// grade is what a comparison of faces is worth; one that was not made is worth nothing.
func (f Face) grade() Grade {
	return map[Face]Grade{UnsureFace: Review, SameFace: Match}[f]
}

// An Account is what the directory knows.
type Account struct {
	ID            string // canonical immutable id: part of the hash
	Name          Name
	BirthDateHash string // any form that BirthDate reads; empty: not known
	Key           []byte // of the directory's birth-date hashes
	Collides      bool   // another account has such a name, or the operator's list says that it is common
	HasPhoto      bool
	Strict        bool // the agent asks for verifiable evidence: a photo adds to a comparison and never replaces one
}

// A Reason says what decided, for the audit log. It is never shown to the person.
type Reason string

// The reasons.
const (
	Agrees         Reason = ""
	NameDiffers    Reason = "name_differs"
	NameResembles  Reason = "name_resembles"
	NameIsCommon   Reason = "name_is_common"
	BirthDateOther Reason = "birth_date_differs"
	BirthDateNone  Reason = "birth_date_unknown"
	FaceDiffers    Reason = "face_differs"
	FaceUnsure     Reason = "face_unsure"
	PhotoNone      Reason = "photo_unknown"
	Forbidden      Reason = "policy_forbids"
)

// Judge decides whether a document is the account's, at a strength. Only Match accepts.
// Under every strength a birth date that the account has must agree, and (outside strict
// mode) a face that was compared with the account's photo replaces name comparisons.
func Judge(s Strength, d Document, a Account) (Grade, Reason) {
	grade, reason := compareBy(s, d, a)
	if grade == No || a.BirthDateHash == "" && s != NameAndBirthDate {
		return grade, reason
	}
	switch {
	case a.BirthDateHash == "":
		return No, BirthDateNone
	case !BirthDate(a.Key, a.ID, a.BirthDateHash, d.BirthDate):
		return No, BirthDateOther
	}
	return grade, reason
}

// compareBy is everything but the birth date.
func compareBy(s Strength, d Document, a Account) (Grade, Reason) {
	switch s {
	case WeakName, CommonName, NameAndBirthDate:
		compared := a.HasPhoto && d.Face != NotCompared
		if compared && (!a.Strict || d.Face.grade() == No) {
			return faces(d.Face)
		}
		grade, reason := names(s, d, a)
		if face, why := faces(d.Face); compared && face < grade {
			return face, why
		}
		return grade, reason
	case Photo:
		if !a.HasPhoto {
			return No, PhotoNone
		}
		return faces(d.Face)
	}
	return No, Forbidden
}

func faces(f Face) (Grade, Reason) {
	return f.grade(), map[Grade]Reason{No: FaceDiffers, Review: FaceUnsure, Match: Agrees}[f.grade()]
}

// names compares names; one that is not this person's alone is for people to decide.
func names(s Strength, d Document, a Account) (Grade, Reason) {
	switch grade := Names(Name{d.Given, d.Family, d.Full}, a.Name); {
	case grade == No:
		return No, NameDiffers
	case grade == Review:
		return Review, NameResembles
	case s == CommonName && a.Collides:
		return Review, NameIsCommon
	}
	return Match, Agrees
}

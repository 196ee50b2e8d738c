package evidence

import (
	"fmt"
	"time"

	"github.com/fxamacker/cbor/v2"
)

// Bounds of CBOR, for unsigned input (P20).
const (
	maxNesting = 16
	maxArray   = 4096
	maxPairs   = 1024
)

// CBOR tag numbers.
const (
	tagDateTime = 0    // RFC 8949 3.4.1
	tagEncoded  = 24   // RFC 8949 3.4.5.1, "encoded CBOR data item"
	tagFullDate = 1004 // RFC 8943
)

// strictCBOR decodes what nobody signed: every member must be known. signedCBOR
// decodes what an issuer signed and may extend. Both refuse duplicate keys, look-alike
// names and indefinite lengths.
var (
	strictCBOR    = decoder(cbor.ExtraDecErrorUnknownField)
	signedCBOR    = decoder(cbor.ExtraDecErrorNone)
	deterministic = encoder()
)

func decoder(extra cbor.ExtraDecErrorCond) cbor.DecMode {
	m, err := cbor.DecOptions{
		DupMapKey:         cbor.DupMapKeyEnforcedAPF,
		FieldNameMatching: cbor.FieldNameMatchingCaseSensitive,
		IndefLength:       cbor.IndefLengthForbidden,
		TimeTag:           cbor.DecTagRequired,
		MaxNestedLevels:   maxNesting,
		MaxArrayElements:  maxArray,
		MaxMapPairs:       maxPairs,
		ExtraReturnErrors: extra,
	}.DecMode()
	if err != nil {
		panic(err) // constant options
	}
	return m
}

func encoder() cbor.EncMode {
	m, err := cbor.CoreDetEncOptions().EncMode()
	if err != nil {
		panic(err) // constant options
	}
	return m
}

// decode reads one item into v and says what it was.
func decode(m cbor.DecMode, what string, b []byte, v any) error {
	if err := m.Unmarshal(b, v); err != nil {
		return fmt.Errorf("%w: %s: %v", ErrFormat, what, err)
	}
	return nil
}

// embedded returns the bytes inside tag 24.
func embedded(what string, raw cbor.RawMessage) ([]byte, error) {
	var t cbor.RawTag
	if err := decode(strictCBOR, what, raw, &t); err != nil {
		return nil, err
	}
	if t.Number != tagEncoded {
		return nil, fmt.Errorf("%w: %s is not in tag 24", ErrFormat, what)
	}
	var b []byte
	err := decode(strictCBOR, what, t.Content, &b)
	return b, err
}

// tagged wraps encoded CBOR in tag 24.
func tagged(b []byte) ([]byte, error) {
	return deterministic.Marshal(cbor.Tag{Number: tagEncoded, Content: b})
}

// A date is a full-date or a tdate. Whole says that it names a whole day.
type date struct {
	at    time.Time
	whole bool
}

// readDate reads tag 1004 (full-date) or tag 0 (tdate).
func readDate(what string, raw cbor.RawMessage) (date, error) {
	var t cbor.RawTag
	if err := decode(signedCBOR, what, raw, &t); err != nil {
		return date{}, err
	}
	var text string
	if err := decode(signedCBOR, what, t.Content, &text); err != nil {
		return date{}, err
	}
	layout := time.DateOnly
	switch t.Number {
	case tagFullDate:
	case tagDateTime:
		layout = time.RFC3339
	default:
		return date{}, fmt.Errorf("%w: %s is not a date", ErrFormat, what)
	}
	at, err := time.Parse(layout, text)
	if err != nil {
		return date{}, fmt.Errorf("%w: %s is not a date", ErrFormat, what)
	}
	return date{at, t.Number == tagFullDate}, nil
}

// end is the last moment at which something that expires on d is valid.
func (d date) end() time.Time {
	if d.whole {
		return d.at.AddDate(0, 0, 1)
	}
	return d.at
}

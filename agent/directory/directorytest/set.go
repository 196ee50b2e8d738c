package directorytest

import (
	"errors"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// setTo foresees, sets and reads back, and foresees nothing any more.
func (a Acts) setTo(t *testing.T, attribute string, before int, values ...string) {
	t.Helper()
	set := directory.Set{Attribute: attribute, Values: values}
	want := protocol.Difference{What: protocol.WhatAttribute, Name: attribute, Before: strconv.Itoa(before), After: strconv.Itoa(len(values))}
	for range 2 { // a dry run changes nothing
		seen, err := a.ForeseeSet(within(t), a.Person.ID, set)
		if err != nil || len(seen.Changes) != 1 || seen.Changes[0] != want || seen.Evidence != (attribute == a.Evidence) {
			t.Fatalf("foresee %s: %+v, %v; want %+v", attribute, seen, err, want)
		}
	}
	if err := a.Set(within(t), a.Person.ID, set); err != nil {
		t.Fatalf("set %s: %v", attribute, err)
	}
	wanted := slices.Sorted(slices.Values(values))
	if got := slices.Sorted(slices.Values(a.Values(t, a.Person.DN, attribute))); !slices.Equal(got, wanted) {
		t.Errorf("%s is %q; want %q", attribute, got, wanted)
	}
	if got, err := a.Actor.Values(within(t), a.Person.ID, strings.ToUpper(attribute)); err != nil || !slices.Equal(slices.Sorted(slices.Values(got)), wanted) {
		t.Errorf("%s reads as %q, %v; want %q", attribute, got, err, wanted)
	}
	if seen, err := a.ForeseeSet(within(t), a.Person.ID, set); err != nil || len(seen.Changes) != 0 {
		t.Errorf("%s, which is so already: %+v, %v", attribute, seen, err)
	}
	if err := a.Set(within(t), a.Person.ID, set); err != nil {
		t.Errorf("%s once more: %v", attribute, err)
	}
}

func (a Acts) set(t *testing.T) {
	before := a.Values(t, a.Person.DN, a.Many)
	a.setTo(t, a.Many, len(before), "+49 30 1234567", "+49 30 7654321")
	a.setTo(t, a.Many, 2, "+49 30 1111111")
	a.setTo(t, a.Many, 1)
	had := a.Values(t, a.Person.DN, a.Single)
	a.setTo(t, a.Single, len(had), `Łucja "Lu" <b>(*)\5c</b>, dc=x`)
	a.setTo(t, a.Single, 1, had...)
	if a.Evidence != a.Single && a.Evidence != a.Many {
		had = a.Values(t, a.Person.DN, a.Evidence)
		a.setTo(t, a.Evidence, len(had), "4930555")
		a.setTo(t, a.Evidence, 1, had...)
	}
}

// refusedValues: what a schema forbids has a reason, changes nothing, and no error repeats
// it.
func (a Acts) refusedValues(t *testing.T) {
	const canary = "canary-71"
	cases := map[string]directory.Set{
		"two of one":    {Attribute: a.Single, Values: []string{canary, canary + "b"}},
		"much too long": {Attribute: a.Single, Values: []string{canary + strings.Repeat("x", 40_000)}},
	}
	if a.Phone != "" {
		cases["letters"] = directory.Set{Attribute: a.Phone, Values: []string{canary + " \u00e4\u20ac#"}}
	}
	for name, s := range cases {
		before := a.Values(t, a.Person.DN, s.Attribute)
		err := a.Set(within(t), a.Person.ID, s)
		if name == "much too long" && err == nil { // the server has no such rule: the agent itself takes less
			err = a.Set(within(t), a.Person.ID, directory.Set{Attribute: a.Single, Values: before})
			if err != nil {
				t.Fatal(err)
			}
			continue
		}
		if code := protocol.CodeOf(err); code != protocol.CodeBadRequest || strings.Contains(err.Error(), canary) {
			t.Errorf("%s: %.300v", name, err)
		}
		if reason := asReason(err); reason != protocol.ReasonValue {
			t.Errorf("%s: reason %q", name, reason)
		}
		if after := a.Values(t, a.Person.DN, s.Attribute); !slices.Equal(before, after) {
			t.Errorf("%s changed something: %.80q", name, after)
		}
	}
}

func (a Acts) strangeAttributes(t *testing.T) {
	for attribute, want := range map[string]protocol.Code{
		"noSuchAttributeAnywhere": protocol.CodeBadRequest, a.Own: protocol.CodePermissionDenied,
	} {
		set := directory.Set{Attribute: attribute, Values: []string{"1"}}
		_, err := a.ForeseeSet(within(t), a.Person.ID, set)
		if code := protocol.CodeOf(err); code != want && (a.NoSchema == "" || code != protocol.CodePermissionDenied) {
			t.Errorf("foresee %s: %v", attribute, err)
		}
		if err := a.Set(within(t), a.Person.ID, set); err == nil {
			t.Errorf("%s was set", attribute)
		}
	}
	_, err := a.ForeseeSet(within(t), "00000000-0000-4000-8000-000000000000", directory.Set{Attribute: a.Many})
	wantCode(t, "an attribute of nobody", err, protocol.CodeAccountNotFound)
}

func asReason(err error) protocol.Reason {
	var e *protocol.Error
	if !errors.As(err, &e) {
		return ""
	}
	return e.Reason
}

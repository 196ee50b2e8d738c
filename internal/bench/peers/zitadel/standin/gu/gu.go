// Package gu stands in for a module of that name, of which zitadel/oidc uses these
// functions.
package gu

import (
	"fmt"
	"maps"
)

// Ptr returns the address of a copy of v.
func Ptr[T any](v T) *T { return &v }

// PtrCopy returns the address of a copy of what p points to; nil of nil.
func PtrCopy[T any](p *T) *T {
	if p == nil {
		return nil
	}
	return Ptr(*p)
}

// MapCopy returns a copy of m; nil of nil.
func MapCopy[K comparable, V any](m map[K]V) map[K]V { return maps.Clone(m) }

// MapMerge adds what is in from to into.
func MapMerge[K comparable, V any](from, into map[K]V) { maps.Copy(into, from) }

// AssertInterfaces returns the values of a list as values of one type, or an error that
// names the first that is of another.
func AssertInterfaces[T any](list []any) ([]T, error) {
	all := make([]T, len(list))
	for i, v := range list {
		t, ok := v.(T)
		if !ok {
			return nil, fmt.Errorf("gu: value %d is %T, not %T", i, v, all[i])
		}
		all[i] = t
	}
	return all, nil
}

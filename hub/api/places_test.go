package api

import (
	"net/http"
	"sync"
	"sync/atomic"
	"testing"
)

func TestNoOrganisationTakesEveryPlace(t *testing.T) {
	p := newPlaces(64, 16)
	var mine atomic.Int64
	var wg sync.WaitGroup
	for range 200 {
		wg.Go(func() {
			if p.take("mine") {
				mine.Add(1)
			}
		})
	}
	wg.Wait()
	if mine.Load() != 16 {
		t.Errorf("one organisation has %d places", mine.Load())
	}
	for _, org := range []string{"a", "b", "c"} {
		for range 16 {
			if !p.take(org) {
				t.Fatalf("none is left for %s", org)
			}
		}
	}
	if p.take("d") {
		t.Error("there are more places than there are")
	}
	p.leave("mine")
	if !p.take("d") || p.take("mine") {
		t.Error("the place that was given back is not the next one's")
	}
	for range 16 {
		p.leave("a")
	}
	if len(p.by) != 4 || p.taken != 48 {
		t.Errorf("%v, %d", p.by, p.taken)
	}
}

// An organisation whose archives take its place gets 429, and another one's is taken.
func TestAnArchiveOfAnotherOrganisationFindsItsPlace(t *testing.T) {
	st := lite(t)
	if !st.api.archives.take(st.mine.Org.ID) {
		t.Fatal("no place")
	}
	body := archiveOf("alice@other.test.png", aFace())
	got := st.do(t, st.owner, "PUT", "/api/account/photos?directory="+st.mine.Directory.ID, body)
	if got.status != http.StatusTooManyRequests || got.header.Get("Retry-After") == "" {
		t.Errorf("%d %s", got.status, got.body)
	}
	if got := st.do(t, st.foreign.key, "PUT", "/api/account/photos?directory="+st.foreign.Directory.ID, body); got.status != http.StatusOK {
		t.Errorf("another organisation: %d %s", got.status, got.body)
	}
	st.api.archives.leave(st.mine.Org.ID)
	if got := st.do(t, st.owner, "PUT", "/api/account/photos?directory="+st.mine.Directory.ID, body); got.status != http.StatusOK {
		t.Errorf("afterwards: %d %s", got.status, got.body)
	}
}

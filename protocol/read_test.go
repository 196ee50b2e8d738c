package protocol

import (
	"bytes"
	"context"
	"encoding/json"
	"runtime"
	"testing"
	"time"
)

// rested pings the peer until it has answered.
func rested(t *testing.T, l *Link) {
	t.Helper()
	asked := l.LastHeard()
	if err := l.Ping(); err != nil {
		t.Fatal(err)
	}
	for deadline := time.Now().Add(10 * time.Second); !l.LastHeard().After(asked); runtime.Gosched() {
		if time.Now().After(deadline) {
			t.Fatal("no answer to a ping")
		}
	}
}

func TestALinkThatRestedGoesOn(t *testing.T) {
	hub := connect(t, func(_ context.Context, _ Method, body []byte) (any, error) { return json.RawMessage(body), nil }, nil)
	for range 3 {
		var got string
		if err := hub.Call(t.Context(), MethodGet, PriorityLookup, "awake", &got); err != nil || got != "awake" {
			t.Fatalf("got %q %v", got, err)
		}
		if hub.ch.send.cipher == nil || hub.ch.recv.cipher == nil {
			t.Error("a link in use makes its ciphers anew for each message")
		}
		rested(t, hub)
		if hub.ch.send.cipher != nil || hub.ch.recv.cipher != nil {
			t.Error("an idle link keeps its ciphers")
		}
	}
}

func TestNoMessageIsTakenTwiceAfterARest(t *testing.T) {
	var sealed [][]byte
	hub := connect(t, func(_ context.Context, _ Method, body []byte) (any, error) { return json.RawMessage(body), nil },
		func(b []byte) { sealed = append(sealed, b) })
	rested(t, hub)
	rested(t, hub)
	if n := len(sealed); n < 2 || bytes.Equal(sealed[n-1], sealed[n-2]) {
		t.Error("two messages of a resting link look the same")
	}
	last := sealed[len(sealed)-1]
	hub.wire.(*pipeWire).in <- last
	if err := hub.Call(t.Context(), MethodGet, PriorityLookup, "x", nil); CodeOf(err) == "" {
		t.Error("a message was taken twice")
	}
}

func TestOnlySignsOfLifeLetALinkRest(t *testing.T) {
	signs := appendFrame(appendFrame(nil, frame{kind: kindPing}), frame{kind: kindPong})
	for name, c := range map[string]struct {
		msg  []byte
		want bool
	}{
		"signs":           {signs, true},
		"a call too":      {appendFrame(signs, frame{kind: kindCall, body: make([]byte, callHeader)}), false},
		"an event":        {appendFrame(nil, frame{kind: kindEvent, body: []byte{0}}), false},
		"unknown":         {appendFrame(nil, frame{kind: 99}), false},
		"half of a frame": {signs[:len(signs)-1], false},
	} {
		if got := onlySigns(c.msg); got != c.want {
			t.Errorf("%s: %v", name, got)
		}
	}
}

// A reading of the monotonic clock is lost by Round.
func TestASetClockIsNoSilence(t *testing.T) {
	hub := connect(t, func(_ context.Context, _ Method, body []byte) (any, error) { return json.RawMessage(body), nil }, nil)
	before := hub.LastHeard()
	rested(t, hub)
	if after := hub.LastHeard(); after == after.Round(0) || !after.After(before) {
		t.Errorf("last heard %v, then %v: by a clock that can be set", before, after)
	}
}

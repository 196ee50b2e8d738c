package coord

import (
	"context"
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/internal/testenv"
)

func TestP26_RedisComesBackWithoutARestart(t *testing.T) {
	server := testenv.StartRedis(t)
	c := openRedis(t, server.URL(), "")
	ctx := t.Context()
	var in inbox
	defer c.Subscribe(ctx, "wake", in.add)()
	before, err := c.Fence(ctx)
	must(t, err)
	server.Stop()
	began := time.Now()
	for what, err := range map[string]error{
		"publish": second(c.Publish(ctx, "wake", nil)),
		"set":     c.Set(ctx, "s", "k", nil, time.Second),
		"list":    second(c.List(ctx, "s")),
		"acquire": second(c.Acquire(ctx, "l", time.Second)),
		"take":    third(c.Take(ctx, "k", Rate{1, time.Second})),
		"healthy": c.Healthy(ctx),
	} {
		if !errors.Is(err, ErrUnavailable) {
			t.Errorf("%s during the outage: %v, want ErrUnavailable", what, err)
		}
	}
	if d := time.Since(began); d > 6*commandTimeout {
		t.Errorf("six refused calls took %v", d)
	}
	var late inbox
	defer c.Subscribe(ctx, "late", late.add)() // comes into force with the server
	server.Start(t)
	for channel, box := range map[string]*inbox{"wake": &in, "late": &late} {
		testenv.Eventually(t, channel+" is heard again", func() bool {
			_, _ = c.Publish(ctx, channel, []byte("again"))
			return len(box.all()) > 0
		})
	}
	testenv.Eventually(t, "healthy", func() bool { return c.Healthy(ctx) == nil })
	after, err := c.Fence(ctx)
	must(t, err)
	if after <= before {
		t.Errorf("fence %d after the server forgot %d", after, before)
	}
}

func second[T any](_ T, err error) error        { return err }
func third[T, U any](_ T, _ U, err error) error { return err }

func TestDeadlinesBoundCommands(t *testing.T) {
	server := testenv.StartRedis(t)
	c := openRedis(t, server.URL(), "")
	must(t, c.Healthy(t.Context()))
	if _, err := server.Do(t.Context(), "CLIENT", "PAUSE", "3000"); err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithTimeout(t.Context(), 100*time.Millisecond)
	defer cancel()
	began := time.Now()
	_, err := c.Get(ctx, "s", "k")
	if !errors.Is(err, ErrUnavailable) || time.Since(began) > time.Second {
		t.Errorf("after %v: %v", time.Since(began), err)
	}
}

func TestOpenRefusesAddressesItDoesNotUnderstand(t *testing.T) {
	for _, url := range []string{"", "localhost:6379", "http://u:geheim@x", "redis+magic://u:geheim@x", "redis+sentinel://u:geheim@x", "redis://u:geheim@x?nonsense=1", "redis://u:geheim@%zz"} {
		_, err := OpenRedis(RedisConfig{URL: url})
		if err == nil || strings.Contains(err.Error(), "geheim") {
			t.Errorf("%q: %v", url, err)
		}
	}
}

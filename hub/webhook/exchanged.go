package webhook

import (
	"context"
	"net/http"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/store"
)

// Bounds of what the history keeps of one answer, so that a receiver cannot fill the
// store.
const (
	keepBody    = 4 << 10
	keepHeaders = 40
	keepValue   = 512
)

// blanked stands for what nobody may read in the history.
const blanked = "(not shown)"

// secretHeaders are blanked in the history: what admits to the receiver.
var secretHeaders = []string{"Authorization", "Set-Cookie", "Www-Authenticate", "Proxy-Authenticate"}

// postOf returns the request that delivers d to w.
func postOf(w store.Webhook, d store.Delivery, s store.WebhookSecrets) post {
	return post{url: w.URL, authorization: w.Authorization, id: d.ID, secret: s.Present, former: s.Former, body: []byte(d.Body)}
}

// exchange makes one request and returns the answer with what the history keeps of it.
func (h *Hooks) exchange(ctx context.Context, p post) (answer, store.Try, error) {
	start := h.now()
	a, err := h.sender.send(ctx, p, start)
	t := store.Try{Header: headerLines(p.headers(start)), Attempt: store.Attempt{
		Start: start.UTC(), End: h.now().UTC(), Status: a.status, Header: headerLines(a.header), Body: cut(string(a.body), keepBody),
	}}
	if err != nil {
		t.Attempt.Error = err.Error()
	}
	return a, t, err
}

// headerLines returns headers in the order of their names, cut, and blanked where they
// are secret.
func headerLines(h http.Header) []store.Header {
	lines := []store.Header{}
	for name, values := range h {
		for _, v := range values {
			if slices.Contains(secretHeaders, name) {
				v = blanked
			}
			lines = append(lines, store.Header{Name: cut(name, keepValue), Value: cut(v, keepValue)})
		}
	}
	slices.SortStableFunc(lines, func(a, b store.Header) int { return strings.Compare(a.Name, b.Name) })
	return lines[:min(len(lines), keepHeaders)]
}

// cut keeps at most n bytes of a text that came from outside, as text.
func cut(s string, n int) string {
	return strings.ToValidUTF8(s[:min(len(s), n)], "\uFFFD")
}

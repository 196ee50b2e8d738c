package webhook

import (
	"context"
	"crypto/hmac"
	"errors"
	"fmt"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// ErrUnsigned says that an answer does not bear the receiver's signature.
var ErrUnsigned = errors.New("webhook: the answer is not signed as agreed")

// answerAge is how far the clock of a receiver that signs may be off.
const answerAge = 5 * time.Minute

// Exchange posts JSON to a program of the operator and returns its JSON answer. Both bear
// "X-Postern-Signature: t=<Unix seconds>,v1=<hex HMAC-SHA256 of t.id.body>" under secret,
// and the same id, so that an answer belongs to one question. It goes where webhooks may
// go, and nowhere else. ctx bounds the time.
func (h *Hooks) Exchange(ctx context.Context, url, secret, id string, body []byte) ([]byte, error) {
	a, err := h.sender.send(ctx, post{url: url, id: id, secret: secret, body: body}, h.now())
	switch {
	case err != nil:
		return nil, err
	case a.status != http.StatusOK || !a.json:
		return nil, fmt.Errorf("webhook: status %d", a.status)
	case !h.signedBy(secret, id, a):
		return nil, ErrUnsigned
	}
	return a.body, nil
}

func (h *Hooks) signedBy(secret, id string, a answer) bool {
	at, mac, ok := strings.Cut(strings.TrimPrefix(a.signed, "t="), ",v1=")
	sec, err := strconv.ParseInt(at, 10, 64)
	if !ok || err != nil || h.now().Sub(time.Unix(sec, 0)).Abs() > answerAge {
		return false
	}
	return hmac.Equal([]byte(mac), []byte(sign(secret, []byte(at+"."+id+"."+string(a.body)))))
}

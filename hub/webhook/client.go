package webhook

import (
	"context"
	"io"
	"net"
	"net/http"
	"time"
)

// Bounds of a service that the operator named: a whole exchange, and one answer in bytes.
const (
	serviceTimeout = 15 * time.Second
	maxService     = 1 << 20
)

// Client returns a client for services that an environment's settings name. It goes
// where webhooks may go and nowhere else, follows no redirect, keeps no connection, and
// reads at most 1 MiB of an answer. Its errors may hold the address: see url.Error.
func (h *Hooks) Client() *http.Client {
	return &http.Client{
		Transport: h.Transport(maxService), Timeout: serviceTimeout,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
}

// Transport is what Client goes by, for answers of at most so many bytes.
func (h *Hooks) Transport(most int64) http.RoundTripper { return outward{h.sender, most} }

// Dial connects to where webhooks may go and nowhere else. What is spoken there has to be
// encrypted.
func (h *Hooks) Dial(ctx context.Context, network, addr string) (net.Conn, error) {
	return h.sender.guard.dial(ctx, network, addr)
}

// outward is the transport of Client.
type outward struct {
	sender *sender
	most   int64 // bytes of an answer
}

// RoundTrip implements http.RoundTripper.
func (o outward) RoundTrip(r *http.Request) (*http.Response, error) {
	u, err := CheckURL(r.URL.String())
	if err != nil {
		return nil, err
	}
	client := o.sender.https
	if u.Scheme == "http" {
		client = o.sender.http
	}
	res, err := client.Transport.RoundTrip(r)
	if err != nil {
		return nil, err
	}
	res.Body = bounded{io.LimitReader(res.Body, o.most), res.Body}
	return res, nil
}

// bounded is a body that ends early.
type bounded struct {
	io.Reader
	io.Closer
}

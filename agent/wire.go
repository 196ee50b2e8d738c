package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"slices"
	"strings"
	"time"

	"github.com/gorilla/websocket"

	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/carrier"
)

// Times of one connection.
const (
	dialLife = 15 * time.Second // everything up to the welcome; a handshake is a handful of round trips
	oneDial  = 5 * time.Second  // one address of several
)

// dialer opens websockets to the hub that the identity names, and to no other.
type dialer struct {
	address string // ws or wss address of the tunnel
	host    string // "host:port" of it
	more    []string
	proxy   string   // "host:port" of the proxy, or ""
	through *url.URL // the proxy, or nil
	why     string   // what decided about the proxy, for people
	ws      websocket.Dialer
}

// newDialer checks the hub's address and reads what the file refers to.
func newDialer(hub string, cfg HubConfig) (*dialer, error) {
	u, err := url.Parse(hub)
	if err != nil {
		return nil, fmt.Errorf("hub address: %w", err)
	}
	d := &dialer{more: cfg.Addresses}
	switch {
	case u.Scheme == "https":
		u.Scheme, d.host = "wss", hostPort(u, "443")
	case u.Scheme == "http" && loopback(u.Hostname()):
		u.Scheme, d.host = "ws", hostPort(u, "80")
	default:
		return nil, fmt.Errorf("hub address %s: want https (http only on this machine)", hub)
	}
	d.address = u.JoinPath(protocol.Path).String()
	roots, err := rootsWith(cfg.CAFile)
	if err != nil {
		return nil, fmt.Errorf("hub.ca_file: %w", err)
	}
	d.ws = websocket.Dialer{
		NetDialContext: d.dialNet, HandshakeTimeout: dialLife, Subprotocols: []string{protocol.Subprotocol},
		WriteBufferSize: carrier.WriteBuffer, WriteBufferPool: &carrier.WriteBuffers,
		TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12},
	}
	return d, d.useProxy(cfg)
}

func hostPort(u *url.URL, port string) string {
	if p := u.Port(); p != "" {
		port = p
	}
	return net.JoinHostPort(u.Hostname(), port)
}

// avoidKey carries addresses that are to be tried last through the websocket library.
type avoidKey struct{}

// open dials the hub. Addresses in avoid, which other tunnels use, are tried last. It
// returns the address that answered.
func (d *dialer) open(ctx context.Context, avoid []string) (*carrier.Conn, string, error) {
	ctx = context.WithValue(ctx, avoidKey{}, avoid)
	ws, resp, err := d.ws.DialContext(ctx, d.address, nil)
	if err != nil {
		if resp != nil {
			return nil, "", fmt.Errorf("the hub answered the tunnel with %q: %w", resp.Status, err)
		}
		return nil, "", err
	}
	if ws.Subprotocol() != protocol.Subprotocol {
		_ = ws.Close()
		return nil, "", errors.New("what answers at the hub's address does not speak " + protocol.Subprotocol)
	}
	return carrier.New(ws), ws.NetConn().RemoteAddr().String(), nil
}

// dialNet connects to the proxy, or to one of the hub's addresses.
func (d *dialer) dialNet(ctx context.Context, network, addr string) (net.Conn, error) {
	var nd net.Dialer
	if addr != d.host || addr == d.proxy {
		return nd.DialContext(ctx, network, addr)
	}
	list, err := d.addresses(ctx)
	if err != nil {
		return nil, err
	}
	avoid, _ := ctx.Value(avoidKey{}).([]string)
	var errs []error
	for _, a := range order(list, avoid) {
		one, cancel := context.WithTimeout(ctx, oneDial)
		conn, err := nd.DialContext(one, network, a)
		cancel()
		if err == nil {
			return conn, nil
		}
		errs = append(errs, err)
	}
	return nil, errors.Join(errs...)
}

// addresses are those that the name has, and those that the file adds.
func (d *dialer) addresses(ctx context.Context) ([]string, error) {
	host, port, err := net.SplitHostPort(d.host)
	if err != nil {
		return nil, err
	}
	var list []string
	for _, a := range d.more {
		if _, _, err := net.SplitHostPort(a); err != nil {
			a = net.JoinHostPort(strings.Trim(a, "[]"), port)
		}
		list = append(list, a)
	}
	if strings.HasSuffix(host, ".localhost") {
		return append(list, net.JoinHostPort("127.0.0.1", port)), nil // RFC 6761; not every resolver knows it
	}
	found, err := net.DefaultResolver.LookupHost(ctx, host)
	if err != nil && len(list) == 0 {
		return nil, err
	}
	for _, ip := range found {
		list = append(list, net.JoinHostPort(ip, port))
	}
	return list, nil
}

// order shuffles, so that agents spread over nodes, and puts what is to be avoided last.
func order(list, avoid []string) []string {
	list = slices.Clone(list)
	rand.Shuffle(len(list), func(i, j int) { list[i], list[j] = list[j], list[i] })
	slices.SortStableFunc(list, func(a, b string) int {
		return boolToInt(slices.Contains(avoid, a)) - boolToInt(slices.Contains(avoid, b))
	})
	return list
}

func boolToInt(b bool) int {
	if b {
		return 1
	}
	return 0
}

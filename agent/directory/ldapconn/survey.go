package ldapconn

import (
	"context"
	"crypto/tls"
	"errors"
	"net"
	"strings"
	"sync"
	"time"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory"
	"github.com/postern-id/postern/protocol"
)

// Survey looks at each listed server alone: name, connection, encryption, certificate and
// sign-in. After one refused sign-in it tries no other, so that it never locks the account.
// The error says that DNS did not name the servers.
func (p *Pool) Survey(ctx context.Context) ([]directory.Server, error) {
	members, err := p.roster.order(ctx)
	if err != nil {
		return nil, err
	}
	seen := make([]directory.Server, len(members))
	var wg sync.WaitGroup
	for i, m := range members {
		wg.Go(func() { seen[i] = p.view(ctx, m.server) })
	}
	wg.Wait()
	for i := range seen {
		if seen[i].Fault == "" {
			p.enter(ctx, &seen[i])
		}
	}
	return seen, nil
}

// view connects to a server and shows its certificate.
func (p *Pool) view(ctx context.Context, s server) directory.Server {
	out := directory.Server{URL: s.url}
	began := time.Now()
	conn, err := p.dial(ctx, s, s.addr)
	out.Took = time.Since(began)
	if err != nil {
		out.Fault, out.Err = faultOf(err), err
		return out
	}
	defer func() { _ = conn.Close() }()
	out.Address = conn.RemoteAddr().String()
	if secure, ok := conn.(*tls.Conn); ok {
		out.Chain = secure.ConnectionState().PeerCertificates
	}
	return out
}

// faultOf says how far a connection came.
func faultOf(err error) directory.Fault {
	var name *net.DNSError
	var untrusted *tls.CertificateVerificationError
	var dial *net.OpError
	switch {
	case errors.As(err, &name):
		return directory.FaultName
	case errors.As(err, &untrusted):
		return directory.FaultCertificate
	case errors.As(err, &dial) && dial.Op == "dial":
		return directory.FaultConnection
	}
	return directory.FaultEncryption
}

// enter signs in and asks the server for its root.
func (p *Pool) enter(ctx context.Context, s *directory.Server) {
	began := time.Now()
	c, err := p.Fresh(ctx, s.URL)
	s.Took += time.Since(began)
	if err != nil {
		s.Fault, s.Err = directory.FaultSignIn, err
		if protocol.CodeOf(err) == protocol.CodeUnavailable {
			s.Fault = directory.FaultAnswer
		}
		return
	}
	defer c.Close()
	if _, err := c.Entry(ctx, "", "(objectClass=*)", "namingContexts"); err != nil {
		s.Fault, s.Err = directory.FaultAnswer, err
	}
}

// maxBelow bounds how many entries are read below a branch: among a few only, a name that
// was misspelt would be taken for another one.
const maxBelow = 400

// Branches looks at each branch, all on one connection, in the given order.
func (p *Pool) Branches(ctx context.Context, dns ...string) (all []directory.Base, err error) {
	err = p.Do(ctx, "", func(c *Conn) error {
		all = nil // a second try begins anew
		for _, dn := range dns {
			b, err := c.Branch(ctx, dn)
			if err != nil {
				return err
			}
			all = append(all, b)
		}
		return nil
	})
	return all, err
}

// Branch looks whether a branch exists, and if not, what does.
func (c *Conn) Branch(ctx context.Context, dn string) (directory.Base, error) {
	b := directory.Base{DN: dn}
	for at := dn; at != ""; at = Above(at) {
		e, err := c.Entry(ctx, at, "(objectClass=*)", "objectClass")
		if code := protocol.CodeOf(err); code == protocol.CodeUnavailable || code == protocol.CodePermissionDenied && at == dn {
			return b, err
		}
		if e == nil {
			continue // not there, not to be seen, or of another server
		}
		if b.Found = at == dn; b.Found {
			return b, nil
		}
		b.Near = e.DN
		return b, c.below(ctx, &b)
	}
	root, err := c.Entry(ctx, "", "(objectClass=*)", "namingContexts")
	if root != nil {
		b.Below = root.GetAttributeValues("namingContexts")
	}
	return b, err
}

// below names some branches that stand directly below the nearest one.
func (c *Conn) below(ctx context.Context, b *directory.Base) error {
	found, err := c.Search(ctx, Request(b.Near, ldap.ScopeSingleLevel, maxBelow, "(|(objectClass=organizationalUnit)(objectClass=container)(objectClass=organization))", "1.1"))
	for _, e := range found {
		b.Below = append(b.Below, e.DN)
	}
	return err
}

// Above is the DN of what an entry stands in, spelled as it was; "" for the first level.
func Above(dn string) string {
	for i := 0; i < len(dn); i++ {
		switch dn[i] {
		case '\\':
			i++ // the next one is part of the name
		case ',':
			return strings.TrimLeft(dn[i+1:], " ")
		}
	}
	return ""
}

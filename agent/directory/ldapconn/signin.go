package ldapconn

import (
	"context"
	"errors"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/protocol"
)

// A SignIn is a server's answer to a sign-in.
type SignIn struct {
	Code   uint16 // LDAP result code
	Words  string // the server's diagnostic text, for kinds that decode it
	Policy int8   // password policy error, or NoPolicy; may accompany success

	err error // go-ldap's, nil on success
}

// OK reports whether the server accepted the name and the password.
func (s SignIn) OK() bool { return s.Code == ldap.LDAPResultSuccess }

// SignIn tries a name and a password on a connection of its own, as a failed sign-in
// makes a connection anonymous. server is as in Do. The error says that the server
// could not be asked. An empty name or password is refused here: servers take it for
// an anonymous sign-in and answer success.
func (p *Pool) SignIn(ctx context.Context, server, name string, password protocol.Secret) (SignIn, error) {
	if name == "" || password.Empty() {
		return SignIn{Code: ldap.LDAPResultInvalidCredentials, Policy: NoPolicy}, nil
	}
	c, err := p.connect(ctx, server)
	if err != nil {
		return SignIn{}, err
	}
	defer c.Close()
	return c.bind(ctx, name, password)
}

// bind signs the connection in and asks for the password policy's opinion.
func (c *Conn) bind(ctx context.Context, name string, password protocol.Secret) (SignIn, error) {
	if err := c.ready(ctx); err != nil {
		return SignIn{}, err
	}
	request := ldap.NewSimpleBindRequest(name, password.Reveal(), []ldap.Control{ldap.NewControlBeheraPasswordPolicy()})
	s := SignIn{Policy: NoPolicy}
	err := c.runWithin(ctx, bindTimeout, func() error {
		result, err := c.ldap.SimpleBind(request)
		if result != nil {
			s.Policy = policyOf(result.Controls)
		}
		return err
	})
	if err == nil {
		return s, nil
	}
	var e *ldap.Error
	if !errors.As(err, &e) || e.ResultCode >= ldap.ErrorNetwork {
		return SignIn{}, readFailure(err)
	}
	s.Code, s.err = e.ResultCode, err
	if e.Err != nil {
		s.Words = e.Err.Error()
	}
	if s.Policy == NoPolicy {
		s.Policy = PolicyError(err)
	}
	return s, nil
}

package ldap

import (
	"bytes"
	"context"
	"slices"
	"strings"

	"github.com/go-ldap/ldap/v3"

	"github.com/postern-id/postern/agent/directory/ldapconn"
)

// syncRefreshRequired is e-syncRefreshRequired of RFC 4533 section 2.6.
const syncRefreshRequired = 4096

// beginSync returns cookies that stand for this moment, one of each naming context. It
// is empty where the server does not offer RFC 4533 to the agent: then times are compared.
func (p *pass) beginSync(ctx context.Context) (map[string][]byte, error) {
	if p.directory.cfg.NoSync || !p.server.sync || len(p.server.suffixes) == 0 {
		return nil, nil
	}
	cookies := map[string][]byte{}
	for _, suffix := range p.server.suffixes {
		cookie, err := p.cookieOf(ctx, suffix)
		if err != nil || len(cookie) == 0 && !p.directory.cfg.is389() { // which tells everything once
			return nil, err
		}
		found, err := p.conn.Refresh(ctx, syncRequest(suffix), cookie)
		if refusesSync(err) {
			p.directory.log.Info("the server does not tell what changed; times and ids are compared", "server", p.conn.Server(), "error", err)
			return nil, nil
		}
		if err != nil {
			return nil, err
		}
		cookies[suffix] = found.Cookie
	}
	return cookies, nil
}

// cookieOf makes the cookie of OpenLDAP's syncprov from the change numbers that the
// naming context shows: asking for one would send the whole directory.
func (p *pass) cookieOf(ctx context.Context, suffix string) ([]byte, error) {
	e, err := p.conn.Entry(ctx, suffix, "(objectClass=*)", "contextCSN")
	if err != nil || e == nil {
		return nil, err
	}
	numbers := e.GetEqualFoldAttributeValues("contextCSN")
	if len(numbers) == 0 {
		return nil, nil // no syncprov, or the agent may not read it
	}
	slices.Sort(numbers)
	return []byte("rid=000,csn=" + strings.Join(numbers, ";")), nil
}

// syncRequest asks for everything: what left the filter of accounts is of interest too.
func syncRequest(suffix string) *ldap.SearchRequest {
	return ldapconn.Request(suffix, ldap.ScopeWholeSubtree, 0, "(objectClass=*)", "1.1")
}

// refusesSync holds for answers that mean that it does not work with this cookie, or
// never: there are other ways.
func refusesSync(err error) bool {
	return slices.ContainsFunc([]uint16{
		ldap.LDAPResultOperationsError, ldap.LDAPResultProtocolError, ldap.LDAPResultUnavailableCriticalExtension,
		ldap.LDAPResultInsufficientAccessRights, ldap.LDAPResultUnwillingToPerform, syncRefreshRequired,
	}, func(code uint16) bool { return ldapconn.IsCode(err, code) })
}

// refresh asks what changed in every naming context. ok is false if the server cannot
// say it with these cookies: it was restored, or knows nothing of them.
func (p *pass) refresh(ctx context.Context, state *listState, ch *news) (ok bool, err error) {
	if ahead, err := p.ahead(ctx, state.Cookies); err != nil || ahead {
		return false, err
	}
	ch.told = true
	next := map[string][]byte{}
	for _, suffix := range p.server.suffixes {
		cookie := state.Cookies[suffix]
		if len(cookie) == 0 {
			return false, nil
		}
		found, err := p.conn.Refresh(ctx, syncRequest(suffix), cookie)
		if refusesSync(err) {
			p.directory.log.Warn("the server cannot say what changed; everything is read anew", "server", p.conn.Server(), "error", err)
			return false, nil
		}
		if err != nil || found.Over {
			return false, err
		}
		for _, id := range found.Changed {
			ch.touched[id] = true
		}
		for _, id := range found.Deleted {
			ch.gone[id] = true
		}
		ch.told = ch.told && (found.Nothing() || (found.Deletes || p.directory.cfg.is389()) && !found.Present)
		next[suffix] = found.Cookie
	}
	state.Cookies = next
	return true, nil
}

// ahead reports whether a cookie of 389-ds is ahead of the server, which was restored
// then: asked about it the server drops the connection.
func (p *pass) ahead(ctx context.Context, cookies map[string][]byte) (bool, error) {
	if !p.directory.cfg.is389() {
		return false, nil
	}
	e, err := p.conn.Entry(ctx, "", "(objectClass=*)", "lastchangenumber")
	if err != nil || e == nil {
		return false, err
	}
	last := count(e.GetEqualFoldAttributeValue("lastchangenumber"))
	for _, c := range cookies {
		if count(string(c[bytes.LastIndexByte(c, '#')+1:])) > last {
			return true, nil
		}
	}
	return false, nil
}

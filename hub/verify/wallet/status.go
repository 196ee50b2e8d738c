package wallet

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol/evidence"
)

// StatusModes are what an environment may do about the status list that a document names,
// in the order in which people choose.
func StatusModes() []string {
	return []string{evidence.StatusRequire, evidence.StatusPrefer, evidence.StatusIgnore}
}

// Bounds of reading status lists, and of what an environment says about it.
const (
	statusLife     = 5 * time.Second // the person waits
	statusKeep     = 5 * time.Minute // so long a revoked document may count on; lists in use hold for hours
	statusCache    = 16 << 20        // bytes of all that is kept
	maxStatusHosts = 32              // every member state, and a few more
	maxStatusHost  = 260             // a DNS name with a port
)

// CheckStatusSettings reports what is wrong with an environment's word on status lists, as
// *Wrong. Hosts are "host" or "host:port" in lower case.
func CheckStatusSettings(s store.CredentialStatus) error {
	if !slices.Contains(StatusModes(), s.Mode) {
		return &Wrong{"status", "want require, prefer or ignore"}
	}
	if len(s.Hosts) > maxStatusHosts {
		return &Wrong{"hosts", fmt.Sprintf("more than %d", maxStatusHosts)}
	}
	for i, h := range s.Hosts {
		u, err := url.Parse("https://" + h + "/")
		if err != nil || len(h) > maxStatusHost || u.Hostname() == "" || u.Host != h || u.User != nil || strings.ToLower(h) != h || strings.HasSuffix(h, ":") || slices.Contains(s.Hosts[:i], h) {
			return &Wrong{"hosts", fmt.Sprintf("%.60q is no host in lower case, or stands twice", h)}
		}
	}
	return nil
}

// statusLists reads the status lists of issuers and keeps them for minutes, each for the
// environment that verified it: what one trusts says nothing to another.
type statusLists struct {
	client *http.Client
	now    func() time.Time

	mu   sync.Mutex
	kept map[listKey]keptList
}

type listKey struct{ env, address string }

type keptList struct {
	token []byte
	until time.Time
}

// check looks a verified document up. An error that is not evidence.ErrRevoked says that
// its list tells nothing.
func (l *statusLists) check(ctx context.Context, env string, c evidence.Claims, a evidence.Anchors, hosts []string) error {
	if c.Status == nil {
		return errUnlisted
	}
	u, err := statusAddress(c.Status.URI, hosts)
	if err != nil {
		return err
	}
	key := listKey{env, c.Status.URI}
	if token := l.remembered(key); token != nil {
		if _, err := c.CheckStatus(token, a, l.now()); err == nil || errors.Is(err, evidence.ErrRevoked) {
			return err
		} // the list is older than this document, or another authority's: read it anew
	}
	token, err := l.fetch(ctx, u)
	if err != nil {
		return err
	}
	until, err := c.CheckStatus(token, a, l.now())
	if err == nil || errors.Is(err, evidence.ErrRevoked) {
		l.remember(key, keptList{token, until})
	}
	return err
}

// errUnlisted says that a document cannot be revoked, or only where nobody here looks.
var errUnlisted = errors.New("wallet: the document names no status list")

// statusAddress takes the address that an issuer's signature put into a document, if it
// is of a host that lists are read from. Without hosts it is the issuer's own choice: an
// authority that the environment trusts signed it, and the client reaches public addresses
// and the networks that the hub's operator allowed, nothing else.
func statusAddress(address string, hosts []string) (*url.URL, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.Hostname() == "" || u.User != nil || u.Fragment != "" {
		return nil, errors.New("wallet: the status list is at no https address")
	}
	if len(hosts) > 0 && !slices.ContainsFunc(hosts, func(h string) bool { return strings.EqualFold(h, u.Host) }) {
		return nil, errors.New("wallet: the status list is at a host that the environment does not name")
	}
	return u, nil
}

func (l *statusLists) remembered(key listKey) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k, there := l.kept[key]; there && l.now().Before(k.until) {
		return k.token
	}
	return nil
}

// remember keeps a list for as long as its issuer says, and minutes at most. It drops
// everything else when it is too much.
func (l *statusLists) remember(key listKey, k keptList) {
	if most := l.now().Add(statusKeep); k.until.After(most) {
		k.until = most
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	size := len(k.token)
	for _, other := range l.kept {
		size += len(other.token)
	}
	if size > statusCache {
		clear(l.kept)
	}
	l.kept[key] = k
}

// fetch reads a list, unchecked. Its errors do not hold the address, which says on which
// list somebody's document is.
func (l *statusLists) fetch(ctx context.Context, u *url.URL) ([]byte, error) {
	if l.client == nil {
		return nil, errors.New("wallet: status lists cannot be read here")
	}
	ctx, cancel := context.WithTimeout(ctx, statusLife)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, errors.New("wallet: the status list is at no https address")
	}
	req.Header.Set("Accept", "application/statuslist+jwt, application/statuslist+cwt")
	res, err := l.client.Do(req)
	if err != nil {
		var broken *url.Error
		if errors.As(err, &broken) {
			err = broken.Err
		}
		return nil, fmt.Errorf("wallet: the status list cannot be read: %w", err)
	}
	defer func() { _ = res.Body.Close() }()
	if res.StatusCode != http.StatusOK { // a redirect too
		return nil, fmt.Errorf("wallet: the status list's host answered with status %d", res.StatusCode)
	}
	token, err := io.ReadAll(io.LimitReader(res.Body, evidence.MaxStatusToken+1))
	if err != nil {
		return nil, fmt.Errorf("wallet: the status list cannot be read: %w", err)
	}
	if len(token) > evidence.MaxStatusToken {
		return nil, errors.New("wallet: the status list is too large")
	}
	return token, nil
}

// status holds a verified document against its issuer's list, as the environment wants.
// refused is why it does not count, unread why nobody knows; both for the audit log.
func (v *Verifier) status(ctx context.Context, env string, c evidence.Claims, a evidence.Anchors) (refused, unread string, err error) {
	s, err := store.Get(ctx, v.store, func(tx *store.Tx) (store.CredentialStatus, error) { return tx.CredentialStatus(ctx, env) })
	if err != nil || s.Mode == evidence.StatusIgnore || s.Mode == evidence.StatusPrefer && c.Status == nil {
		return "", "", err
	}
	switch err := v.statuses.check(ctx, env, c, a, s.Hosts); {
	case err == nil:
		return "", "", nil
	case s.Mode == evidence.StatusPrefer && !errors.Is(err, evidence.ErrRevoked):
		return "", err.Error(), nil
	default:
		return err.Error(), "", nil
	}
}

package agent

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/protocol/evidence"
)

// Bounds of reading status lists.
const (
	statusLife  = 10 * time.Second // an employee waits
	statusKeep  = 5 * time.Minute  // shorter than the ttl of any list in use; how current a list is, its own times say
	statusCache = 2 << 20          // bytes of all that is kept
)

// statusLists reads the status lists of documents' issuers, from the hosts that the file
// names and nowhere else: an address inside a document is somebody else's word.
type statusLists struct {
	hosts  []string
	client *http.Client
	now    func() time.Time

	mu   sync.Mutex
	kept map[string]keptList
}

type keptList struct {
	token []byte
	until time.Time
}

func newStatusLists(s proof.Settings, now func() time.Time) (*statusLists, error) {
	roots, err := rootsWith(s.StatusCAFile)
	if err != nil {
		return nil, fmt.Errorf("evidence.status_ca_file: %w", err)
	}
	return &statusLists{hosts: s.StatusHosts, now: now, kept: map[string]keptList{}, client: &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, Proxy: http.ProxyFromEnvironment, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("a status list is a redirect") },
	}}, nil
}

// token returns the list at an address, unchecked, from memory for a few minutes.
func (l *statusLists) token(ctx context.Context, address string) ([]byte, error) {
	u, err := url.Parse(address)
	if err != nil || u.Scheme != "https" || u.User != nil || u.Fragment != "" || !slices.ContainsFunc(l.hosts, func(h string) bool { return strings.EqualFold(h, u.Host) }) {
		return nil, errors.New("the document's status list is at a host that is not among evidence.status_hosts")
	}
	if token := l.remembered(address); token != nil {
		return token, nil
	}
	token, err := l.fetch(ctx, u)
	if err == nil {
		l.remember(address, token)
	}
	return token, err
}

func (l *statusLists) remembered(address string) []byte {
	l.mu.Lock()
	defer l.mu.Unlock()
	if k, there := l.kept[address]; there && l.now().Before(k.until) {
		return k.token
	}
	return nil
}

// remember keeps a list, and drops everything else when it is too much.
func (l *statusLists) remember(address string, token []byte) {
	l.mu.Lock()
	defer l.mu.Unlock()
	size := len(token)
	for _, k := range l.kept {
		size += len(k.token)
	}
	if size > statusCache {
		clear(l.kept)
	}
	l.kept[address] = keptList{token, l.now().Add(statusKeep)}
}

func (l *statusLists) fetch(ctx context.Context, u *url.URL) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, statusLife)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, u.String(), nil)
	if err != nil {
		return nil, err
	}
	req.Header.Set("Accept", "application/statuslist+jwt, application/statuslist+cwt")
	res, err := l.client.Do(req)
	if err != nil {
		var broken *url.Error
		if errors.As(err, &broken) { // the address says which list somebody's document is on
			err = broken.Err
		}
		return nil, fmt.Errorf("the status list cannot be read: %w", err)
	}
	defer res.Body.Close()
	token, err := io.ReadAll(io.LimitReader(res.Body, evidence.MaxStatusToken+1))
	switch {
	case err != nil:
		return nil, fmt.Errorf("the status list cannot be read: %w", err)
	case res.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("the status list's host answered with status %d", res.StatusCode)
	case len(token) > evidence.MaxStatusToken:
		return nil, errors.New("the status list is too large")
	}
	return token, nil
}

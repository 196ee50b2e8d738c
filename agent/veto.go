package agent

import (
	"bytes"
	"context"
	"crypto/tls"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"time"

	"github.com/postern-id/postern/agent/proof"
	"github.com/postern-id/postern/agent/settings"
	"github.com/postern-id/postern/protocol"
)

// Bounds of one question to the security veto.
const (
	vetoLife  = 10 * time.Second // an employee waits
	maxAnswer = 4 << 10
)

// A veto is asked right before an operation of a strict account, by an address that no
// hub knows or can change (T23).
type veto struct {
	url    string
	token  protocol.Secret
	client *http.Client
}

// A vetoQuestion is what the organisation's own check reads.
type vetoQuestion struct {
	Context   protocol.Context `json:"context"`
	Recovery  string           `json:"recovery"`
	Directory string           `json:"directory"`
	Account   string           `json:"account"` // immutable id
	Operation string           `json:"operation"`
	Origin    string           `json:"origin"` // the recovery domain, as the hub says
}

// newVeto returns nil when the file names no address.
func newVeto(s proof.Settings) (*veto, error) {
	if s.VetoURL == "" {
		return nil, nil
	}
	roots, err := rootsWith(s.VetoCAFile)
	if err != nil {
		return nil, fmt.Errorf("evidence.veto_ca_file: %w", err)
	}
	v := &veto{url: s.VetoURL, client: &http.Client{
		Transport:     &http.Transport{TLSClientConfig: &tls.Config{RootCAs: roots, MinVersion: tls.VersionTLS12}, DisableKeepAlives: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return errors.New("the veto answers with a redirect") },
	}}
	if s.VetoTokenFile != "" {
		if v.token, err = settings.ReadSecret(s.VetoTokenFile); err != nil {
			return nil, fmt.Errorf("evidence.veto_token_file: %w", err)
		}
	}
	return v, nil
}

// ask returns nil when the organisation lets the operation pass. No answer is no.
func (v *veto) ask(ctx context.Context, q vetoQuestion) *protocol.Error {
	ctx, cancel := context.WithTimeout(ctx, vetoLife)
	defer cancel()
	allowed, err := v.answer(ctx, q)
	switch {
	case err != nil:
		return protocol.Err(protocol.CodeUnavailable, "the security veto gave no answer: "+err.Error())
	case !allowed:
		return protocol.Err(protocol.CodePermissionDenied, "the security veto refused the operation")
	}
	return nil
}

func (v *veto) answer(ctx context.Context, q vetoQuestion) (bool, error) {
	body, err := json.Marshal(q)
	if err != nil {
		return false, err
	}
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, v.url, bytes.NewReader(body))
	if err != nil {
		return false, err
	}
	req.Header.Set("Content-Type", "application/json")
	if !v.token.Empty() {
		req.Header.Set("Authorization", "Bearer "+v.token.Reveal())
	}
	resp, err := v.client.Do(req)
	if err != nil {
		return false, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(io.LimitReader(resp.Body, maxAnswer))
	switch {
	case err != nil:
		return false, err
	case resp.StatusCode != http.StatusOK:
		return false, errors.New(resp.Status)
	}
	var a struct {
		Allow bool `json:"allow"`
	}
	if err := json.Unmarshal(text, &a); err != nil {
		return false, errors.New("it is no JSON")
	}
	return a.Allow, nil
}

// vetoed asks the organisation's own check, where the file names one. It is asked
// within the operation, so the answer is never older than the frame.
func (s *service) vetoed(ctx context.Context, j job, k claimant) *protocol.Error {
	if s.veto == nil || !k.terms.Strict {
		return nil
	}
	return s.veto.ask(ctx, vetoQuestion{j.context, j.recovery.ID, s.id.Directory, j.recovery.Account, j.recovery.Operation, j.recovery.Origin})
}

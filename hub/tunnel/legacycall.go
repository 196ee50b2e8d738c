package tunnel

import (
	"context"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/seal"
)

// A legacyAgent answers the calls of our own protocol over the public one.
type legacyAgent struct {
	t              *Tunnels
	socket         *socket
	env, directory string
}

// Ping implements peer.
func (a *legacyAgent) Ping() error { return a.socket.ping() }

// LastHeard implements peer.
func (a *legacyAgent) LastHeard() time.Time { return a.socket.lastHeard() }

// Close implements peer. Our own close codes mean nothing to these agents.
func (a *legacyAgent) Close(_ int, reason string) {
	a.socket.close(1012, reason) // service restart (IANA registry of websocket close codes)
}

// CallWithin implements peer.
func (a *legacyAgent) CallWithin(ctx context.Context, life time.Duration, m protocol.Method, p protocol.Priority, req, resp any) error {
	ctx, cancel := context.WithTimeout(ctx, life)
	defer cancel()
	return a.Call(ctx, m, p, req, resp)
}

// Call implements peer.
func (a *legacyAgent) Call(ctx context.Context, m protocol.Method, p protocol.Priority, req, resp any) error {
	serve, ok := legacyMethods[m]
	if !ok {
		return protocol.Err(protocol.CodeUnsupported, "an agent of the public protocol cannot do this")
	}
	raw, ok := req.(json.RawMessage)
	if !ok {
		var err error
		if raw, err = json.Marshal(req); err != nil {
			return err
		}
	}
	v, err := serve(a, ctx, p, raw)
	if err != nil {
		return err
	}
	return give(v, resp)
}

// give puts an answer where the caller wants it.
func give(v, resp any) error {
	if resp == nil {
		return nil
	}
	text, err := json.Marshal(v)
	if err != nil {
		return err
	}
	if raw, ok := resp.(*json.RawMessage); ok {
		*raw = text
		return nil
	}
	return json.Unmarshal(text, resp)
}

// legacyMethods are the calls that the public protocol can answer.
var legacyMethods = map[protocol.Method]func(*legacyAgent, context.Context, protocol.Priority, []byte) (any, error){
	protocol.MethodDescribe:   decoded((*legacyAgent).describe),
	protocol.MethodList:       decoded((*legacyAgent).list),
	protocol.MethodGet:        decoded((*legacyAgent).get),
	protocol.MethodListGroups: decoded((*legacyAgent).listGroups),
	protocol.MethodBegin:      decoded((*legacyAgent).begin),
	protocol.MethodContacts:   decoded((*legacyAgent).contacts),
	protocol.MethodPerform:    decoded((*legacyAgent).perform),
	protocol.MethodDrop:       decoded((*legacyAgent).forget),
	protocol.MethodOutcome:    decoded((*legacyAgent).outcome),
}

func decoded[Q any](serve func(*legacyAgent, context.Context, protocol.Priority, Q) (any, error)) func(*legacyAgent, context.Context, protocol.Priority, []byte) (any, error) {
	return func(a *legacyAgent, ctx context.Context, p protocol.Priority, body []byte) (any, error) {
		var q Q
		if err := json.Unmarshal(body, &q); err != nil {
			return nil, protocol.Err(protocol.CodeBadRequest, "the request cannot be read")
		}
		return serve(a, ctx, p, q)
	}
}

// ask exchanges one request for its reply.
func (a *legacyAgent) ask(ctx context.Context, p protocol.Priority, life time.Duration, request legacyRequestBody) (*legacyReplyBody, error) {
	b, err := a.socket.exchange(ctx, p, life, request)
	switch {
	case errors.Is(err, errUnsent):
		return nil, protocol.Err(protocol.CodeUnavailable, "the agent is gone, or busy for too long")
	case errors.Is(err, errNoWord):
		return nil, protocol.Err(protocol.CodeInternal, "the agent did not reply")
	case err != nil:
		return nil, err
	}
	r, err := decodeReply(b)
	if err == error(errReply) { // this very one: Is compares codes
		a.socket.close(1007, "unreadable reply") // polluted output: nothing after it can be trusted to be in order
	}
	return r, err
}

func (a *legacyAgent) describe(ctx context.Context, p protocol.Priority, _ protocol.Empty) (any, error) {
	r, err := a.ask(ctx, p, legacyOperation, legacyRequestBody{Configure: &struct{}{}})
	switch {
	case err != nil:
		return nil, err
	case r.Configure == nil:
		return nil, errReply
	}
	return protocol.Description{Fingerprint: r.Configure.ImmutableID, Kind: "custom", Traits: ownTraits(r.Configure.Traits)}, nil
}

// ownTraits drops what only our own protocol can do.
func ownTraits(t protocol.Traits) protocol.Traits {
	t.CanMustChange, t.CanSendCode, t.CanEnrollKey = false, false, false
	t.Name = cut(t.Name)
	for _, row := range protocol.Acts {
		*row.Has(&t) = false
	}
	return t
}

// A legacyPass is the state of a pass over the accounts. It travels in ListPage.Pass,
// so that no node has to remember it.
type legacyPass struct {
	Fingerprint string    `json:"f"`
	After       string    `json:"a,omitempty"` // updated_after of a delta pass
	Cursor      string    `json:"c,omitempty"`
	Newest      time.Time `json:"n,omitzero"` // greatest updated_at so far
}

// overlap is how far a delta pass reaches back behind the last one: some providers
// compare with ≥, others with >.
const overlap = time.Second

func (a *legacyAgent) list(ctx context.Context, p protocol.Priority, q protocol.ListRequest) (any, error) {
	pass, err := a.passOf(ctx, p, q)
	if err != nil {
		return nil, err
	}
	r, err := a.ask(ctx, p, legacyPage, legacyRequestBody{ListAccounts: &legacyList{UpdatedAfter: pass.After, Cursor: pass.Cursor}})
	switch {
	case err != nil:
		return nil, err
	case r.ListAccounts == nil:
		return nil, errReply
	}
	key, err := a.birthDateKey(ctx)
	if err != nil {
		return nil, err
	}
	page := protocol.ListPage{Fingerprint: pass.Fingerprint, Full: pass.After == "", Accounts: []protocol.Account{}}
	for _, account := range r.ListAccounts.Accounts {
		if account.UpdatedAt.After(pass.Newest) {
			pass.Newest = account.UpdatedAt.Time
		}
		if own, ok := account.account(key); ok {
			page.Accounts = append(page.Accounts, own)
		}
	}
	pass.Cursor = r.ListAccounts.NextCursor
	if page.Done = pass.Cursor == ""; page.Done {
		page.State = pass.state()
		return page, nil
	}
	page.Pass, err = pass.encode()
	return page, err
}

// passOf opens a pass, or reads the state of one.
func (a *legacyAgent) passOf(ctx context.Context, p protocol.Priority, q protocol.ListRequest) (pass legacyPass, err error) {
	if q.Pass != "" {
		raw, err := base64.RawURLEncoding.DecodeString(q.Pass)
		if err != nil || json.Unmarshal(raw, &pass) != nil {
			return pass, protocol.Err(protocol.CodeBadRequest, "unknown pass")
		}
		return pass, nil
	}
	described, err := a.describe(ctx, p, protocol.Empty{})
	if err != nil {
		return pass, err
	}
	d, _ := described.(protocol.Description) // describe gives nothing else
	pass.Fingerprint = d.Fingerprint
	if since, err := time.Parse(time.RFC3339Nano, q.Since); err == nil && d.Traits.CanUpdateAccountsList {
		pass.After, pass.Newest = since.Add(-overlap).UTC().Format(time.RFC3339), since.UTC()
	}
	return pass, nil
}

func (s legacyPass) encode() (string, error) {
	text, err := json.Marshal(s)
	return base64.RawURLEncoding.EncodeToString(text), err
}

// state is what the next delta pass begins with; "" if no account had a time.
func (s legacyPass) state() string {
	if s.Newest.IsZero() {
		return ""
	}
	return s.Newest.UTC().Format(time.RFC3339Nano)
}

func (a *legacyAgent) birthDateKey(ctx context.Context) ([]byte, error) {
	key, err := store.Get(ctx, a.t.store, func(tx *store.Tx) ([]byte, error) { return tx.BirthDateKey(ctx, a.env, a.directory) })
	if err != nil && !isNotFound(err) {
		return nil, protocol.Err(protocol.CodeUnavailable, "the store does not answer")
	}
	return key, nil
}

// get asks by immutable id alone: with an identifier the shipped agents for LDAP and
// Active Directory break, and exit as if all were well.
func (a *legacyAgent) get(ctx context.Context, p protocol.Priority, ref protocol.Ref) (any, error) {
	if ref.ID == "" {
		return nil, protocol.Err(protocol.CodeUnsupported, "agents of the public protocol are asked by immutable id only")
	}
	r, err := a.ask(ctx, p, legacyOperation, legacyRequestBody{GetAccount: &legacyGet{legacyRef{ImmutableID: ref.ID}}})
	switch {
	case err != nil:
		return nil, err
	case r.GetAccount == nil:
		return nil, errReply
	}
	key, err := a.birthDateKey(ctx)
	if err != nil {
		return nil, err
	}
	list := protocol.AccountList{Accounts: []protocol.Account{}}
	for _, account := range r.GetAccount.Accounts {
		if own, ok := account.account(key); ok && own.ID == ref.ID { // a provider may take the id for a pattern
			list.Accounts = append(list.Accounts, own)
		}
	}
	return list, nil
}

// maxGroupPages bounds the pages of one question: a shipped agent gives all groups and
// the same cursor every time.
const maxGroupPages = 20

func (a *legacyAgent) listGroups(ctx context.Context, p protocol.Priority, q protocol.GroupsRequest) (any, error) {
	list := protocol.GroupList{Groups: []protocol.Group{}}
	seen := map[string]bool{}
	cursor := ""
	for range maxGroupPages {
		r, err := a.ask(ctx, p, legacyOperation, legacyRequestBody{ListGroups: &legacyListGroups{q.Prefix, q.Max, cursor}})
		switch {
		case err != nil:
			return nil, err
		case r.ListGroups == nil:
			return nil, errReply
		}
		fresh := false
		for _, g := range r.ListGroups.Groups {
			if !seen[g.ImmutableID] && (q.Max <= 0 || len(list.Groups) < q.Max) {
				seen[g.ImmutableID], fresh = true, true
				list.Groups = append(list.Groups, g.group())
			}
		}
		if cursor = r.ListGroups.NextCursor; cursor == "" || !fresh {
			break
		}
	}
	return list, nil
}

// begin makes the agent's random part itself and tries every task dry: the public
// protocol knows no recoveries.
func (a *legacyAgent) begin(ctx context.Context, p protocol.Priority, q protocol.BeginRequest) (any, error) {
	tasks, err := protocol.ParseTasks(q.Operation)
	if err != nil || len(q.Recovery) != protocol.RandomPart || q.Account == "" {
		return nil, protocol.Err(protocol.CodeBadRequest, "the recovery cannot be read")
	}
	b := protocol.Begun{Agent: protocol.LegacyAgent(a.directory), Recovery: make([]byte, protocol.RandomPart), Account: q.Account}
	_, _ = rand.Read(b.Recovery) // never fails
	b.NotAfter = a.t.now().Add(legacyNotAfter).Unix()
	b.Finding, err = a.finding(ctx, p, q.Account, tasks)
	if err != nil {
		return nil, err
	}
	a.t.begun.put(protocol.RecoveryID(q.Recovery, b.Recovery), q.Account, a.t.now().Add(legacyNotAfter))
	return b, nil
}

// finding is what would stand in the way: the setting, or what a dry run finds.
func (a *legacyAgent) finding(ctx context.Context, p protocol.Priority, account string, tasks []protocol.Task) (*protocol.Error, error) {
	if err := a.permitted(ctx, tasks); err != nil {
		return refused(err)
	}
	for i, task := range tasks {
		if task.Operation.Own() { // begun for its evidence alone
			continue
		}
		err := a.run(ctx, p, account, task, true, nil)
		if i > 0 && protocol.CodeOf(err) == protocol.CodeUnsupportedAccountState {
			continue // nothing to unlock beside a reset
		}
		if err != nil {
			return refused(err)
		}
	}
	return nil, nil
}

// refused tells a refusal, which is a finding, from a failure to find out.
func refused(err error) (*protocol.Error, error) {
	var e *protocol.Error
	if errors.As(err, &e) && e.Code != protocol.CodeUnavailable && e.Code != protocol.CodeInternal {
		return e, nil
	}
	return nil, err
}

// permitted refuses what cannot be done honestly over the public protocol: secrets that
// nobody allowed to travel unsealed (T24), parameters that it has no word for.
func (a *legacyAgent) permitted(ctx context.Context, tasks []protocol.Task) error {
	secret := false
	for _, task := range tasks {
		secret = secret || task.Operation.Secret()
		if task.Params["must_change"] != "" {
			return protocol.Err(protocol.CodeUnsupported, "the public protocol cannot ask for a change of the password")
		}
	}
	if !secret {
		return nil
	}
	d, err := store.Get(ctx, a.t.store, func(tx *store.Tx) (store.Directory, error) { return tx.Directory(ctx, a.env, a.directory) })
	switch {
	case err != nil:
		return protocol.Err(protocol.CodeUnavailable, "the store does not answer")
	case !d.Settings.AllowUnsealed:
		return protocol.Err(protocol.CodePermissionDenied, "this agent cannot seal secrets, and the directory does not allow unsealed ones: enrol a native agent, or set allow_unsealed")
	}
	return nil
}

// run carries out one task, or tries it dry. The secret of a real run goes to take.
func (a *legacyAgent) run(ctx context.Context, p protocol.Priority, account string, task protocol.Task, dry bool, take func(protocol.Secret)) error {
	r, err := a.ask(ctx, p, legacyOperation, legacyRequestBody{PerformOperation: &legacyPerform{task.Operation, account, dry}})
	switch {
	case err != nil:
		return err
	case r.PerformOperation == nil:
		return errReply
	case dry || !task.Operation.Secret():
		return nil
	}
	secret := r.PerformOperation.secret(task.Operation)
	if secret.Empty() {
		return protocol.Err(protocol.CodeInternal, "the agent gave no secret")
	}
	take(secret)
	return nil
}

// secret picks the member that an operation fills. The access pass has none of its own.
func (r *legacyResult) secret(o protocol.Operation) protocol.Secret {
	switch o {
	case protocol.GetPasswordLink:
		return r.PasswordLink.Secret
	case protocol.GetMFALink:
		return r.MFAResetLink.Secret
	case protocol.GetMFABypassCode:
		return r.MFABypassCode.Secret
	}
	return r.TemporaryPassword.Secret
}

// perform carries out the operation once: the claim in the store lets only one call come
// here, and nothing is ever sent twice. The secret is sealed at once, so that it is
// nowhere else in the hub, but the hub has seen it: the outcome says so.
func (a *legacyAgent) perform(ctx context.Context, p protocol.Priority, q protocol.PerformRequest) (any, error) {
	out := protocol.Outcome{Context: q.Context, Unsealed: true}
	tasks, err := protocol.ParseTasks(q.Members.Operation)
	if err != nil || q.Members.Context() != q.Context || q.Members.Directory != a.directory {
		return nil, protocol.Err(protocol.CodeBadRequest, "the operation cannot be read")
	}
	if a.t.now().After(time.Unix(q.Members.NotAfter, 0)) {
		return nil, protocol.Err(protocol.CodeExpired, "the recovery has expired")
	}
	if err := a.permitted(ctx, tasks); err != nil {
		return outcomeOf(out, err)
	}
	var sealing error
	for i, task := range tasks {
		err := a.run(ctx, p, q.Members.Account, task, false, func(s protocol.Secret) {
			out.Sealed, sealing = seal.Seal(q.Members.Recipient, q.Context, s)
		})
		if err != nil && i > 0 {
			break // the first task is what was asked for; unlocking beside it is a courtesy
		}
		if err == nil {
			err = sealing
		}
		if err != nil {
			return outcomeOf(out, err)
		}
	}
	out.State = protocol.Done
	return out, nil
}

// outcomeOf tells what an error left behind. Shipped agents call nearly everything
// internal, so after such an error a person must look.
func outcomeOf(out protocol.Outcome, err error) (any, error) {
	var e *protocol.Error
	if !errors.As(err, &e) {
		e = protocol.Err(protocol.CodeInternal, "the secret could not be sealed")
	}
	out.Error = e
	switch e.Code {
	case protocol.CodeUnavailable:
		return nil, e // it was not sent
	case protocol.CodeServiceAuthentication, protocol.CodeConfiguration:
		out.State = protocol.Unchanged
	case protocol.CodeInternal:
		out.State = protocol.Unknown
	default:
		out.State = protocol.Failed
	}
	return out, nil
}

// outcome has no journal to look into: what was asked and not answered is unknown.
func (a *legacyAgent) outcome(_ context.Context, _ protocol.Priority, q protocol.OutcomeRequest) (any, error) {
	return protocol.Outcome{Context: q.Context, State: protocol.Unknown, Unsealed: true, Error: protocol.Err(protocol.CodeInternal, "an agent of the public protocol keeps no journal")}, nil
}

// contacts gives the account's own addresses: the public protocol has no others.
func (a *legacyAgent) contacts(ctx context.Context, p protocol.Priority, q protocol.RecoveryRef) (any, error) {
	account, ok := a.t.begun.get(q.Recovery, a.t.now())
	if !ok {
		return nil, protocol.Err(protocol.CodeNotBegun, "the recovery was not begun here, or it ended")
	}
	v, err := a.get(ctx, p, protocol.Ref{ID: account})
	if err != nil {
		return nil, err
	}
	list, _ := v.(protocol.AccountList) // get gives nothing else
	var c protocol.Contacts
	for _, found := range list.Accounts {
		for _, id := range found.Identifiers {
			if strings.Contains(id, "@") {
				c.Primary = append(c.Primary, id)
			}
		}
	}
	return c, nil
}

func (a *legacyAgent) forget(_ context.Context, _ protocol.Priority, q protocol.RecoveryRef) (any, error) {
	a.t.begun.remove(q.Recovery)
	return protocol.Empty{}, nil
}

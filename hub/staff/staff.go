// Package staff looks after the people who work in the console or vouch for others:
// invitations, their passkeys, and how they sign in. There are no passwords. Keys of
// recovery domains approve and keys of the console's host sign in; neither answers for
// the other (T1). It knows no pages and no recovery.
package staff

import (
	"context"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/mail"
	"slices"
	"strings"
	"time"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/evidence"
)

// Roles of the console, strongest first, as the REST API spells them. Approver is no
// role of the console: such a person only vouches.
const (
	Owner       = "owner"
	Admin       = "admin"
	User        = "user"
	LimitedPlus = "limited_plus"
	Limited     = "limited"
	Approver    = ""
)

var ranks = []string{Owner, Admin, User, LimitedPlus, Limited, Approver}

// AtLeast reports whether a role reaches what another one reaches.
func AtLeast(role, least string) bool {
	i := slices.Index(ranks, role)
	return i >= 0 && i <= slices.Index(ranks, least)
}

// Errors that pages and commands tell apart.
var (
	ErrGone   = errors.New("staff: the link is unknown, used or too old")
	ErrKey    = errors.New("staff: the passkey does not fit")
	ErrPerson = errors.New("staff: a name, a mail address and a known role are needed")
	ErrTaken  = errors.New("staff: somebody has this address already")
	ErrRole   = errors.New("staff: the role does not reach this")
)

// Wait is how long a key that vouches does not count, so that the others hear of it
// before it opens anything (T17).
const Wait = 72 * time.Hour

// A Message carries an invitation, or tells administrators of a new key.
type Message struct {
	Env, To, Name string
	Origin        string
	Path          string          // of the page; the token is its fragment
	Token         protocol.Secret // empty: news of a key
	Role          string
	Who           string    // news: whose key
	Until         time.Time // the invitation works; news: from when on the key counts
}

// Messages puts mails into the outbox.
type Messages interface {
	// QueueStaff puts a mail into the outbox in the caller's transaction.
	QueueStaff(ctx context.Context, tx *store.Tx, m Message) error
	// Wake hastens the sending of what has committed.
	Wake()
}

// A Config is what Members are made of.
type Config struct {
	Store *store.Store
	Mail  Messages // nil: nobody is told; links are shown to whoever makes them
	Log   *slog.Logger
	Wait  time.Duration // 0: Wait, below 0: not at all (demonstrations)
}

// Members looks after the staff of every organisation.
type Members struct{ cfg Config }

// New makes Members.
func New(cfg Config) *Members {
	if cfg.Wait == 0 {
		cfg.Wait = Wait
	}
	cfg.Wait = max(cfg.Wait, 0)
	return &Members{cfg}
}

// Paths of the pages that invitations lead to; the secret is the fragment.
const (
	ConsolePath  = "/console/join"
	ApproverPath = "/approver"
)

// A Place is where a passkey is made and used: a recovery domain, or the console.
type Place struct {
	Env    string // of a recovery domain; "": the console
	Origin string
}

// RPID is the relying party: the host, exactly.
func (p Place) RPID() string { return evidence.RPID(p.Origin) }

func (p Place) path() string {
	if p.Env == "" {
		return ConsolePath
	}
	return ApproverPath
}

// Invite adds a person, or takes the one who has the address already, and makes an
// invitation to a passkey at a place. It returns the person and the link. by is who
// invites: nobody gives more than they have.
func (m *Members) Invite(ctx context.Context, who store.Staff, at Place, role string, by audit.Principal) (store.Staff, protocol.Secret, error) {
	who.Name, who.Mail = strings.TrimSpace(who.Name), strings.ToLower(strings.TrimSpace(who.Mail))
	addr, err := mail.ParseAddress(who.Mail)
	if err != nil || addr.Address != who.Mail || who.Name == "" || len(who.Name) > 200 || len(who.Mail) > 254 || !slices.Contains(ranks, who.Role) || at.RPID() == "" {
		return who, protocol.Secret{}, ErrPerson
	}
	if !AtLeast(role, Admin) || !AtLeast(role, who.Role) || at.Env == "" && who.Role == Approver {
		return who, protocol.Secret{}, ErrRole
	}
	token := store.NewToken()
	err = m.cfg.Store.Tx(ctx, func(tx *store.Tx) (err error) {
		who, err = m.invite(ctx, tx, who, at, role, token, by)
		return err
	})
	if err == nil && m.cfg.Mail != nil {
		m.cfg.Mail.Wake()
	}
	return who, protocol.NewSecret(at.Origin + at.path() + "#" + token), err
}

// bySystem is the actor of commands on the hub's own machine, which may do anything.
const bySystem = "command"

// signsIn reports whether somebody has a key for a place.
func signsIn(keys []store.StaffKey, rp string) bool {
	return slices.ContainsFunc(keys, func(k store.StaffKey) bool { return k.RP == rp })
}

func (m *Members) invite(ctx context.Context, tx *store.Tx, who store.Staff, at Place, role, token string, by audit.Principal) (store.Staff, error) {
	all, err := tx.StaffList(ctx, who.Org)
	if err != nil {
		return who, err
	}
	if i := slices.IndexFunc(all, func(s store.Staff) bool { return s.Mail == who.Mail }); i >= 0 {
		if at.Env == "" && all[i].Role != who.Role || !AtLeast(role, all[i].Role) {
			return who, ErrTaken
		}
		if keys, err := tx.StaffKeys(ctx, who.Org, all[i].ID); err != nil || at.Env == "" && by.System != bySystem && signsIn(keys, at.RPID()) {
			return who, errors.Join(err, ErrTaken) // remove first: a link to somebody's place must not be made without their noticing
		}
		who = all[i]
	} else {
		who.ID = store.NewID()
		if err := tx.AddStaff(ctx, &who); err != nil {
			return who, err
		}
	}
	l := store.StaffLink{Hash: store.HashToken(token), Org: who.Org, Staff: who.ID, RP: at.RPID()}
	if err := tx.AddStaffLink(ctx, &l); err != nil {
		return who, err
	}
	if m.cfg.Mail != nil && at.Env != "" {
		err := m.cfg.Mail.QueueStaff(ctx, tx, Message{Env: at.Env, To: who.Mail, Name: who.Name, Origin: at.Origin, Path: at.path(),
			Token: protocol.NewSecret(token), Role: who.Role, Until: l.Expires})
		if err != nil {
			return who, err
		}
	}
	return who, audit.Append(ctx, tx, audit.Event{Org: who.Org, Env: at.Env, Kind: audit.OrgMemberInvited, Actor: by, Trace: who.ID,
		Detail: map[string]any{"member": who.ID, "role": who.Role, "rp": at.RPID()}, Personal: map[string]string{"name": who.Name, "mail": who.Mail}})
}

// Remove removes a person with passkeys, invitations and sessions. The last owner may go
// too: "postern init --console-link" is the way back in, for who has the hub's disk.
func (m *Members) Remove(ctx context.Context, org, id, role string, by audit.Principal) error {
	return m.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		who, err := tx.Staff(ctx, org, id)
		if err != nil {
			return err
		}
		if !AtLeast(role, Admin) || !AtLeast(role, who.Role) {
			return ErrRole
		}
		if err := tx.RemoveStaff(ctx, org, id); err != nil {
			return err
		}
		return audit.Append(ctx, tx, audit.Event{Org: org, Kind: audit.OrgMemberRemoved, Actor: by, Detail: map[string]any{"member": id, "role": who.Role}})
	})
}

// An Invitation is what its page shows.
type Invitation struct {
	Name, Role string
	Until      time.Time
	Ask        json.RawMessage // PublicKeyCredentialCreationOptionsJSON (WebAuthn Level 3, section 5.4)
}

// linkLabel begins the hash of every challenge of an invitation.
const linkLabel = "postern/staff/link/v1"

// challengeOf is what a registration by an invitation signs: it is as secret and as
// short-lived as the link.
func challengeOf(token string) [32]byte { return sha256.Sum256([]byte(linkLabel + token)) }

// Invitation shows an invitation. It uses nothing up.
func (m *Members) Invitation(ctx context.Context, at Place, token string) (inv Invitation, err error) {
	err = m.cfg.Store.Read(ctx, func(tx *store.Tx) error {
		l, err := tx.StaffLink(ctx, at.RPID(), store.HashToken(token))
		if err != nil {
			return err
		}
		who, err := tx.Staff(ctx, l.Org, l.Staff)
		if err != nil {
			return err
		}
		keys, err := tx.StaffKeys(ctx, l.Org, l.Staff)
		if err != nil {
			return err
		}
		inv = Invitation{Name: who.Name, Role: who.Role, Until: l.Expires}
		inv.Ask, err = creation(who, at, challengeOf(token), keys)
		return err
	})
	if errors.Is(err, store.ErrNotFound) {
		err = ErrGone
	}
	return inv, err
}

// timeout is how long a browser waits for the person, in milliseconds.
const timeout = 5 * 60 * 1000

func creation(who store.Staff, at Place, challenge [32]byte, keys []store.StaffKey) ([]byte, error) {
	exclude, params := []any{}, []any{}
	for _, k := range keys {
		var c evidence.Credential
		if err := json.Unmarshal(k.Secret, &c); err != nil {
			return nil, fmt.Errorf("staff: a passkey cannot be read: %w", err)
		}
		if k.RP == at.RPID() {
			exclude = append(exclude, map[string]string{"type": "public-key", "id": encode(c.ID)})
		}
	}
	for _, alg := range []int{evidence.AlgES256, evidence.AlgEdDSA, evidence.AlgRS256} {
		params = append(params, map[string]any{"type": "public-key", "alg": alg})
	}
	handle := sha256.Sum256([]byte(who.Org + "\x00" + who.ID + "\x00" + at.RPID()))
	return json.Marshal(map[string]any{
		"challenge": encode(challenge[:]), "rp": map[string]string{"id": at.RPID(), "name": at.RPID()},
		"user":             map[string]string{"id": encode(handle[:]), "name": who.Mail, "displayName": who.Name},
		"pubKeyCredParams": params, "excludeCredentials": exclude, "attestation": "none", "timeout": timeout,
		"authenticatorSelection": map[string]any{"residentKey": "required", "requireResidentKey": true, "userVerification": "required"},
	})
}

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// A Joined person has a passkey now.
type Joined struct {
	store.Staff
	Key         evidence.Credential
	Fingerprint string // of the key, in groups that people read to each other
	Counts      time.Time
}

// Join makes the passkey that an invitation is for, once. A key that vouches counts
// after a wait, of which the other staff are told.
func (m *Members) Join(ctx context.Context, at Place, token string, registration []byte) (j Joined, err error) {
	r, err := evidence.CheckRegistration(registration, challengeOf(token), at.RPID(), evidence.Anchors{Origins: []string{at.Origin}})
	if err != nil {
		return j, errors.Join(ErrKey, err)
	}
	err = m.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		l, err := tx.StaffLink(ctx, at.RPID(), store.HashToken(token))
		if err != nil {
			return err
		}
		if err := tx.UseStaffLink(ctx, l.Hash); err != nil {
			return err
		}
		j, err = m.join(ctx, tx, at, l, r.Credential)
		return err
	})
	switch {
	case errors.Is(err, store.ErrNotFound), errors.Is(err, store.ErrConflict):
		err = ErrGone
	case err == nil && m.cfg.Mail != nil:
		m.cfg.Mail.Wake()
	}
	return j, err
}

func (m *Members) join(ctx context.Context, tx *store.Tx, at Place, l store.StaffLink, c evidence.Credential) (j Joined, err error) {
	if j.Staff, err = tx.Staff(ctx, l.Org, l.Staff); err != nil {
		return j, err
	}
	secret, err := json.Marshal(c)
	if err != nil {
		return j, err
	}
	j.Key, j.Fingerprint, j.Counts = c, fingerprint(c), tx.Now()
	if at.Env != "" {
		j.Counts = tx.Now().Add(m.cfg.Wait)
	}
	k := store.StaffKey{Org: l.Org, ID: store.NewID(), Staff: l.Staff, RP: at.RPID(), Credential: credentialHash(c.ID), Secret: secret, ActiveAt: j.Counts}
	if err := tx.AddStaffKey(ctx, &k); err != nil {
		return j, err
	}
	if err := m.news(ctx, tx, at, j); err != nil {
		return j, err
	}
	return j, audit.Append(ctx, tx, audit.Event{Org: l.Org, Env: at.Env, Kind: audit.OrgMemberUpdated, Actor: audit.Principal{OrgMember: l.Staff, Role: j.Role},
		Detail: map[string]any{"member": l.Staff, "key": k.ID, "rp": k.RP, "counts": k.ActiveAt.UTC().Format(time.RFC3339)}})
}

// news tells administrators of a key that vouches.
func (m *Members) news(ctx context.Context, tx *store.Tx, at Place, j Joined) error {
	if m.cfg.Mail == nil || at.Env == "" {
		return nil
	}
	all, err := tx.StaffList(ctx, j.Org)
	if err != nil {
		return err
	}
	for _, s := range all {
		if s.ID == j.ID || !AtLeast(s.Role, Admin) {
			continue
		}
		if err := m.cfg.Mail.QueueStaff(ctx, tx, Message{Env: at.Env, To: s.Mail, Name: s.Name, Origin: at.Origin, Who: j.Name, Until: j.Counts}); err != nil {
			return err
		}
	}
	return nil
}

func credentialHash(id []byte) string {
	sum := sha256.Sum256(id)
	return encode(sum[:])
}

// fingerprint writes the key's hash in groups of four hexadecimal digits.
func fingerprint(c evidence.Credential) string {
	h := c.Hash()
	text := hex.EncodeToString(h[:])
	var groups []string
	for i := 0; i < len(text); i += 4 {
		groups = append(groups, text[i:i+4])
	}
	return strings.Join(groups, " ")
}

// signInPurpose is the purpose for which the store derives the key of challenges.
const signInPurpose = "postern/staff/sign-in/v1"

// signInLife is how long a page that asks for a sign-in works.
const signInLife = 10 * time.Minute

// SignIn makes what a page asks the browser for. Nothing is kept: the state goes into a
// cookie and comes back with the answer.
func (m *Members) SignIn(at Place) (state string, ask json.RawMessage, err error) {
	b := make([]byte, 32+8)
	_, _ = rand.Read(b[:32]) // never fails
	binary.BigEndian.PutUint64(b[32:], uint64(m.cfg.Store.Now().Add(signInLife).Unix()))
	challenge := sha256.Sum256(b)
	ask, err = json.Marshal(map[string]any{"challenge": encode(challenge[:]), "rpId": at.RPID(), "timeout": timeout, "userVerification": "required", "allowCredentials": []any{}})
	return encode(append(b, m.mac(m.cfg.Store.DeriveKeys(signInPurpose)[0], b)...)), ask, err
}

func (*Members) mac(key, b []byte) []byte {
	h := hmac.New(sha256.New, key)
	h.Write(b)
	return h.Sum(nil)
}

// challengeIn returns the challenge of a state that we made and that has not ended.
func (m *Members) challengeIn(state string) ([32]byte, time.Time, error) {
	b, err := base64.RawURLEncoding.Strict().DecodeString(state)
	if err != nil || len(b) != 32+8+sha256.Size {
		return [32]byte{}, time.Time{}, ErrGone
	}
	until := time.Unix(int64(binary.BigEndian.Uint64(b[32:40])), 0)
	ours := slices.ContainsFunc(m.cfg.Store.DeriveKeys(signInPurpose), func(k []byte) bool { return hmac.Equal(m.mac(k, b[:40]), b[40:]) })
	if !ours || !until.After(m.cfg.Store.Now()) {
		return [32]byte{}, time.Time{}, ErrGone
	}
	return sha256.Sum256(b[:40]), until, nil
}

// Enter checks the answer of a sign-in, once, and opens a session, whose cookie is
// returned. Whoever is suspended, or only vouches, is ErrRole.
func (m *Members) Enter(ctx context.Context, at Place, state string, assertion []byte, device, address string) (session string, err error) {
	challenge, until, err := m.challengeIn(state)
	if err != nil {
		return "", err
	}
	a, err := evidence.ParseAssertion(assertion)
	if err != nil {
		return "", errors.Join(ErrKey, err)
	}
	session = store.NewToken()
	err = m.cfg.Store.Tx(ctx, func(tx *store.Tx) error {
		k, err := tx.StaffKeyByCredential(ctx, at.RPID(), credentialHash(a.Credential))
		if err != nil {
			return errors.Join(ErrKey, err)
		}
		var c evidence.Credential
		if err := json.Unmarshal(k.Secret, &c); err != nil {
			return fmt.Errorf("staff: a passkey cannot be read: %w", err)
		}
		if err := evidence.CheckPasskey(assertion, c, challenge, evidence.Anchors{Origins: []string{at.Origin}}); err != nil || k.ActiveAt.After(tx.Now()) {
			return errors.Join(ErrKey, err)
		}
		who, err := tx.Staff(ctx, k.Org, k.Staff)
		if err != nil {
			return err
		}
		if who.Role == Approver || who.Suspended(tx.Now()) {
			return ErrRole
		}
		if err := tx.UseChallenge(ctx, encode(challenge[:]), until); err != nil {
			return ErrGone
		}
		return m.enter(ctx, tx, who, k, session, device, address)
	})
	return session, err
}

func (*Members) enter(ctx context.Context, tx *store.Tx, who store.Staff, k store.StaffKey, session, device, address string) error {
	err := errors.Join(tx.StaffKeyUsed(ctx, k.Org, k.ID), tx.OpenStaffSession(ctx, who.Org, who.ID, store.HashToken(session), device[:min(len(device), maxDevice)]))
	if err != nil {
		return err
	}
	return audit.Append(ctx, tx, audit.Event{Org: who.Org, Kind: audit.ConsoleSignin, Actor: audit.Principal{OrgMember: who.ID, Role: who.Role},
		Detail: map[string]any{"key": k.ID}, Trace: who.ID, RemoteAddr: address, UserAgent: device})
}

// maxDevice bounds what is kept of a browser's description, in bytes.
const maxDevice = 400

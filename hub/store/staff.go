package store

import (
	"cmp"
	"context"
	"slices"
	"strings"
	"time"
)

// A Staff is a person who works in the console or vouches for others.
type Staff struct {
	Org, ID        string
	Name           string
	Mail           string   // lower case
	Role           string   // of the console, as the API spells it; "": approves only
	Envs           []string // where they have it: ids, or AllEnvs; of an owner always AllEnvs; empty: nowhere
	Directory      string   // of the person's own account; "" where it is not known
	Account        string   // its immutable id
	CreatedAt      time.Time
	SuspendedUntil time.Time // their own account was recovered (T17)
	CountsAt       time.Time // from when on they decide about others
}

// Suspended reports whether the person may decide nothing at now.
func (s Staff) Suspended(now time.Time) bool { return s.SuspendedUntil.After(now) }

// Decides reports whether the person may decide about others at now.
func (s Staff) Decides(now time.Time) bool { return !s.Suspended(now) && !s.CountsAt.After(now) }

// Reaches reports whether the person has their role in an environment of the organisation.
func (s Staff) Reaches(env string) bool { return Reaches(s.Envs, env) }

// DecidesIn reports whether the person may decide about others in an environment at now.
func (s Staff) DecidesIn(env string, now time.Time) bool { return s.Reaches(env) && s.Decides(now) }

// AddStaff inserts s, where no environments are named for all of them. ErrConflict says
// that the address is taken, or that the organisation has as many people as a list: who is
// not listed could not be found, told or suspended (T17, T18).
func (tx *Tx) AddStaff(ctx context.Context, s *Staff) error {
	var n int
	if err := tx.Row(ctx, []any{&n}, "SELECT COUNT(*) FROM staff WHERE org = $1", s.Org); err != nil || n >= maxStaff {
		return cmp.Or(err, ErrConflict)
	}
	if s.Mail, s.CreatedAt = strings.ToLower(s.Mail), tx.Now(); s.Envs == nil {
		s.Envs = []string{AllEnvs}
	}
	return tx.Swap(ctx, `INSERT INTO staff (org, id, name, mail, role, envs, directory, account, created_at, counts_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8, $9, $10)
		ON CONFLICT (org, mail) DO NOTHING`, s.Org, s.ID, s.Name, s.Mail, s.Role, JSON(s.Envs), s.Directory, s.Account, Millis(s.CreatedAt), Millis(s.CountsAt))
}

const staffColumns = "org, id, name, mail, role, envs, directory, account, created_at, suspended_until, counts_at"

func scanStaff(scan Scan) (s Staff, err error) {
	var created, suspended, counts int64
	var envs string
	if err = scan(&s.Org, &s.ID, &s.Name, &s.Mail, &s.Role, &envs, &s.Directory, &s.Account, &created, &suspended, &counts); err == nil {
		err = ParseJSON(envs, &s.Envs)
	}
	s.CreatedAt, s.SuspendedUntil, s.CountsAt = Time(created), Time(suspended), Time(counts)
	return s, err
}

// Staff returns one person.
func (tx *Tx) Staff(ctx context.Context, org, id string) (Staff, error) {
	return One(ctx, tx, scanStaff, "SELECT "+staffColumns+" FROM staff WHERE org = $1 AND id = $2", org, id)
}

// maxStaff bounds the staff of an organisation, and what is listed of it.
const maxStaff = 1000

// StaffList lists the staff of an organisation by name.
func (tx *Tx) StaffList(ctx context.Context, org string) ([]Staff, error) {
	return All(ctx, tx, scanStaff, "SELECT "+staffColumns+" FROM staff WHERE org = $1 ORDER BY name, id LIMIT $2", org, maxStaff)
}

// LinkStaff writes down which account is the person's own; empty: none that is known.
func (tx *Tx) LinkStaff(ctx context.Context, org, id, directory, account string) error {
	return tx.Must(ctx, "UPDATE staff SET directory = $3, account = $4 WHERE org = $1 AND id = $2", org, id, directory, account)
}

// SetStaffRole changes what a person may do, and from when on they decide about others.
// Command lines that they signed in are signed out: those have the former role. Keys of
// programs that they made, and therefore know, have no greater role than they do now. It
// returns the ids of the keys that may do less.
func (tx *Tx) SetStaffRole(ctx context.Context, org, id, role string, counts time.Time) (less []string, err error) {
	less, err = tx.shrinkKeys(ctx, org, id, func(k *APIKey) bool {
		if AtLeast(role, k.Role) {
			return false
		}
		if k.Role = role; role == RoleNone {
			k.Role, k.Enabled = RoleLimited, false
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return less, tx.Must(ctx, "UPDATE staff SET role = $3, counts_at = $4 WHERE org = $1 AND id = $2", org, id, role, Millis(counts))
}

// SetStaffEnvs changes where a person has their role. Command lines that they signed in are
// signed out. Keys of programs that they made, and therefore know, reach no further than
// they do now: what is left to one stays, and one that is left nothing is switched off.
// It returns the ids of the keys that reach less.
func (tx *Tx) SetStaffEnvs(ctx context.Context, org, id string, envs []string) (less []string, err error) {
	less, err = tx.shrinkKeys(ctx, org, id, func(k *APIKey) bool {
		if Within(k.Envs, envs) {
			return false
		}
		if both := Common(k.Envs, envs); len(both) > 0 {
			k.Envs = both
		} else {
			k.Enabled = false
		}
		return true
	})
	if err != nil {
		return nil, err
	}
	return less, tx.Must(ctx, "UPDATE staff SET envs = $3 WHERE org = $1 AND id = $2", org, id, JSON(envs))
}

// shrinkKeys signs the command lines of a person out, and writes what shrink leaves of the
// keys that they made. It returns the ids of those of which it takes something.
func (tx *Tx) shrinkKeys(ctx context.Context, org, id string, shrink func(*APIKey) bool) (less []string, err error) {
	if err := tx.endCommandLines(ctx, org, id); err != nil {
		return nil, err
	}
	keys, err := All(ctx, tx, scanAPIKey, "SELECT "+apiKeyColumns+" FROM api_keys WHERE org = $1 AND created_by = $2 ORDER BY created_at, id", org, id)
	if err != nil {
		return nil, err
	}
	for _, k := range keys {
		if !shrink(&k) {
			continue
		}
		if err := tx.UpdateAPIKey(ctx, org, k); err != nil {
			return nil, err
		}
		less = append(less, k.ID)
	}
	return less, nil
}

// endCommandLines removes the API keys of the command lines that a person signed in.
func (tx *Tx) endCommandLines(ctx context.Context, org, id string) error {
	_, err := tx.Exec(ctx, "DELETE FROM api_keys WHERE org = $1 AND staff = $2 AND staff <> ''", org, id)
	return err
}

// KeysMadeBy returns the ids of the keys of programs that a person made, and may know, and
// that work.
func (tx *Tx) KeysMadeBy(ctx context.Context, org, id string) ([]string, error) {
	return All(ctx, tx, Text, "SELECT id FROM api_keys WHERE org = $1 AND created_by = $2 AND staff = '' AND enabled = 1 ORDER BY created_at, id", org, id)
}

// RemoveStaff removes a person with their keys, invitations, sessions and command lines.
func (tx *Tx) RemoveStaff(ctx context.Context, org, id string) error {
	if err := tx.endCommandLines(ctx, org, id); err != nil {
		return err
	}
	if _, err := tx.Exec(ctx, "DELETE FROM console_sessions WHERE org = $1 AND staff = $2", org, id); err != nil {
		return err
	}
	return tx.Must(ctx, "DELETE FROM staff WHERE org = $1 AND id = $2", org, id)
}

// SuspendStaff takes every right, until a time, from the staff whose own account was
// recovered: the one with the immutable id, or one that bears their mail address (T17).
// Their sessions and command lines end. It returns how many people that are.
func (tx *Tx) SuspendStaff(ctx context.Context, env, directory, account string, addresses []string, until time.Time) (n int, err error) {
	e, err := tx.Environment(ctx, env)
	if err != nil {
		return 0, err
	}
	all, err := tx.StaffList(ctx, e.Org)
	if err != nil {
		return 0, err
	}
	for _, s := range all {
		if !s.Is(directory, account, addresses) {
			continue
		}
		if err := tx.Must(ctx, "UPDATE staff SET suspended_until = $3 WHERE org = $1 AND id = $2", s.Org, s.ID, Millis(until)); err != nil {
			return n, err
		}
		if _, err := tx.Exec(ctx, "DELETE FROM console_sessions WHERE org = $1 AND staff = $2", s.Org, s.ID); err != nil {
			return n, err
		}
		if err := tx.endCommandLines(ctx, s.Org, s.ID); err != nil {
			return n, err
		}
		n++
	}
	return n, nil
}

// Is reports whether the person owns the account: by its immutable id, or by one of its
// addresses.
func (s Staff) Is(directory, account string, addresses []string) bool {
	if s.Account != "" && s.Directory == directory && strings.EqualFold(s.Account, account) {
		return true
	}
	for _, a := range addresses {
		if strings.EqualFold(a, s.Mail) {
			return true
		}
	}
	return false
}

// HoldsRole reports whether an account is the own one of somebody on the staff: by its
// immutable id, or because it bears their mail address.
func (tx *Tx) HoldsRole(ctx context.Context, a Account) (bool, error) {
	e, err := tx.Environment(ctx, a.Env)
	if err != nil {
		return false, err
	}
	all, err := tx.StaffList(ctx, e.Org)
	return slices.ContainsFunc(all, func(s Staff) bool { return s.Is(a.Directory, a.ImmutableID, a.Identifiers) }), err
}

// A StaffKey is a passkey of a person, for one relying party.
type StaffKey struct {
	Org, ID    string
	Staff      string
	RP         string
	Credential string // SHA-256 of its id, base64url
	Secret     []byte // sealed: JSON of evidence.Credential
	MadeAt     time.Time
	ActiveAt   time.Time // from when on it counts
	UsedAt     time.Time
}

func staffKeyCell(id string) Cell { return Cell{Table: "staff_keys", Column: "secret", Row: id} }

// AddStaffKey inserts k, made now. ErrConflict says that the credential is known.
func (tx *Tx) AddStaffKey(ctx context.Context, k *StaffKey) error {
	secret, err := tx.Seal(staffKeyCell(k.ID), k.Secret)
	if err != nil {
		return err
	}
	k.MadeAt = tx.Now()
	return tx.Swap(ctx, `INSERT INTO staff_keys (org, id, staff, rp, credential, secret, made_at, active_at) VALUES ($1, $2, $3, $4, $5, $6, $7, $8)
		ON CONFLICT (rp, credential) DO NOTHING`, k.Org, k.ID, k.Staff, k.RP, k.Credential, secret, Millis(k.MadeAt), Millis(k.ActiveAt))
}

const staffKeyColumns = "org, id, staff, rp, credential, secret, made_at, active_at, used_at"

func (tx *Tx) scanStaffKey(scan Scan) (k StaffKey, err error) {
	var secret string
	var made, active, used int64
	if err = scan(&k.Org, &k.ID, &k.Staff, &k.RP, &k.Credential, &secret, &made, &active, &used); err != nil {
		return k, err
	}
	k.MadeAt, k.ActiveAt, k.UsedAt = Time(made), Time(active), Time(used)
	k.Secret, err = tx.Unseal(staffKeyCell(k.ID), secret)
	return k, err
}

// StaffKeys lists the keys of a person, oldest first.
func (tx *Tx) StaffKeys(ctx context.Context, org, staff string) ([]StaffKey, error) {
	return All(ctx, tx, tx.scanStaffKey, "SELECT "+staffKeyColumns+" FROM staff_keys WHERE org = $1 AND staff = $2 ORDER BY made_at, id LIMIT $3", org, staff, maxStaff)
}

// StaffKeyByCredential finds a key of a relying party.
func (tx *Tx) StaffKeyByCredential(ctx context.Context, rp, credential string) (StaffKey, error) {
	return One(ctx, tx, tx.scanStaffKey, "SELECT "+staffKeyColumns+" FROM staff_keys WHERE rp = $1 AND credential = $2", rp, credential)
}

// StaffKeyUsed writes down that a key was used now.
func (tx *Tx) StaffKeyUsed(ctx context.Context, org, id string) error {
	return tx.Must(ctx, "UPDATE staff_keys SET used_at = $3 WHERE org = $1 AND id = $2", org, id, Millis(tx.Now()))
}

// staffLink is how long an invitation works.
const staffLink = 24 * time.Hour

// A StaffLink is an invitation to make one passkey at one relying party.
type StaffLink struct {
	Hash, Org, Staff, RP string
	By                   string // id of the person or of the API key that invited; "": the hub's own machine, or an older version
	Expires              time.Time
}

// AddStaffLink writes an invitation that works for a day. Hash is HashToken of its secret.
func (tx *Tx) AddStaffLink(ctx context.Context, l *StaffLink) error {
	l.Expires = tx.Now().Add(staffLink)
	_, err := tx.Exec(ctx, "INSERT INTO staff_links (hash, org, staff, rp, invited_by, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
		l.Hash, l.Org, l.Staff, l.RP, l.By, Millis(tx.Now()), Millis(l.Expires))
	return err
}

// StaffLink returns an invitation for a relying party that still works; ErrNotFound
// otherwise. It uses nothing up.
func (tx *Tx) StaffLink(ctx context.Context, rp, hash string) (StaffLink, error) {
	return One(ctx, tx, func(scan Scan) (l StaffLink, err error) {
		var expires int64
		err = scan(&l.Hash, &l.Org, &l.Staff, &l.RP, &l.By, &expires)
		l.Expires = Time(expires)
		return l, err
	}, "SELECT hash, org, staff, rp, invited_by, expires_at FROM staff_links WHERE hash = $1 AND rp = $2 AND used_at = 0 AND expires_at > $3", hash, rp, Millis(tx.Now()))
}

// UseStaffLink uses an invitation up: the first of all callers gets nil, others
// ErrConflict.
func (tx *Tx) UseStaffLink(ctx context.Context, hash string) error {
	now := Millis(tx.Now())
	return tx.Swap(ctx, "UPDATE staff_links SET used_at = $2 WHERE hash = $1 AND used_at = 0 AND expires_at > $2", hash, now)
}

// UseChallenge uses the challenge of a sign-in up, for as long as it lives: a second
// caller gets ErrConflict.
func (tx *Tx) UseChallenge(ctx context.Context, hash string, until time.Time) error {
	return tx.Swap(ctx, "INSERT INTO staff_challenges (hash, expires_at) VALUES ($1, $2) ON CONFLICT (hash) DO NOTHING", hash, Millis(until))
}

// OpenStaffSession opens a session of a person, whose cookie has the hash session.
func (tx *Tx) OpenStaffSession(ctx context.Context, org, staff, session, device string) error {
	now := tx.Now()
	_, err := tx.Exec(ctx, "INSERT INTO console_sessions (hash, id, org, staff, device, created_at, expires_at) VALUES ($1, $2, $3, $4, $5, $6, $7)",
		session, NewID(), org, staff, device, Millis(now), Millis(now.Add(consoleSession)))
	return err
}

// purgeStaff removes invitations and challenges that nobody can use any more.
func (tx *Tx) purgeStaff(ctx context.Context) error {
	now := Millis(tx.Now())
	if _, err := tx.Exec(ctx, "DELETE FROM staff_links WHERE expires_at < $1", now); err != nil {
		return err
	}
	_, err := tx.Exec(ctx, "DELETE FROM staff_challenges WHERE expires_at < $1", now)
	return err
}

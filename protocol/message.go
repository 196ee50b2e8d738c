package protocol

import (
	"crypto/ed25519"
	"crypto/sha256"
	"encoding/binary"
	"time"

	"github.com/postern-id/postern/protocol/auditlog"
)

// A Method names a call from hub to agent. Its number is on the wire.
type Method uint8

// The calls. Every one but Perform, SendCode and RemoveKey only reads.
const (
	MethodDescribe   Method = 1  // Empty → Description
	MethodList       Method = 2  // ListRequest → ListPage
	MethodGet        Method = 3  // Ref → AccountList
	MethodListGroups Method = 4  // GroupsRequest → GroupList
	MethodBegin      Method = 5  // BeginRequest → Begun
	MethodContacts   Method = 6  // RecoveryRef → Contacts; only for a recovery that this agent began
	MethodSendCode   Method = 7  // SendCodeRequest → SentCode
	MethodCheckCode  Method = 8  // CheckCodeRequest → CheckedCode
	MethodPerform    Method = 9  // PerformRequest → Outcome
	MethodDrop       Method = 10 // RecoveryRef → Empty: the recovery was cancelled
	MethodOutcome    Method = 11 // OutcomeRequest → Outcome: what became of a context; never changes the directory
	MethodRemoveKey  Method = 12 // RemoveKeyRequest → RemovedKey: a passkey leaves the agent's keyring
	MethodEvaluate   Method = 13 // EvaluateRequest → Evaluations; only while the agent's own file says so
	MethodWitness    Method = 14 // WitnessRequest → Witnessed: the agent keeps the newest checkpoint of the audit log
	MethodExamine    Method = 20 // Empty → Examination: the fixed, read-only part of doctor, six times an hour (T33)
	MethodPhoto      Method = 21 // RecoveryRef → Photo; only for a recovery that this agent began
)

// A Priority orders frames that wait for the same tunnel.
type Priority uint8

// Recoveries overtake lookups, lookups overtake sync.
const (
	PrioritySync     Priority = 0
	PriorityLookup   Priority = 1
	PriorityRecovery Priority = 2
)

// A Photo is the picture of a person as their directory has it: JPEG or PNG, written by
// whoever keeps that directory. Empty: there is none.
type Photo struct {
	Image []byte `json:"image,omitempty"`
}

// MaxPhoto bounds a Photo, in bytes: in base64 it fits a body.
const MaxPhoto = 4 << 20

// Empty is the body of a call or reply that says nothing.
type Empty struct{}

// Hello is the agent's first frame.
type Hello struct {
	Agent        string   `json:"agent,omitempty"`    // id from enrolment; empty while enrolling
	Ticket       string   `json:"ticket,omitempty"`   // the ticket's secret, only while enrolling
	SignKey      []byte   `json:"sign_key,omitempty"` // Ed25519 public key, only while enrolling
	Name         string   `json:"name,omitempty"`     // host name, for people
	Instance     string   `json:"instance"`           // random, new with each process
	Nodes        []string `json:"nodes,omitempty"`    // to which this process has a tunnel: such a node refuses with CloseReplaced and keeps the older one
	Version      string   `json:"version"`
	Capabilities []string `json:"capabilities,omitempty"`
	GuardHash    string   `json:"guard_hash,omitempty"`
	// Groups says of each group in the agent's file whether a hub alone can reset its members (T5).
	Groups []GroupTrust `json:"groups,omitempty"`
	// Evaluation says that the agent's own file lets it change nothing: every operation is
	// a dry run. A hub can neither switch it on nor off (T33).
	Evaluation bool `json:"evaluation,omitempty"`
	// LogSize is from where proofs of the audit log must begin; LogStopped is the hash of
	// the head by which this agent stopped, "" while it acts (T9).
	LogSize    int64  `json:"log_size,omitempty"`
	LogStopped string `json:"log_stopped,omitempty"`
	// Probe says that this process only looks how the hub answers and leaves: it is given
	// no calls.
	Probe bool      `json:"probe,omitempty"`
	Time  time.Time `json:"time"`
}

// Welcome is the hub's answer to Hello.
type Welcome struct {
	Agent        string    `json:"agent"` // id
	Directory    string    `json:"directory"`
	Node         string    `json:"node"`
	Nodes        int       `json:"nodes"` // live nodes; an agent with fewer tunnels dials on
	State        string    `json:"state"` // AgentActive …
	Time         time.Time `json:"time"`
	BirthDateKey []byte    `json:"birth_date_key,omitempty"` // key of the birth-date hash of this directory
	// Version is the hub's; GuardDiffers says that another active agent of the directory
	// has other rules (T20). Both are for the administrator of the agent's machine.
	Version      string `json:"version,omitempty"`
	GuardDiffers bool   `json:"guard_differs,omitempty"`
}

// NodesEvent is the body of EventNodes.
type NodesEvent struct {
	Nodes int `json:"nodes"` // live nodes now
}

// States of an agent. Only an active one is given calls.
const (
	AgentActive      = "active"
	AgentPending     = "pending"     // enrolled, its fingerprint not yet confirmed
	AgentQuarantined = "quarantined" // another live process uses the same key
	AgentRevoked     = "revoked"
)

// Traits say what a directory can do. Member names are those of the public agent protocol.
type Traits struct {
	Name                      string `json:"name"`
	CanGetTemporaryPassword   bool   `json:"can_get_temporary_password,omitempty"`
	CanGetPasswordLink        bool   `json:"can_get_password_link,omitempty"`
	CanRemoveAllMFA           bool   `json:"can_remove_all_mfa,omitempty"`
	CanGetMFABypassCode       bool   `json:"can_get_mfa_bypass_code,omitempty"`
	CanGetMFALink             bool   `json:"can_get_mfa_link,omitempty"`
	CanUnlock                 bool   `json:"can_unlock,omitempty"`
	CanGetTemporaryAccessPass bool   `json:"can_get_temporary_access_pass,omitempty"`
	CanUpdateAccountsList     bool   `json:"can_update_accounts_list,omitempty"`
	CanAuthenticate           bool   `json:"can_authenticate,omitempty"`
	CanMustChange             bool   `json:"can_must_change,omitempty"` // ours: must_change takes effect
	CanSendCode               bool   `json:"can_send_code,omitempty"`   // ours: the agent has its own mail route
	CanEnrollKey              bool   `json:"can_enroll_key,omitempty"`  // ours: the agent keeps passkeys of its own

	// Ours: the account operations, see Acts.
	CanEnable          bool `json:"can_enable,omitempty"`
	CanDisable         bool `json:"can_disable,omitempty"`
	CanSetMustChange   bool `json:"can_set_must_change,omitempty"`
	CanAddToGroup      bool `json:"can_add_to_group,omitempty"`
	CanRemoveFromGroup bool `json:"can_remove_from_group,omitempty"`
	CanSetAttribute    bool `json:"can_set_attribute,omitempty"`
	CanDeleteAccount   bool `json:"can_delete_account,omitempty"`
}

// Can reports whether the traits advertise the operation.
func (t Traits) Can(o Operation) bool {
	switch o {
	case GetTemporaryPassword:
		return t.CanGetTemporaryPassword
	case GetPasswordLink:
		return t.CanGetPasswordLink
	case RemoveAllMFA:
		return t.CanRemoveAllMFA
	case GetMFABypassCode:
		return t.CanGetMFABypassCode
	case GetMFALink:
		return t.CanGetMFALink
	case Unlock:
		return t.CanUnlock
	case GetTemporaryAccessPass:
		return t.CanGetTemporaryAccessPass
	case RecoveryOptions, SignIn:
		return true
	case EnrollKey:
		return t.CanEnrollKey
	}
	if row, is := ActByName(o); is {
		return *row.Has(&t)
	}
	return false
}

// Description is what a directory says of itself.
type Description struct {
	Fingerprint string `json:"fingerprint"` // changes when the agent points at another directory
	Kind        string `json:"kind"`
	Traits      Traits `json:"traits"`
}

// An Account as a directory lists it. It carries no mail address or phone number
// that is not an identifier, and a birth date only as the keyed hash.
type Account struct {
	ID          string    `json:"immutable_id"` // canonical: GUIDs lower-case and dashed
	Identifiers []string  `json:"ids"`
	Name        string    `json:"name"`
	Groups      []Group   `json:"groups,omitempty"`
	BirthDate   string    `json:"birth_date,omitempty"` // keyed hash
	Disabled    bool      `json:"disabled,omitempty"`
	UpdatedAt   time.Time `json:"updated_at,omitzero"`
}

// A Group as a directory lists it.
type Group struct {
	ID   string `json:"immutable_id"`
	Name string `json:"name"`
	Kind string `json:"kind,omitempty"`
}

// Ref names accounts by immutable id or by identifier; exactly one is set.
type Ref struct {
	ID         string `json:"immutable_id,omitempty"`
	Identifier string `json:"id,omitempty"`
}

// AccountList is the answer to Ref: zero, one, or several when an identifier is ambiguous.
type AccountList struct {
	Accounts []Account `json:"accounts"`
}

// GroupsRequest asks for groups whose name begins with Prefix, at most Max in all.
type GroupsRequest struct {
	Prefix string `json:"name_prefix,omitempty"`
	Max    int    `json:"max_count,omitempty"`
}

// GroupList is the answer to GroupsRequest.
type GroupList struct {
	Groups []Group `json:"groups"`
}

// ListRequest opens a pass over the accounts (Pass empty) or asks for its next page.
// Since is the State of the last finished pass; empty asks for everything.
type ListRequest struct {
	Pass  string `json:"pass,omitempty"`
	Since string `json:"since,omitempty"`
	Page  int    `json:"page,omitempty"` // accounts per page that the hub would like

	Packed bool `json:"packed,omitempty"` // the hub reads PackedPage
}

// ListPage is one page of a pass. Full says that the pass lists everything, whatever
// Since asked, so that what it did not list is gone once Done is true.
type ListPage struct {
	Pass        string    `json:"pass"`
	Fingerprint string    `json:"fingerprint"`
	Full        bool      `json:"full"`
	Accounts    []Account `json:"accounts"`
	Deleted     []string  `json:"deleted_ids,omitempty"`
	Total       int       `json:"total,omitempty"` // expected, when the directory knows
	Done        bool      `json:"done"`
	State       string    `json:"state,omitempty"` // with Done: what to send as Since next time
}

// BeginRequest starts a recovery at the agent: it checks its guard and dry-runs.
type BeginRequest struct {
	Recovery  []byte `json:"recovery"`       // the hub's random part, 16 bytes
	Account   string `json:"account"`        // immutable id
	Operation string `json:"operation"`      // CanonicalTasks
	Long      bool   `json:"long,omitempty"` // approval, review or delay is asked: up to 24 hours
	Origin    string `json:"origin"`         // the recovery domain, for codes and local log
	// Values are those of SetAttribute, whose parameter is their hash; nil for all others.
	Values *AttributeValues `json:"values,omitempty"`
}

// Begun is the agent's answer: what the evidence context is made of, and the first
// finding of guard and dry run, which employees see only after the first proof.
type Begun struct {
	Agent    string `json:"agent"`     // this agent's id: only it can perform
	Recovery []byte `json:"recovery"`  // the agent's random part, 16 bytes
	Account  string `json:"account"`   // canonical immutable id
	NotAfter int64  `json:"not_after"` // Unix seconds
	Finding  *Error `json:"finding,omitempty"`
	Terms    *Terms `json:"terms,omitempty"` // what this agent asks for besides the hub's policy; nil: nothing
	// Groups are names and ids of the groups that the account is in now, nested ones
	// included: not every directory lists accounts with them.
	Groups []string `json:"groups,omitempty"`
	// Evaluation says that this recovery is a trial: its operation will be evaluated and
	// never carried out, whatever the agent's file says later.
	Evaluation bool `json:"evaluation,omitempty"`
	// Second says that the agent's file wants a second administrator to agree to an account
	// operation before the hub asks for it.
	Second bool `json:"second,omitempty"`
	// Changes are what an account operation would change.
	Changes []Difference `json:"changes,omitempty"`
}

// RecoveryRef names a recovery that the agent began, by its joined id.
type RecoveryRef struct {
	Recovery string `json:"recovery"`
}

// Contacts are addresses read live from the directory for one recovery.
type Contacts struct {
	Mail     []string `json:"mail,omitempty"`    // other than the identifiers that are being recovered
	Primary  []string `json:"primary,omitempty"` // mail addresses of the account itself, for notices
	Phone    []string `json:"phone,omitempty"`
	Manager  string   `json:"manager,omitempty"`
	Language string   `json:"language,omitempty"`
}

// SendCodeRequest asks the agent to make a code and send it by its own mail route.
type SendCodeRequest struct {
	Recovery string `json:"recovery"`
	Language string `json:"language,omitempty"`
}

// SentCode says where it went, masked.
type SentCode struct {
	Masked []string `json:"masked"`
}

// CheckCodeRequest carries what the employee typed.
type CheckCodeRequest struct {
	Recovery string `json:"recovery"`
	Code     string `json:"code"`
}

// RemoveKeyRequest names a passkey that EnrollKey brought in. It needs no evidence: it
// only takes power away, and the agent itself tells the owner.
type RemoveKeyRequest struct {
	Account string `json:"account"` // immutable id
	Hash    []byte `json:"hash"`    // of the credential, as the operation carried it
}

// RemovedKey says whether the agent had it. Asked again it has not.
type RemovedKey struct {
	Removed bool `json:"removed"`
}

// CheckedCode says whether it was right, and how many tries are left.
type CheckedCode struct {
	OK    bool `json:"ok"`
	Tries int  `json:"tries"`
}

// MaxOperationLife bounds the life of one PerformRequest.
const MaxOperationLife = 60 * time.Second

// PerformRequest asks for the operation that was begun. The agent recomputes the
// context from its own journal and the recipient given here.
type PerformRequest struct {
	ID       string     `json:"id"`   // random, for logs
	TTL      int        `json:"ttl"`  // seconds, at most 60, from when it was sent
	Sent     int64      `json:"sent"` // Unix seconds by the hub's clock; ±60 s are tolerated
	Members  Members    `json:"members"`
	Context  Context    `json:"context"` // as the hub computed it; a difference is refused
	Evidence []Evidence `json:"evidence,omitempty"`
	// Log proves that the audit log has an entry of this request: kind RequestedKind, with
	// the same context, agent, directory and operation. An agent acts on nothing else (T8).
	Log auditlog.Proof `json:"log"`
	// Credential is the passkey of an EnrollKey, JSON of evidence.Credential; its hash is
	// the operation's parameter key. Nil for every other operation.
	Credential []byte `json:"credential,omitempty"`
	// Values are those of SetAttribute, whose hash the operation bears; nil for all others.
	Values *AttributeValues `json:"values,omitempty"`
}

// RequestedKind is the kind of the entry of a PerformRequest in the audit log. Its detail
// stands in a member of that name.
const RequestedKind = "operation_requested"

// A RequestedEntry is what an agent reads of such an entry.
type RequestedEntry struct {
	Context   string `json:"context"` // Context.String
	Agent     string `json:"agent"`
	Directory string `json:"directory"`
	Operation string `json:"operation"` // CanonicalTasks
}

// WitnessRequest shows the agent a checkpoint of the audit log, which begins with the one
// of From entries (T9).
type WitnessRequest struct {
	Public      []byte          `json:"public"`     // key of the log; believed only if it is the pinned one
	Checkpoint  string          `json:"checkpoint"` // signed note
	From        int64           `json:"from"`
	Consistency []auditlog.Hash `json:"consistency,omitempty"`
}

// Witnessed says that the agent has the checkpoint on its disk and where its file says.
type Witnessed struct {
	Size      int64  `json:"size"`
	Signature string `json:"signature"` // the line of its cosignature: auditlog.Checkpoint.Cosign, named Witness
	// Failing names sinks that did not take what they were given last.
	Failing []string `json:"failing,omitempty"`
}

// Witness is the name of an agent in its cosignatures.
func Witness(agent string) string { return "postern-agent/" + agent }

// Evidence is one proof in the bundle. Raw never reaches a journal or log.
type Evidence struct {
	Type string `json:"type"` // mail_code, agent_code, …
	Raw  []byte `json:"raw,omitempty"`
}

// OutcomeRequest asks what became of a context.
type OutcomeRequest struct {
	Context Context `json:"context"`
	// Request is the PerformRequest whose answer was lost. An agent to which it never
	// came answers CodeGivenUp and does not carry it out any more. Without it, or from an
	// agent that does not know the field, CodeNotBegun says nothing of what is on its way.
	Request string `json:"request,omitempty"`
}

// A State is how an operation ended.
type State string

// The four outcomes. Unchanged may be tried again at the same agent; Unknown needs a
// person and is never retried.
const (
	Done      State = "done"
	Failed    State = "failed"
	Unchanged State = "unchanged"
	Unknown   State = "unknown"
)

// Accepted is the answer to a PerformRequest whose evidence the agent checked and
// whose operation it holds until Outcome.Until, as its own file says (T23). It is no
// outcome: from then on, and before not_after, a PerformRequest with the same context
// carries the operation out, without evidence. MethodDrop before ends it for good.
const Accepted State = "accepted"

// Evaluated is the outcome of a trial: the operation was checked as it would be before a
// change, and nothing was changed. Outcome.Error is what would have stood in the way; nil
// says that it would have been done.
const Evaluated State = "evaluated"

// An Outcome is the agent's signed answer to PerformRequest.
type Outcome struct {
	Context    Context `json:"context"`
	State      State   `json:"state"`
	Error      *Error  `json:"error,omitempty"`       // why, unless Done
	Sealed     []byte  `json:"sealed,omitempty"`      // the secret for the recipient, when the operation has one
	MustChange bool    `json:"must_change,omitempty"` // the directory will ask for a new password at the next sign-in
	Replayed   bool    `json:"replayed,omitempty"`    // answered from the journal; nothing was done now
	Until      int64   `json:"until,omitempty"`       // Accepted: Unix seconds by the agent's clock
	Unsealed   bool    `json:"unsealed,omitempty"`    // of a legacy agent: not signed, and the hub saw the secret before it sealed it
	Signature  []byte  `json:"signature"`             // Ed25519 over SignedBytes
}

// outcomeLabel begins the signed bytes of every outcome.
const outcomeLabel = "postern/outcome/v1"

// SignedBytes returns what the agent signs: the label, the context, the state, the
// hash of the sealed secret and, of Accepted, until when it is held, of Evaluated, what
// would have stood in the way.
func (o *Outcome) SignedBytes() []byte {
	sealed := sha256.Sum256(o.Sealed)
	b := append([]byte(outcomeLabel), o.Context[:]...)
	b = append(b, byte(len(o.State)))
	b = append(b, o.State...)
	b = append(b, sealed[:]...)
	if o.State == Accepted {
		b = binary.BigEndian.AppendUint64(b, uint64(o.Until))
	}
	if o.State == Evaluated && o.Error != nil {
		b = append(b, o.Error.Code...)
	}
	return b
}

// Sign sets the signature.
func (o *Outcome) Sign(key ed25519.PrivateKey) { o.Signature = ed25519.Sign(key, o.SignedBytes()) }

// Verify reports whether the signature is key's.
func (o *Outcome) Verify(key ed25519.PublicKey) bool {
	return len(key) == ed25519.PublicKeySize && ed25519.Verify(key, o.SignedBytes(), o.Signature)
}

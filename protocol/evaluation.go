package protocol

// A Reason is why an operation would not be carried out on an account, or why a method
// cannot be proven by its owner. The set is closed: an agent that evaluates answers with
// nothing else (T33).
type Reason string

// Reasons of an agent: of its guard, of its evidence, and of its directory's dry run.
const (
	ReasonAdministrator  Reason = "administrator"          // a built-in administrator, always refused
	ReasonAgentAccount   Reason = "agent_account"          // the account that the agent signs in with
	ReasonDisabled       Reason = "disabled"               // switched off by an administrator
	ReasonExpired        Reason = "expired"                // the account itself has ended
	ReasonOutside        Reason = "outside_base"           // outside of guard.base_dns
	ReasonOperationOff   Reason = "operation_off"          // not among guard.operations
	ReasonRefusedGroup   Reason = "refused_group"          // a member of guard.refused_groups
	ReasonNoNotice       Reason = "no_notice"              // nobody could be told (T34)
	ReasonNoEvidence     Reason = "no_evidence"            // of a strict group, and no combination can be proven
	ReasonRights         Reason = "missing_rights"         // the agent's account lacks rights on this account
	ReasonSmartcard      Reason = "smartcard_only"         // signs in by smart card alone
	ReasonCannotChange   Reason = "cannot_change_password" // may not change the password that a reset asks to change
	ReasonAdminLock      Reason = "administrator_lock"     // locked by an administrator
	ReasonPasswordPolicy Reason = "password_policy"        // no password can be made that fits
	ReasonState          Reason = "account_state"          // another state of the account
	ReasonUnsupported    Reason = "unsupported"            // this directory cannot do it for this account
	ReasonGone           Reason = "gone"                   // the directory no longer has the account
	ReasonLimit          Reason = "limit"                  // a limit of the agent's file
	ReasonUnreadable     Reason = "unreadable"             // the directory does not let the agent read what decides

	// Of account operations alone.
	ReasonAttributeOff Reason = "attribute_off" // not among guard.act_attributes
	ReasonValue        Reason = "value_refused" // the directory takes no such value of this attribute, or not as many

	// Notes, which stop nothing.
	ReasonNotLocked    Reason = "not_locked"             // nothing to unlock today
	ReasonNothing      Reason = "nothing_to_remove"      // no authenticator to remove today
	ReasonNeverExpires Reason = "password_never_expires" // a reset cannot ask for a new password
)

// Reasons why a method cannot be proven.
const (
	ReasonNoMail       Reason = "no_mail"       // no second address
	ReasonNoPhone      Reason = "no_phone"      // no phone
	ReasonYoung        Reason = "too_young"     // an attribute that is not there for 72 hours (T16)
	ReasonNoMailRoute  Reason = "no_mail_route" // the agent sends no mail
	ReasonNoPasskey    Reason = "no_passkey"    // none that counts
	ReasonNoName       Reason = "no_name"       // the directory has no name
	ReasonNoBirthDate  Reason = "no_birth_date" // the directory has none
	ReasonNoIssuer     Reason = "no_issuer"     // no issuer or provider is trusted
	ReasonFewApprovers Reason = "few_approvers" // fewer persons than must agree
)

// stopsNothing are reasons that say something about today, not about the account.
var stopsNothing = map[Reason]bool{ReasonNotLocked: true, ReasonNothing: true, ReasonNeverExpires: true}

// Note reports whether a reason stops nothing.
func (r Reason) Note() bool { return stopsNothing[r] }

// A Fact is something that a directory has of an account. Only that it is there crosses
// the tunnel, never what it is.
type Fact string

// Facts.
const (
	FactMail      Fact = "mail"       // an address that is no identifier
	FactPhone     Fact = "phone"      // a phone number
	FactManager   Fact = "manager"    // a manager with an address
	FactName      Fact = "name"       // a name
	FactBirthDate Fact = "birth_date" // a birth date
	FactPhoto     Fact = "photo"      // a picture of the person, which it would lend; told where asked
)

// Bounds of one EvaluateRequest.
const (
	MaxEvaluated           = 25 // accounts: a page takes a second or two of a directory's time
	MaxEvaluatedOperations = 8  // of one account
)

// EvaluateRequest asks what would happen to accounts. The agent answers only while its
// own file has evaluation = true, and only reads.
type EvaluateRequest struct {
	Accounts []EvaluateAccount `json:"accounts"`
}

// An EvaluateAccount is one account of an EvaluateRequest.
type EvaluateAccount struct {
	ID         string   `json:"immutable_id"`
	Operations []string `json:"operations"`      // each CanonicalTasks
	Photo      bool     `json:"photo,omitempty"` // whether there is a picture matters
}

// Evaluations is the answer, in the order of the request.
type Evaluations struct {
	Accounts []Evaluation `json:"accounts"`
}

// An Evaluation says what would happen to one account.
type Evaluation struct {
	ID         string   `json:"immutable_id"`
	Has        []Fact   `json:"has,omitempty"`
	Reasons    []Reason `json:"reasons,omitempty"`    // one of each operation, in order; "" where it would be carried out
	Notes      []Reason `json:"notes,omitempty"`      // what stops nothing
	Groups     []string `json:"groups,omitempty"`     // names and ids, as in Begun
	Terms      *Terms   `json:"terms,omitempty"`      // all that the agent's file asks for; nil: nothing
	Unprovable Lacks    `json:"unprovable,omitempty"` // methods that the owner cannot prove to this agent
}

// Lacks says of methods why they cannot be proven.
type Lacks map[string]Reason

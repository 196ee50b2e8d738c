package flow

import (
	"encoding/json"
	"time"

	"github.com/postern-id/postern/hub/policy"
	"github.com/postern-id/postern/hub/recovery"
	"github.com/postern-id/postern/protocol"
)

// A Step is what the employee is asked next. It is derived from the persisted state
// by one dispatcher; steps never call one another.
type Step string

// The steps of a recovery, in their usual order.
const (
	StepChoose     Step = "choose"     // which directory, which operation
	StepMethod     Step = "method"     // how to prove who one is
	StepProve      Step = "prove"      // answer View.Ask
	StepReady      Step = "ready"      // proven: press the button
	StepRefused    Step = "refused"    // proven, but it cannot be done; View.Problem says why
	StepPerforming Step = "performing" // the agent is at work
	StepDone       Step = "done"       // View.Sealed holds the secret until it is acknowledged
	StepFailed     Step = "failed"     // nothing was changed and trying again does not help
	StepUnknown    Step = "unknown"    // a person must look; never try again
	StepEvaluated  Step = "evaluated"  // a trial: View.Problem says what would have stood in the way, if anything
	StepReading    Step = "reading"    // this browser has read a ticket; see Recoveries.BegunBy
	StepElsewhere  Step = "elsewhere"  // another browser took it over; View.Elsewhere says how it ended there
	StepEnded      Step = "ended"      // cancelled, expired or acknowledged
)

// A Start is what the first page gives.
type Start struct {
	Env      string
	Address  string // as typed
	Language string // BCP 47, of the page
	Intent   Intent // hints of the URL; what the link says comes from the link itself
	Client   recovery.Client
	Link     string // the presigned token that admitted the session; "" if none
}

// An Intent narrows what is offered: hints of the URL, or restrictions of a presigned link.
type Intent struct {
	Flow        string // recover, enroll: changes words only; FlowOptions: leads to my recovery options
	Directories []string
	Actions     []protocol.Action
	Email       string // of a presigned link: only this address may start; "" any

	key    *enrolledKey     // of Recoveries.EnrollKey
	signIn *recovery.SignIn // of Recoveries.SignIn
}

// A View is everything that a page may show. Members below Proven are set only after
// the first proof.
type View struct {
	ID        string // of the recovery, for the URL
	Step      Step
	Flow      string
	Language  string
	ExpiresAt time.Time

	Directories []DirectoryChoice // StepChoose: of the whole environment
	Actions     []protocol.Action // StepChoose: of the whole environment
	Action      protocol.Action   // once chosen

	Trial bool // nothing will be changed: before the proof as the directory has it, after it as the agent began it

	Methods []MethodChoice // StepMethod, and StepProve where there are others: what is offered
	Ask     Ask            // StepProve
	Code    CodeView       // StepProve

	HandOver  bool // another browser may take it over, see Recoveries.HandOver
	Claimed   bool // another browser has read a ticket; the code that it shows is typed here (Recoveries.Confirm)
	Elsewhere Step // StepElsewhere: done, failed, unknown, refused or ended; "" while it goes on

	Proven     bool
	Account    string // the account's name
	Masked     string // where the code went, masked
	Problem    recovery.Problem
	Message    string           // with ProblemVetoed: what the organisation says to the person; "" if nothing
	Secret     bool             // the operation has a secret result, so a recipient key is needed
	Context    protocol.Context // StepDone with Sealed: what opens it
	Sealed     []byte           // StepDone, until acknowledged, for the session that asked only
	MustChange bool             // StepDone
	CodeUsed   bool             // StepDone: a saved code was used, and another one may be had in its place
	RetryAt    time.Time        // StepReady after an unchanged outcome

	Since time.Time       // StepPerforming: when the button was pressed
	Ended recovery.Ending // StepEnded
	Clear bool            // StepDone of a legacy directory that cannot seal: pages warn (T24)
}

// An Offer is what an environment has for everybody, before anybody said who they are.
type Offer struct {
	Directories []DirectoryChoice
	Actions     []protocol.Action
	Unavailable bool // no directory can be reached now
	Trial       bool // no directory is changed: all of them are evaluated
}

// A DirectoryChoice is offered where an environment has several directories.
type DirectoryChoice struct {
	ID, Name string
	Actions  []protocol.Action // what this directory offers
	Trial    bool              // it is evaluated, and nothing is changed
}

// A MethodChoice is one way to prove who one is. Before the first proof everybody who
// asks for the same is offered the same.
type MethodChoice struct {
	Method policy.Method
	Form   policy.Form
	Bound  bool // it needs the browser's key: the page's script makes one and posts it with the choice
	Asked  bool // it is asked for now
}

// An Ask is what a page asks for, in the form of its method.
type Ask struct {
	Method  policy.Method
	Form    policy.Form
	Open    bool            // false: it is being prepared, or, if Failed, cannot be
	Failed  bool            // another way must be chosen
	Request json.RawMessage // for the page's script; never depends on an account before the first proof
	Case    string          // what other people look at
	Waiting bool            // they decide now
	Since   time.Time       // when it was asked for
}

// A CodeView is the state of code entry, the same for known and unknown addresses.
type CodeView struct {
	TriesLeft  int
	SendsLeft  int
	ResendAt   time.Time // when another may be asked for
	LockedTill time.Time // too many wrong codes
}

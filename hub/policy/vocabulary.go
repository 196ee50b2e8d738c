package policy

import (
	"slices"

	"github.com/postern-id/postern/protocol/evidence"
)

// A Method is a way of proving: the name of a verifier.
type Method string

// The methods that a policy may name.
const (
	MailCode          Method = "mail_code"          // a code made and sent by the hub to a private address
	SMSCode           Method = "sms_code"           // a code made and sent by the hub to a phone
	SMSConfirm        Method = "sms_confirm"        // another one, after sms_code, for this one operation
	AgentCode         Method = "agent_code"         // a code made, sent and checked by the agent
	TOTP              Method = "totp"               // a code of an authenticator app
	SavedCode         Method = "saved_code"         // a recovery code that was written down
	Passkey           Method = "passkey"            // a key of the person's device
	DigitalCredential Method = "digital_credential" // a signed document in a wallet
	IdentityProvider  Method = "identity_provider"  // somebody else who knows the person
	Approval          Method = "approval"           // people who vouch
	DocumentReview    Method = "document_review"    // a captured document that people look at
	Manual            Method = "manual"             // staff who are sure of somebody
)

// A Form says how a page asks for a method.
type Form string

// The forms.
const (
	FormCode    Form = "code"    // one text field
	FormScript  Form = "script"  // the page's script answers a request
	FormAway    Form = "away"    // the person leaves and comes back
	FormWait    Form = "wait"    // other people decide
	FormCapture Form = "capture" // the person makes pictures, then other people decide
)

// A MethodRow is what everybody must know of a method.
type MethodRow struct {
	Method   Method
	Form     Form
	First    bool     // may be asked for before anything is proven
	Sends    bool     // asking for it sends something to the person, which is counted
	Bound    bool     // its challenge is the evidence context, so the browser's key comes first
	Names    bool     // it bears a name, which must match the account's
	Hub      bool     // only the hub checks it: it falls with the hub (T5)
	Evidence []string // types of evidence that it gives
}

// MethodTable is the vocabulary of methods. Everything that differs between methods
// and is not inside their verifiers stands here.
var MethodTable = []MethodRow{
	{MailCode, FormCode, true, true, false, false, true, []string{evidence.TypeMailCode}},
	{SMSCode, FormCode, true, true, false, false, true, []string{evidence.TypeSMSCode}},
	{SMSConfirm, FormCode, false, true, false, false, true, []string{evidence.TypeSMSCode}},
	{AgentCode, FormCode, true, true, false, false, false, []string{evidence.TypeAgentCode}},
	{TOTP, FormCode, true, false, false, false, true, []string{evidence.TypeTOTP}},
	{SavedCode, FormCode, true, false, false, false, true, []string{evidence.TypeSavedCode}},
	{Passkey, FormScript, true, false, true, false, false, []string{evidence.TypePasskey}},
	{DigitalCredential, FormScript, true, false, true, true, false, []string{evidence.TypeMDoc, evidence.TypeSDJWT}},
	{IdentityProvider, FormAway, true, false, true, true, false, []string{evidence.TypeIDToken}},
	{Approval, FormWait, false, false, true, false, false, []string{evidence.TypeApproval}},
	{DocumentReview, FormCapture, false, false, false, false, true, []string{evidence.TypeReview}},
	{Manual, FormWait, false, false, false, false, true, []string{evidence.TypeManual}},
}

// MethodByName returns the row of a method.
func MethodByName(m Method) (MethodRow, bool) {
	i := slices.IndexFunc(MethodTable, func(r MethodRow) bool { return r.Method == m })
	if i < 0 {
		return MethodRow{}, false
	}
	return MethodTable[i], true
}

// Slow reports whether other people decide about the method, which may take a day.
func (r MethodRow) Slow() bool { return r.Form == FormWait || r.Form == FormCapture }

package export

import "github.com/postern-id/postern/hub/audit"

// A class of OCSF 1.3 with its category.
type class struct {
	uid, category int
	name          string
}

var (
	accountChange  = class{3001, 3, "Account Change"}
	authentication = class{3002, 3, "Authentication"}
	entity         = class{3004, 3, "Entity Management"}
	access         = class{3005, 3, "User Access Management"}
)

// Activities. Each class numbers its own.
const (
	other = 99

	logon  = 1 // of authentication
	logoff = 2

	passwordReset = 4 // of account change
	deleteAccount = 6
	lockAccount   = 9
	addFactor     = 10
	removeFactor  = 11
	unlockAccount = 12

	create = 1 // of an entity
	update = 3
	erase  = 4

	assign = 1 // of access
	revoke = 2
)

// severities of OCSF.
const (
	info   = 1
	low    = 2
	medium = 3
	high   = 4
)

// States of OCSF.
const (
	unknown = 0
	success = 1
	failure = 2
)

// A shape says what an event is in the words of collectors.
type shape struct {
	class              class
	activity, severity int
	status             int
}

// priority is the severity of RFC 5424.
func (s shape) priority() int { return map[int]int{info: 6, low: 5, medium: 4, high: 3}[s.severity] }

// cefSeverity is the severity of CEF, 0 to 10.
func (s shape) cefSeverity() int {
	return map[int]int{info: 2, low: 4, medium: 6, high: 8}[s.severity]
}

// shapes is the table over the kinds of the audit log; a test checks that none is missing.
var shapes = tabulate([]struct {
	shape
	kinds []audit.Kind
}{
	{shape{authentication, logon, info, success}, []audit.Kind{audit.ConsoleSignin, audit.CLISignin, audit.RecoveryVerified, audit.OAuth2Token, audit.EntraEAMFinish, audit.OktaEAMFinish, audit.ManualVerified, audit.ApprovalGiven}},
	{shape{authentication, logon, low, failure}, []audit.Kind{audit.RecoveryCodeWrong, audit.RecoveryRefused, audit.RecoveryVetoed, audit.RecoveryExpired, audit.RecoveryCanceled, audit.OAuth2RequestCanceled, audit.ScanUnusable, audit.ConsoleRefused}},
	{shape{authentication, logon, high, failure}, []audit.Kind{audit.RecoveryNotMe, audit.RecoveryDisowned, audit.ApprovalDenied, audit.ManualDenied, audit.ManualRevoked}},
	{shape{authentication, logoff, info, success}, []audit.Kind{audit.ConsoleSignout}},
	{shape{authentication, other, info, unknown}, []audit.Kind{audit.RecoveryStarted, audit.RecoveryBegun, audit.RecoveryCodeSent, audit.RecoveryHandedOver, audit.RecoveryNotified, audit.RecoveryLinkCreated, audit.RequestMailsSpent, audit.ApprovalAsked, audit.ApprovalReplaced, audit.FactorUsed,
		audit.OAuth2PushedAuthorization, audit.OAuth2Authorize, audit.OAuth2V2Authorize, audit.EntraEAMAuthorize, audit.OktaEAMAuthorize, audit.PeopleCompare, audit.SelfieCompare, audit.DocumentUnread}},
	{shape{accountChange, passwordReset, medium, unknown}, []audit.Kind{audit.OperationRequested, audit.OperationFinished}},
	{shape{accountChange, unlockAccount, medium, success}, []audit.Kind{audit.RecoveryReopened, audit.RecoveryUnblocked}},
	{shape{accountChange, addFactor, medium, success}, []audit.Kind{audit.FactorAdded}},
	{shape{accountChange, removeFactor, medium, success}, []audit.Kind{audit.FactorRemoved}},
	{shape{accountChange, deleteAccount, medium, success}, []audit.Kind{audit.VaultDeleted}},
	{shape{accountChange, other, info, success}, []audit.Kind{audit.AccountUpdated, audit.OperationOrdered, audit.OperationWaiting, audit.OperationAgreed, audit.OperationDenied, audit.OperationExpired, audit.AccountPhotoUploaded, audit.PeopleSetPreferredName, audit.PeopleSetPicture}},
	{shape{access, assign, medium, success}, []audit.Kind{audit.OrgMemberInvited, audit.OrgMemberUpdated, audit.APIKeyCreated, audit.APIKeyUpdated, audit.AgentTicketCreated, audit.AgentTokenCreated, audit.DirectoryAuthorized, audit.DirectorySetCredentials}},
	{shape{access, revoke, medium, success}, []audit.Kind{audit.OrgMemberRemoved, audit.APIKeyDeleted, audit.AgentRevoked, audit.SharingRevoked}},
	{shape{entity, create, info, success}, []audit.Kind{audit.EnvCreated, audit.EnvLogoUploaded, audit.TemplateCreated, audit.RequestCreated, audit.DirectoryCreated, audit.DirectoryLogoUploaded, audit.AgentEnrolled, audit.EvaluationStarted}},
	{shape{entity, update, info, success}, []audit.Kind{audit.EnvUpdated, audit.TemplateUpdated, audit.OrgUpdated, audit.RequestUpdated, audit.DirectoryUpdated, audit.ConsoleSigninEmail, audit.ConsoleSigninSAML, audit.ExtensionInvoked, audit.EvaluationEnded, audit.WebhookReplayed,
		audit.AgentExamined, audit.MailTested, audit.MailFlows, audit.RequestLinkOpened, audit.RequestAccepted, audit.RequestRejected, audit.RequestExpired, audit.BiometricConsent, audit.ScanFinished, audit.ScanAccepted, audit.ScanRejected, audit.ScanAppealed, audit.ScanAppealAccepted, audit.ScanAppealRejected, audit.ProfilePictureAsked, audit.ProfilePictureAccepted, audit.ProfilePictureRejected}},
	{shape{entity, update, medium, success}, []audit.Kind{audit.EnvWebhookSecretUpdated, audit.BundleChanged, audit.AgentConfirmed, audit.AgentResolved, audit.AgentSyncConfirmed, audit.AgentLogAccepted}},
	{shape{entity, update, high, failure}, []audit.Kind{audit.AgentConflict, audit.AgentLogRefused, audit.MailStuck, audit.MessageUnread}},
	{shape{entity, erase, info, success}, []audit.Kind{audit.EnvLogoDeleted, audit.TemplateDeleted, audit.RequestCanceled, audit.DirectoryLogoDeleted, audit.ScanErased, audit.LeavesDropped}},
	{shape{entity, erase, medium, success}, []audit.Kind{audit.EnvDeleted, audit.DirectoryDeleted}},
	{shape{entity, other, info, success}, []audit.Kind{TestKind}},
})

func tabulate(rows []struct {
	shape
	kinds []audit.Kind
}) map[audit.Kind]shape {
	all := map[audit.Kind]shape{}
	for _, r := range rows {
		for _, k := range r.kinds {
			all[k] = r.shape
		}
	}
	return all
}

// shape of the event. One of a newer hub is some change.
func (e Event) shape() shape {
	s, found := shapes[e.Kind]
	if !found {
		return shape{entity, other, info, unknown}
	}
	return s
}

package audit

// A Kind names what an event is about. The set is closed: Append refuses others.
type Kind string

// Kinds of our own. They begin with recovery_, agent_ or operation_.
const (
	RecoveryStarted    Kind = "recovery_started"   // an address was typed; known or not, it looks the same
	RecoveryBegun      Kind = "recovery_begun"     // the agent began it for an account
	RecoveryCodeSent   Kind = "recovery_code_sent" // to an address of the account
	RecoveryCodeWrong  Kind = "recovery_code_wrong"
	RecoveryVerified   Kind = "recovery_verified"
	RecoveryRefused    Kind = "recovery_refused" // policy, guard or limit
	RecoveryVetoed     Kind = "recovery_vetoed"  // the organisation's webhook said no
	RecoveryCanceled   Kind = "recovery_canceled"
	RecoveryExpired    Kind = "recovery_expired"
	RecoveryNotMe      Kind = "recovery_not_me"      // the owner says that it was somebody else
	RecoveryHandedOver Kind = "recovery_handed_over" // another browser took it over with a ticket
	RecoveryDisowned   Kind = "recovery_disowned"    // whoever took it over says that somebody else began it
	RecoveryNotified   Kind = "recovery_notified"
	RecoveryReopened   Kind = "recovery_reopened"  // an administrator forgot the failed proofs of an account
	RecoveryUnblocked  Kind = "recovery_unblocked" // an administrator ended what the owner's objection blocked

	RequestMailsSpent Kind = "recovery_request_mails_spent" // no more mails go today to addresses that people who answer requests type in; once a day

	MailStuck  Kind = "recovery_mail_stuck"  // the mail server begins to take no mails; once, not with each
	MailFlows  Kind = "recovery_mail_flows"  // it takes them again
	MailTested Kind = "recovery_mail_tested" // somebody had a mail sent to see

	MessageUnread Kind = "recovery_message_unread" // a mail or text message that waited does not open in its place, and is not sent

	RecoveryLinkCreated Kind = "recovery_link_created" // a presigned link

	ApprovalAsked    Kind = "recovery_approval_asked"    // people are asked to vouch
	ApprovalReplaced Kind = "recovery_approval_replaced" // they are asked anew: what some of them approved is void
	ApprovalGiven    Kind = "recovery_approval_given"    // one of them did
	ApprovalDenied   Kind = "recovery_approval_denied"   // one of them raised the alarm

	ManualVerified Kind = "recovery_manual_verified" // staff were sure of somebody
	ManualDenied   Kind = "recovery_manual_denied"   // staff said that it is somebody else
	ManualRevoked  Kind = "recovery_manual_revoked"  // with what became of the recovery that counted it

	ConsoleSignout Kind = "recovery_console_signout" // a session was ended, by its owner or by an administrator

	ConsoleRefused Kind = "recovery_console_refused" // staff came from an address that their organisation does not let in; once a minute for an address

	FactorAdded   Kind = "recovery_factor_added" // under my recovery options, by its owner
	FactorRemoved Kind = "recovery_factor_removed"
	FactorUsed    Kind = "recovery_factor_used" // a saved code, which is void now

	OperationOrdered   Kind = "operation_ordered"   // an administrator asks for an account operation, or what it would change
	OperationWaiting   Kind = "operation_waiting"   // an order needs another administrator
	OperationAgreed    Kind = "operation_agreed"    // one agreed, and it is ordered
	OperationDenied    Kind = "operation_denied"    // one did not
	OperationExpired   Kind = "operation_expired"   // nobody did in time
	OperationRequested Kind = "operation_requested" // claimed; the agent is asked now
	OperationFinished  Kind = "operation_finished"  // with the agent's signed outcome

	WebhookReplayed Kind = "recovery_webhook_replayed" // an administrator had a delivery made again

	BundleChanged Kind = "recovery_bundle_changed" // a hub started with other pages than the last one; the detail names both hashes

	AgentTicketCreated Kind = "agent_ticket_created"
	AgentEnrolled      Kind = "agent_enrolled"
	AgentConfirmed     Kind = "agent_confirmed"
	AgentConflict      Kind = "agent_conflict" // two live processes use one key
	AgentResolved      Kind = "agent_resolved" // an administrator decided a conflict
	AgentRevoked       Kind = "agent_revoked"
	AgentLogRefused    Kind = "agent_log_refused"   // it was shown two histories of this log, and does nothing
	AgentLogAccepted   Kind = "agent_log_accepted"  // its administrator decided which one counts
	AgentTokenCreated  Kind = "agent_token_created" // of the public agent protocol
	AgentSyncConfirmed Kind = "agent_sync_confirmed"
	AgentExamined      Kind = "agent_examined" // somebody asked how it is; the detail has what it said
)

// Kinds of the REST API, as the public reference spells them.
const (
	EnvCreated                Kind = "env_created"
	EnvUpdated                Kind = "env_updated"
	EnvDeleted                Kind = "env_deleted"
	EnvLogoUploaded           Kind = "env_logo_uploaded"
	EnvLogoDeleted            Kind = "env_logo_deleted"
	TemplateCreated           Kind = "template_created"
	TemplateUpdated           Kind = "template_updated"
	TemplateDeleted           Kind = "template_deleted"
	EnvWebhookSecretUpdated   Kind = "env_webhook_secret_updated"
	OrgUpdated                Kind = "org_updated"
	OrgMemberInvited          Kind = "org_member_invited"
	OrgMemberRemoved          Kind = "org_member_removed"
	OrgMemberUpdated          Kind = "org_member_updated"
	APIKeyCreated             Kind = "apikey_created"
	APIKeyUpdated             Kind = "apikey_updated"
	APIKeyDeleted             Kind = "apikey_deleted"
	RequestCreated            Kind = "request_created"
	RequestUpdated            Kind = "request_updated"
	RequestCanceled           Kind = "request_canceled"
	AccountUpdated            Kind = "account_updated"
	AccountPhotoUploaded      Kind = "account_photo_uploaded"
	DirectoryCreated          Kind = "directory_created"
	DirectoryUpdated          Kind = "directory_updated"
	DirectoryDeleted          Kind = "directory_deleted"
	DirectoryAuthorized       Kind = "directory_authorized"
	DirectorySetCredentials   Kind = "directory_set_credentials"
	DirectoryLogoUploaded     Kind = "directory_logo_uploaded"
	DirectoryLogoDeleted      Kind = "directory_logo_deleted"
	ConsoleSignin             Kind = "console_signin"
	ConsoleSigninEmail        Kind = "console_singin_configure_email" // so spelled
	ConsoleSigninSAML         Kind = "console_singin_configure_saml"  // so spelled
	CLISignin                 Kind = "cli_signin"
	OAuth2PushedAuthorization Kind = "oauth2_pushed_authorization_request"
	OAuth2Authorize           Kind = "oauth2_authorize"
	OAuth2V2Authorize         Kind = "oauth2_v2_authorize"
	OAuth2RequestCanceled     Kind = "oauth2_request_canceled"
	OAuth2Token               Kind = "oauth2_token"
	EntraEAMAuthorize         Kind = "entra_eam_authorize"
	EntraEAMFinish            Kind = "entra_eam_finish"
	OktaEAMAuthorize          Kind = "okta_eam_authorize"
	OktaEAMFinish             Kind = "okta_eam_finish"
	PeopleCompare             Kind = "people_compare"
	PeopleSetPreferredName    Kind = "people_set_preferred_name"
	PeopleSetPicture          Kind = "people_set_picture"
	SelfieCompare             Kind = "selfie_compare"
	SharingRevoked            Kind = "sharing_revoked"
	ExtensionInvoked          Kind = "extension_invoked"
	EvaluationStarted         Kind = "recovery_evaluation_started" // ours: a run over the accounts of a directory
	EvaluationEnded           Kind = "recovery_evaluation_ended"   // ours: by an administrator
	LeavesDropped             Kind = "audit_leaves_dropped"        // ours: old leaves are kept as hashes only
)

// Kinds of captured documents, as the public reference spells the events of a request.
const (
	BiometricConsent   Kind = "biometric_consent"
	ScanFinished       Kind = "scan_finished" // handed in for review
	ScanAccepted       Kind = "scan_accepted"
	ScanRejected       Kind = "scan_rejected"
	ScanAppealed       Kind = "scan_appealed"
	ScanAppealAccepted Kind = "scan_appeal_accepted"
	ScanAppealRejected Kind = "scan_appeal_rejected"
	ScanErased         Kind = "scan_erased" // ours: its key was destroyed

	ProfilePictureAsked    Kind = "profile_picture_asked" // ours: people are to look at it
	ProfilePictureAccepted Kind = "profile_picture_accepted"
	ProfilePictureRejected Kind = "profile_picture_rejected"
)

// Kinds of what people do with a request, as the public reference spells its events.
const (
	RequestLinkOpened Kind = "request_link_opened"
	RequestAccepted   Kind = "request_accepted" // shared
	RequestRejected   Kind = "request_rejected"
	RequestExpired    Kind = "request_expired"
	ScanUnusable      Kind = "scan_aborted"           // a proof that was not taken
	VaultDeleted      Kind = "vault_deleted"          // the key of a person was destroyed
	DocumentUnread    Kind = "document_status_unread" // ours: it counted although its issuer's status list said nothing
)

// Kinds is the vocabulary.
var Kinds = []Kind{
	RecoveryStarted, RecoveryBegun, RecoveryCodeSent, RecoveryCodeWrong, RecoveryVerified, RecoveryRefused, RecoveryVetoed,
	RecoveryCanceled, RecoveryExpired, RecoveryNotMe, RecoveryHandedOver, RecoveryDisowned, RecoveryNotified, RecoveryReopened, RecoveryUnblocked, RecoveryLinkCreated, RequestMailsSpent, MailStuck, MailFlows, MailTested, MessageUnread,
	ApprovalAsked, ApprovalReplaced, ApprovalGiven, ApprovalDenied, ManualVerified, ManualDenied, ManualRevoked,
	ConsoleSignout, ConsoleRefused, FactorAdded, FactorRemoved, FactorUsed,
	OperationOrdered, OperationWaiting, OperationAgreed, OperationDenied, OperationExpired, OperationRequested, OperationFinished, BundleChanged, WebhookReplayed,
	AgentTicketCreated, AgentEnrolled, AgentConfirmed, AgentConflict, AgentResolved, AgentRevoked, AgentLogRefused, AgentLogAccepted, AgentTokenCreated, AgentSyncConfirmed, AgentExamined,

	EnvCreated, EnvUpdated, EnvDeleted, EnvLogoUploaded, EnvLogoDeleted, TemplateCreated, TemplateUpdated, TemplateDeleted,
	EnvWebhookSecretUpdated, OrgUpdated, OrgMemberInvited, OrgMemberRemoved, OrgMemberUpdated,
	APIKeyCreated, APIKeyUpdated, APIKeyDeleted, RequestCreated, RequestUpdated, RequestCanceled, AccountUpdated, AccountPhotoUploaded,
	DirectoryCreated, DirectoryUpdated, DirectoryDeleted, DirectoryAuthorized, DirectorySetCredentials, DirectoryLogoUploaded, DirectoryLogoDeleted,
	ConsoleSignin, ConsoleSigninEmail, ConsoleSigninSAML, CLISignin,
	OAuth2PushedAuthorization, OAuth2Authorize, OAuth2V2Authorize, OAuth2RequestCanceled, OAuth2Token,
	EntraEAMAuthorize, EntraEAMFinish, OktaEAMAuthorize, OktaEAMFinish,
	PeopleCompare, PeopleSetPreferredName, PeopleSetPicture, SelfieCompare, SharingRevoked, ExtensionInvoked, EvaluationStarted, EvaluationEnded, LeavesDropped,
	BiometricConsent, ScanFinished, ScanAccepted, ScanRejected, ScanAppealed, ScanAppealAccepted, ScanAppealRejected, ScanErased, ProfilePictureAsked, ProfilePictureAccepted, ProfilePictureRejected,
	RequestLinkOpened, RequestAccepted, RequestRejected, RequestExpired, ScanUnusable, VaultDeleted, DocumentUnread,
}

// known are the kinds that there are.
var known = func() map[Kind]bool {
	all := make(map[Kind]bool, len(Kinds))
	for _, k := range Kinds {
		all[k] = true
	}
	return all
}()

// Elsewhere are the kinds of the public reference that belong to integrations which
// Postern does not have. They are no mistake in a search, and never written.
var Elsewhere = []string{
	"ashby_integration_created", "ashby_integration_deleted", "ashby_integration_updated",
	"greenhouse_integration_created", "greenhouse_integration_credentials_updated", "greenhouse_integration_deleted",
	"greenhouse_integration_updated", "interview_config_updated", "interview_created",
	"interview_deleted", "interview_link_followed", "interview_opted_out",
	"interview_updated", "interview_verification_started", "recruitee_integration_created",
	"recruitee_integration_credentials_updated", "recruitee_integration_deleted", "recruitee_integration_updated",
	"workable_integration_created", "workable_integration_credentials_updated", "workable_integration_deleted",
	"workable_integration_updated",
}

// Package doctor holds what can be wrong with an agent: one table of numbered findings, a
// report of what was looked at, and the way to a hub step by step. It knows no agent, no
// directory and no account: the agent looks, and says here what it saw.
package doctor

import "strconv"

// A Severity says how much a finding matters.
type Severity string

// Severities, the worst one first.
const (
	Problem Severity = "problem" // something does not work
	Warning Severity = "warning" // the agent works, but somebody should know
	Note    Severity = "note"    // nothing to do now
)

// A Finding is one row of the table. Its number stays what it is: scripts and notes of
// administrators name it. docs/findings.md has a section for each.
type Finding struct {
	Number   int
	Title    string
	Severity Severity
	Fix      string // one line: what to do
}

// Anchor is where docs/findings.md speaks of the finding.
func (f Finding) Anchor() string { return "f" + strconv.Itoa(f.Number) }

// Page is what a report names for more.
func (f Finding) Page() string { return "docs/findings.md#" + f.Anchor() }

// Numbers of findings: 1xx the way to the hub and what the hub says, 2xx this machine and
// its file, 3xx the directory's servers and the agent's account, 4xx rights and one
// account, 5xx the guard, 6xx evidence, mail and messages.
const (
	HubName           = 101
	HubAway           = 102
	ProxyAway         = 103
	ProxySignIn       = 104
	ProxyRefuses      = 105
	HubUntrusted      = 106
	HubOtherName      = 107
	HubCertificateOld = 108
	HubNoTLS          = 109
	Inspected         = 110
	UpgradeBlocked    = 111
	OtherProtocol     = 112
	OtherHub          = 113
	KeyRevoked        = 114
	KeyPending        = 115
	KeyQuarantined    = 116
	ClockOff          = 117
	ClockWrong        = 118
	HubVersion        = 119
	HubSettings       = 120
	HubRefuses        = 121
	LogStopped        = 122
	GuardsDiffer      = 123

	NotEnrolled    = 201
	KeysUnsafe     = 202
	StateFolder    = 203
	DiskFull       = 204
	DiskLow        = 205
	JournalDamaged = 206
	JournalOpen    = 207

	DirectorySettings = 301
	ServerName        = 302
	ServerAway        = 303
	ServerUntrusted   = 304
	ServerOtherName   = 305
	ServerCertOld     = 306
	ServerNoTLS       = 307
	ServerCertEnds    = 308
	OneServerAway     = 309
	SignInWrong       = 310
	SignInLocked      = 311
	SignInDisabled    = 312
	SignInEnded       = 313
	SignInPasswordOld = 314
	SignInMustChange  = 315
	SignInElsewhere   = 316
	NoSuchBase        = 317
	NobodyListed      = 318
	WriterMissing     = 319
	DirectoryUnusable = 320
	DirectoryForbids  = 321
	DirectoryClock    = 322
	PasswordUnread    = 323
	RightMissing      = 401
	RightOptional     = 402
	RightExcess       = 403
	RightUnknown      = 404
	NoSuchAccount     = 405
	OperationRefused  = 406
	OperationNotNow   = 407
	PolicyUnknown     = 408
	PasswordLasting   = 409
	ActRightMissing   = 410
	GuardSettings     = 501
	GuardUnbounded    = 502
	GroupUnknown      = 503
	GuardRefuses      = 504
	Evaluating        = 505
	SensitiveNoRoute  = 506
	ActNever          = 507
	NoSuchBranch      = 508
	HubAlone          = 601
	WitnessedHere     = 602
	AnchorWeak        = 603
	EvidenceSettings  = 604
	ApproversUnread   = 605
	MailAway          = 606
	MessagesSettings  = 607
	NoticesOff        = 608
)

// Findings is the table, in the order of the numbers.
var Findings = []Finding{
	{HubName, "The hub's name is not found", Problem, "ask whoever runs DNS for this machine; or add the hub's address to hub.addresses, or a proxy to hub.proxy"},
	{HubAway, "The hub cannot be reached", Problem, "allow outbound TCP connections from this machine to the hub, or set hub.proxy"},
	{ProxyAway, "The proxy cannot be reached", Problem, "look at hub.proxy, or at HTTPS_PROXY of the agent's environment"},
	{ProxySignIn, "The proxy asks for another sign-in", Problem, "set hub.proxy_user and hub.proxy_password_file (basic authentication)"},
	{ProxyRefuses, "The proxy does not let the agent through", Problem, "allow CONNECT to the hub's name and port at the proxy, without an end after some time"},
	{HubUntrusted, "The hub's certificate is from nobody whom this machine trusts", Problem, "if the hub has a private authority, put its certificate into hub.ca_file; if a device opens TLS between, exempt the hub's name from it"},
	{HubOtherName, "The hub's certificate is for another name", Problem, "look where the hub's name leads from this machine; the hub's address comes from the ticket"},
	{HubCertificateOld, "The hub's certificate is not valid now", Problem, "look at this machine's clock first; else the hub's certificate must be renewed"},
	{HubNoTLS, "What answers at the hub's address speaks no TLS that the agent accepts", Problem, "look where the hub's name and port lead; TLS 1.2 is the least"},
	{Inspected, "TLS is opened between this machine and the hub", Note, "nothing: what agent and hub say is encrypted once more inside; exempt the hub's name if tunnels break"},
	{UpgradeBlocked, "The tunnel is not let through", Problem, "let websockets (HTTP Upgrade) to the hub's name through the proxy or the load balancer that answered"},
	{OtherProtocol, "What answers at the hub's address is no hub for agents", Problem, "look where the hub's name leads; a proxy between must keep the header Sec-WebSocket-Protocol"},
	{OtherHub, "What answers is not the hub of the ticket", Problem, "look where the hub's name leads; if the hub really has a new key, enrol anew with a ticket of it"},
	{KeyRevoked, "The hub has revoked this agent", Problem, "if it should serve, move the state folder aside and enrol anew with a new ticket"},
	{KeyPending, "This agent waits to be confirmed", Warning, "compare the fingerprint with the one on the hub's status page, and confirm it there"},
	{KeyQuarantined, "Two processes use the keys of this agent", Warning, "stop the other one, or enrol this one anew; an administrator decides in the hub which one stays"},
	{ClockOff, "The clocks of hub and agent differ", Warning, "set the clock of this machine or of the hub"},
	{ClockWrong, "The clocks of hub and agent differ too much", Problem, "set the clock of this machine or of the hub; recoveries fail until then"},
	{HubVersion, "Hub and agent are of versions that are far apart", Warning, "update the older one; the version before is supported, not those before it"},
	{HubSettings, "The table [hub] cannot be used", Problem, "correct the table [hub] of the agent's file"},
	{HubRefuses, "The hub does not admit this agent", Problem, "do what the hub says; its log and its status page say more"},
	{LogStopped, "This agent has stopped, because the hub showed two histories of its audit log", Problem, "find out what happened; then compare both heads with postern-agent accept-log"},
	{GuardsDiffer, "The agents of this directory have different rules", Warning, "compare the tables [guard] and [evidence] of the agents' files, and make them the same"},

	{NotEnrolled, "This agent is not enrolled", Problem, "ask the hub for a ticket, then run: postern-agent enroll --ticket-file FILE"},
	{KeysUnsafe, "The agent's keys cannot be used", Problem, "do what the line above says; keys that others could read belong to nobody any more: enrol anew"},
	{StateFolder, "The state folder cannot be used", Problem, "give state_dir to the account that runs the agent, and to nobody else"},
	{DiskFull, "The disk of the state folder is full", Problem, "make room: without it the agent carries out nothing"},
	{DiskLow, "The disk of the state folder is nearly full", Warning, "make room; the agent's own logs take 120 MB at most"},
	{JournalDamaged, "The journal is damaged", Problem, "move the file aside; recoveries under way end, and nothing that was begun can be carried out twice"},
	{JournalOpen, "Operations have no outcome yet", Warning, "see that the directory answers; look at these accounts if it stays so for a quarter of an hour"},

	{DirectorySettings, "The table [directory] cannot be used", Problem, "correct the table [directory] of the agent's file"},
	{ServerName, "The name of a directory server is not found", Problem, "look at urls and srv in the table [directory], and at this machine's DNS"},
	{ServerAway, "A directory server cannot be reached", Problem, "look at urls in the table [directory]; allow TCP from this machine to that port"},
	{ServerUntrusted, "The certificate of a directory server is from nobody whom this machine trusts", Problem, "put the authority's certificate (PEM) into ca_file in the table [directory]"},
	{ServerOtherName, "The certificate of a directory server is for another name", Problem, "use one of the names of the certificate in urls, or set server_name"},
	{ServerCertOld, "The certificate of a directory server is not valid now", Problem, "look at this machine's clock first; else the server's certificate must be renewed"},
	{ServerNoTLS, "A directory server speaks no TLS here", Problem, "use ldaps:// with the port for it (636), or ldap:// (389) with start_tls = true; the server needs a certificate for either"},
	{ServerCertEnds, "The certificate of a directory server ends soon", Warning, "renew it before that day: the agent does nothing without"},
	{OneServerAway, "One of several directory servers does not serve", Warning, "repair it, or take it out of urls; the others stand in"},
	{SignInWrong, "The directory refuses the agent's name or password", Problem, "look at bind_dn and at the file that bind_password_file names; on Active Directory write name@domain"},
	{SignInLocked, "The agent's account is locked", Problem, "find who tries an old password, then unlock the agent's account"},
	{SignInDisabled, "The agent's account is disabled", Problem, "enable the agent's account in the directory"},
	{SignInEnded, "The agent's account has ended", Problem, "set the end of the agent's account to never"},
	{SignInPasswordOld, "The password of the agent's account has expired", Problem, "set a new one, put it into the file that bind_password_file names, and let it never expire"},
	{SignInMustChange, "The agent's account must change its password first", Problem, "set its password without 'must change at next logon'"},
	{SignInElsewhere, "The agent's account may not sign in now, from here, or in this way", Problem, "clear logon hours and workstations of the agent's account; look at the channel binding that the domain asks for"},
	{NoSuchBase, "A base DN of the file does not exist", Problem, "correct it in the table [directory]; or let the agent's account see it"},
	{NobodyListed, "The directory lists nobody", Warning, "look at base DNs and filter in the table [directory], and at the read rights of the agent's account"},
	{WriterMissing, "The server to which changes should go is not among the agent's servers", Warning, "add it to urls, or name servers by srv; until then a reset takes a while to reach every server"},
	{DirectoryUnusable, "The directory does not answer as it should", Problem, "do what the line above says; look at the table [directory]"},
	{DirectoryForbids, "The agent's account may not read what it must", Problem, "give it the rights that docs/directories.md lists"},
	{DirectoryClock, "The clocks of directory and agent differ", Warning, "set the clock of this machine or of the directory server"},
	{PasswordUnread, "The file with the password of the agent's account cannot be used", Problem, "put the password into the file that bind_password_file names, readable by the account that runs the agent and by no other user"},

	{RightMissing, "The agent's account lacks a right on this account", Problem, "let an administrator of the directory run the lines above"},
	{RightOptional, "The agent's account lacks a right without which less works", Note, "let an administrator of the directory run the lines above, if you want it"},
	{RightExcess, "The agent's account has a dangerous right that it does not need", Warning, "take it away: who takes over this machine has it, too"},
	{RightUnknown, "The agent cannot see whether it has a right", Note, "try the operation on a test account; or let an administrator of the directory run the lines above, where there are some"},
	{NoSuchAccount, "The directory has no such account", Problem, "name an account by its identifier or immutable id; it must stand below a base DN and match the filter"},
	{OperationRefused, "An operation would fail on this account", Problem, "do what the line above says"},
	{OperationNotNow, "An operation does not apply to this account as it is", Note, "nothing, if the line above is as you expect"},
	{PolicyUnknown, "The password policy of this account is unknown", Note, "let the agent's account read password policies (docs/directories.md); temporary passwords are long without, too"},
	{PasswordLasting, "The password of this account never expires, so nobody is asked for a new one", Warning, "clear 'password never expires' of the account, or see that its owner changes a temporary password"},
	{ActRightMissing, "The agent's account lacks a right for an account operation that the file switches on", Problem, "let an administrator of the directory run the lines above, or take the operation out of guard.acts"},

	{GuardSettings, "The table [guard] cannot be used", Problem, "correct the table [guard] of the agent's file"},
	{GuardUnbounded, "Every account that the directory lists may be changed", Warning, "name the branches of employees in guard.base_dns"},
	{GroupUnknown, "A group of the agent's file does not exist, so it protects nobody", Warning, "look for a misspelling; give the group's name or id as the directory has it"},
	{GuardRefuses, "The agent's file refuses this account", Warning, "postern-agent policy test --account says which rule; look at the table [guard] if it should be let through"},
	{Evaluating, "This agent changes nothing: evaluation is on", Warning, "take evaluation = true out of the file and start the agent again to go live"},
	{SensitiveNoRoute, "Members of sensitive groups are always refused", Warning, "add a table [smtp] or [sms], or tables [evidence], so that the agent can check something itself"},
	{ActNever, "The agent's file names something that no account operation changes", Warning, "take it out of guard.act_attributes or guard.act_groups, or look for a misspelling"},
	{NoSuchBranch, "A branch in guard.base_dns does not exist, so nobody in it is let through", Problem, "correct base_dns in the table [guard]; or let the agent's account see that branch"},

	{HubAlone, "The hub's word alone resets accounts", Note, "require evidence that the agent checks for groups that matter: [[evidence.group]] with require_agent_verifiable"},
	{WitnessedHere, "What was seen of the hub's audit log is kept on this machine alone", Note, "add a sink that the hub's administrators cannot write to: log.sinks with syslog, eventlog or a file share"},
	{AnchorWeak, "A certificate that evidence rests on is weak or has ended", Warning, "ask its issuer for the present one, and put that into the file that evidence.trust names"},
	{EvidenceSettings, "The tables [evidence] cannot be used", Problem, "look at the tables [evidence] of the file and at the files that they name"},
	{ApproversUnread, "The approvers cannot be read", Problem, "look at approvers.json in the state folder; enter approvers anew with postern-agent approver add"},
	{MailAway, "The mail server does not take the agent's mail", Problem, "look at the table [smtp] of the file; the server must offer what smtp.tls says"},
	{MessagesSettings, "Text messages cannot be sent", Problem, "look at the table [sms] of the file"},
	{NoticesOff, "Accounts may be reset of which nobody is told", Warning, "set guard.no_notice to refuse, and see that accounts have a second mail address"},
}

// ByNumber is the row of a number; the zero Finding if there is none.
func ByNumber(n int) Finding {
	for _, f := range Findings {
		if f.Number == n {
			return f
		}
	}
	return Finding{}
}

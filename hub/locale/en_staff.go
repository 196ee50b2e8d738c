package locale

// enStaff is English, the pages and mails of people who vouch and of staff.
var enStaff = table{
	"approve.link.title":                 "Somebody needs you to vouch for them",
	"approve.link.text":                  "Opening this page has done nothing yet. Press the button to see who asks, and for what.",
	"approve.fragment":                   "This address is not complete. Open the link in the mail again, or copy the whole of it.",
	"approve.gone.title":                 "There is nothing to decide here",
	"approve.gone.text":                  "The link is too old or was used, the request has ended, or somebody else has decided it. You need do nothing.",
	"approve.replaced.title":             "This request was replaced by a newer one",
	"approve.replaced.text":              "The person began this step anew. If you are still needed, a newer mail has come to you: open the link in that one, to which another number belongs. What was approved here does not count any more.",
	"approve.replaced.deny.hint":         "“This is not right” counts for the newer request as well: it ends that one at once and tells the administrators. Press it if you could not reach the person, or if they know nothing of this.",
	"approve.title":                      "Is it {account} who asks?",
	"approve.what.password":              "Somebody who says that they are {account} wants a new password for that account.",
	"approve.what.mfa":                   "Somebody who says that they are {account} wants to sign in without the second factor of that account, which would be removed or passed over once.",
	"approve.what.unlock":                "Somebody who says that they are {account} wants that account unlocked.",
	"approve.what.temporary-access-pass": "Somebody who says that they are {account} wants a temporary access pass, which signs in to that account.",
	"approve.what.options":               "Somebody who says that they are {account} wants to change what that account is recovered with later on.",
	"approve.what.enroll-key":            "Somebody who says that they are {account} wants a passkey to count for that account.",
	"approve.asked":                      "Asked {at} with {device}, from the network address {address}.",
	"approve.speak":                      "Speak to the person, face to face or by a number that you know already, never by one that you were sent. Let them read you the number that their page shows.",
	"approve.spoken":                     "I have spoken to {account} or seen them, and they ask for this themselves.",
	"approve.number":                     "Which number does their page show?",
	"approve.number.hint#other":          "Two digits. {n} tries are left",
	"approve.number.hint#one":            "Two digits. {n} try is left",
	"approve.button":                     "Approve with my passkey",
	"approve.deny":                       "This is not right",
	"approve.deny.hint":                  "“This is not right” ends the request at once and tells the administrators. Press it if you could not reach the person, or if they know nothing of this.",
	"approve.until":                      "It can be done until {until}.",
	"approve.error.spoken":               "Speak to the person first, and then tick the box",
	"approve.error.number":               "Their page shows another number. Ask them to read it to you again",
	"approve.error.key":                  "This was not signed with your passkey for this site. Try again with the device on which you made it",
	"approve.fail.refused":               "It was stopped or took too long. Nothing was decided. Press the button to try again.",
	"approve.fail.other":                 "This browser or device could not use a passkey. Nothing was decided. Open the link in the mail on the device on which you made your passkey.",
	"approve.done.title":                 "Thank you. Your approval was taken",
	"approve.done.text":                  "If others have to approve too, they were asked. Your name stands in the log of {company}. You can close this page.",
	"approve.denied.title":               "The request was stopped",
	"approve.denied.text":                "Nothing was changed, and the administrators were told. You can close this page.",
	"approve.spent.title":                "Too many wrong numbers",
	"approve.spent.text":                 "You cannot decide about this request any more. If you do not know who asks, call your help desk.",
	"approver.link.title":                "Become somebody who vouches for colleagues",
	"approver.link.text":                 "Opening this page has done nothing yet. Press the button to begin.",
	"approver.title":                     "Make your passkey",
	"approver.text":                      "Hello {name}. When a colleague is locked out, {company} may ask you whether it is really them. You answer with a passkey that is for this alone.",
	"approver.key":                       "Press the button. Your device asks for your finger, face or PIN and keeps the passkey.",
	"approver.button":                    "Make my passkey",
	"approver.error":                     "The passkey could not be made. Press the button to try again",
	"approver.done.title":                "Your passkey is made",
	"approver.done.text":                 "It counts from {counts} on. {company}’s other administrators were told. When somebody needs you, you get a mail.",
	"approver.agent.title":               "For the administrator of the company’s agent",
	"approver.agent.text":                "Accounts for which the agent itself checks approvals need this key there too. Only the administrator on that machine can add it. Send them this text, and read them the fingerprint over the telephone or face to face.",
	"approver.agent.id":                  "Name of the approver:",
	"approver.agent.print":               "Fingerprint of the key:",
	"approver.agent.key":                 "Public key (it is no secret)",

	// Mails. {name} who gets it, {who} whose key, {by} who raised the alarm.
	"mail.approval.subject": "Somebody at {company} needs you to vouch for them",
	"mail.approval.body": `Hello {name},

somebody is locked out of an account at {company} and says that you know them. Open this page to see who it is and what they ask for:

{link}

Speak to the person before you approve anything, face to face or by a number that you know already. If something is not right, the page has a button for that too.

The link is for you alone and works until {until}. Without it nothing happens.
`,
	"mail.alarm.subject": "Alarm: a recovery at {company} is not right",
	"mail.alarm.body": `Hello {name},

{by} was asked to vouch for {account} at {company} and says that the request is not right. It was stopped, and nothing was changed.

Please find out who asked. The log shows the browser and the network address.
`,
	"mail.staff.subject": "You are invited by {company}",
	"mail.staff.body": `Hello {name},

{company} asks you to vouch for colleagues who are locked out. To begin, make a passkey on this page:

{link}

The link is for you alone, works once, and until {until}.
`,
	"mail.staffin.subject": "You are invited to the console of {company}",
	"mail.staffin.body": `Hello {name},

{company} invites you to the console of its account recovery. To begin, make a passkey on this page:

{link}

The link is for you alone, works once, and until {until}.
`,
	"mail.staffmember.subject": "Somebody new will decide about people at {company}",
	"mail.staffmember.body": `Hello {name},

{who} was given a role in the console of {company} with which they look at documents and verify people. It counts from {until} on.

If you do not know of this, remove the person in the console before then.
`,
	"mail.staffkey.subject": "Somebody new may vouch at {company}",
	"mail.staffkey.body": `Hello {name},

{who} has made a passkey by which they vouch for people at {company}. It counts from {until} on.

If you do not know of this, remove the person in the console before then.
`,

	"console.join.title":              "Make your passkey for the console",
	"console.join.link":               "Opening this page has done nothing yet. Press the button to begin.",
	"console.join.text":               "Hello {name}. You sign in to this console with a passkey, which your device keeps. There is no password.",
	"console.join.button":             "Make my passkey",
	"console.join.done":               "Your passkey is made. You can sign in now.",
	"console.join.gone.title":         "This invitation works no more",
	"console.join.gone.text":          "It is too old or was used. Ask an administrator for another one.",
	"console.join.script":             "This page needs JavaScript. Switch it on in your browser.",
	"console.key.button":              "Sign in with my passkey",
	"console.key.fail":                "That did not work. Press the button to try again, or use the device on which you made the passkey.",
	"console.key.wrong":               "This passkey does not sign in here. Your role may be suspended because your own account was recovered.",
	"console.staff.title":             "Who works here",
	"console.staff.link":              "Staff and sessions",
	"console.staff.suspended":         "Suspended until {until}: their own account was recovered.",
	"console.staff.keys.none":         "No passkey yet",
	"console.staff.keys#other":        "{n} passkeys",
	"console.staff.keys#one":          "{n} passkey",
	"console.staff.remove":            "Remove",
	"console.staff.invite":            "Invite somebody",
	"console.staff.name":              "Name",
	"console.staff.mail":              "Mail address",
	"console.staff.role":              "What they may do",
	"console.staff.role.owner":        "Owner: everything",
	"console.staff.role.admin":        "Administrator: everything but owners and environments",
	"console.staff.role.user":         "Help desk: reviews, accounts",
	"console.staff.role.limited_plus": "Reader, with accounts",
	"console.staff.role.limited":      "Reader",
	"console.staff.role.approver":     "Vouches for people only",
	"console.staff.role.":             "Vouches for people only",
	"console.staff.place":             "Recovery domain (for people who vouch)",
	"console.staff.envs":              "In which environments",
	"console.staff.envs.hint":         "Untick it to choose some. API keys that somebody made reach no further than they do.",
	"console.staff.envs.whole":        "All of them, also those to come",
	"console.staff.envs.all":          "All environments",
	"console.staff.envs.none":         "No environment any more",
	"console.staff.error.owner":       "An owner works in all environments: tick all of them, or choose another role.",
	"console.staff.error.envs":        "Tick at least one environment in which you work yourself.",
	"console.staff.send":              "Make an invitation",
	"console.staff.made":              "Give this link to {name}. It works once, for 24 hours, and is shown only now:",
	"console.staff.error":             "Give a name, a mail address that nobody else has, and a role not above your own.",
	"console.staff.sessions":          "Who is signed in",
	"console.staff.session.first":     "By the link that the installation printed",
	"console.staff.session.since":     "Since {at}, {device}",
	"console.staff.session.this":      "This is you",
	"console.staff.session.end":       "End this session",
	"console.role.title":              "Your role does not reach this",
	"console.role.text":               "Ask an administrator.",
}

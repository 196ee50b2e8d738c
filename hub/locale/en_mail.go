package locale

// enMail are the mails. A line is as long as the reader's window makes it; blank lines
// part paragraphs.
var enMail = table{
	// {company} public name of the environment, {site} host of the recovery domain,
	// {code}, {duration} how long the code works, {until} when it ends.
	"mail.code.subject": "Your code for {company}",
	"mail.code.body.recover": `Hello,

somebody, probably you, wants to get back into an account at {company}. Your code is:

    {code}

Type it on the page where you began, on {site}. It works there, and nowhere else, until {until}.

Never read or send this code to anybody, not even to somebody who says that they work for {company}. Nobody who helps you needs it.

If you did not ask for it, you need do nothing: without the code nothing happens.
`,
	"mail.code.body.enroll": `Hello,

somebody, probably you, is setting up an account at {company}. Your code is:

    {code}

Type it on the page where you began, on {site}. It works there, and nowhere else, until {until}.

Never read or send this code to anybody, not even to somebody who says that they work for {company}. Nobody who helps you needs it.

If you did not ask for it, you need do nothing: without the code nothing happens.
`,

	"mail.code.body.asked": `Hello,

{company} asks somebody, probably you, for their mail address. The code that confirms this one is:

    {code}

Type it on the page where you gave the address, on {site}. It works there, and nowhere else, until {until}.

If you did not give it, you need do nothing: without the code {company} is not told this address.
`,

	"mail.code.body.confirm": `Hello,

somebody, probably you, wants to use this address to get back into an account at {company} later on. The code that confirms it is:

    {code}

Type it on the page where you asked for it, on {site}. It works there, and nowhere else, until {until}.

If you did not ask for it, you need do nothing: without the code this address is not used.
`,

	// The notice after something under "my recovery options" changed. {name} is what the
	// owner called it, {kind} one of mail.factor.kind, {counts} from when on it counts.
	"mail.factor.subject.added":      "New recovery option for your account at {company}",
	"mail.factor.subject.removed":    "A recovery option of your account at {company} was removed",
	"mail.factor.subject.used":       "A saved recovery code for your account at {company} was used",
	"mail.factor.what.added":         "A way to get back into the account {account} was added: {kind}. It counts from {counts} on.",
	"mail.factor.what.removed":       "A way to get back into the account {account} was removed: {kind}.",
	"mail.factor.subject.disowned":   "A recovery option that was not yours was removed from your account at {company}",
	"mail.factor.what.disowned":      "Somebody said that a way to get back into the account {account} was not added by its owner. It was removed: {kind}.",
	"mail.factor.what.used":          "A saved code was used for the account {account}. It works no more. Another one in its place is offered at the end of that recovery; you can also make new codes under “My recovery options” on {site}.",
	"mail.factor.kind.passkey":       "a passkey",
	"mail.factor.kind.totp":          "an authenticator app",
	"mail.factor.kind.saved_code":    "a sheet of saved codes",
	"mail.factor.kind.mail":          "a recovery mail address",
	"mail.factor.kind.phone":         "a recovery phone",
	"mail.factor.named":              "{kind} “{name}”",
	"mail.notice.subject.enroll-key": "A passkey for your account at {company} was confirmed",
	"mail.notice.what.enroll-key":    "A passkey of the account {account} was confirmed at the company's own agent. It counts there 72 hours from now.",

	// The notice to the owner of an account after something was done. {account} name of
	// the account, {at} when, {device} Device of the browser, {address} its IP address,
	// {site}, {company}, {link} of the page "this was not me", {until} how long it works.
	"mail.notice.subject.password":              "Your password at {company} was reset",
	"mail.notice.subject.unlock":                "Your account at {company} was unlocked",
	"mail.notice.subject.mfa":                   "Your authenticators at {company} were removed",
	"mail.notice.subject.temporary-access-pass": "An access pass for your account at {company} was made",
	"mail.notice.what.password":                 "The password of the account {account} was reset.",
	"mail.notice.what.unlock":                   "The account {account} was unlocked.",
	"mail.notice.what.mfa":                      "The authenticators of the account {account} were removed.",
	"mail.notice.what.temporary-access-pass":    "A temporary access pass was made for the account {account}.",
	"mail.notice.subject.unknown":               "Your account at {company} may have been changed",
	"mail.notice.what.unknown":                  "Somebody asked to change the account {account}. The directory did not answer in time, so we do not know yet whether it was changed. A person looks at it.",
	"mail.notice.subject.disowned":              "Somebody tried to get into your account at {company}",
	"mail.notice.what.disowned":                 "Somebody began to recover the account {account}, and had another person go on with it on a phone. That person says that they did not start it. The recovery was stopped, and nothing was changed.",
	"mail.notice.body": `Hello,

{what}

When: {at}
From: {device}, address {address}
On the page: {site}

If this was you, you need do nothing.

If this was not you, open this page and press the button there:

{link}

It stops every recovery of this account that is under way and blocks new ones for a day at most, so that nobody gets in while it is looked at. The link works until {until}.
`,

	// A mail that shows that mails arrive.
	"mail.test.subject": "A test mail of {company}",
	"mail.test.body": `Hello,

this is a test: somebody who looks after the account recovery of {company} wanted to see whether its mails arrive. They do.

Nothing happened to any account, and you need do nothing.
`,
}

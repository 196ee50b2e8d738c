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
}

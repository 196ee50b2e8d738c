package locale

// enTrial is what people read while a directory is evaluated and nothing is changed.
var enTrial = table{
	"trial.title": "This is a trial.",
	"trial.text":  "You can go through every step, but nothing will be changed in your account.",
	"trial.place": "On trial: nothing is changed",

	"trial.done.title.password":              "Your password would have been reset",
	"trial.done.title.unlock":                "Your account would have been unlocked",
	"trial.done.title.mfa":                   "Your authenticators would have been removed",
	"trial.done.title.temporary-access-pass": "An access pass would have been made for you",
	"trial.done.title.enroll-key":            "Your passkey would have been confirmed",
	"trial.done.text":                        "You proved who you are, and every check said yes. Because this is a trial, it ended there: your account is as it was before.",
	"trial.done.next":                        "You need do nothing more. Go on signing in as you always do.",
	"console.outcome.trial":                  "trial",
	"console.trial":                          "On trial",
	"console.trial.text":                     "The agent's own file says evaluation = true: nothing is changed in this directory until it is taken out there.",
	"trial.not.title":                        "It would not have worked",

	// {account}, {company}; {action} is one of trial.action.
	"mail.notice.trial.subject":          "Trial: a recovery of your account at {company}",
	"mail.notice.trial.what":             "This was a trial. Somebody, probably you, went through the recovery of the account {account} ({action}). Nothing was changed.",
	"trial.action.password":              "reset the password",
	"trial.action.unlock":                "unlock the account",
	"trial.action.mfa":                   "remove the authenticators",
	"trial.action.temporary-access-pass": "make an access pass",
	"trial.action.enroll-key":            "confirm a passkey",
}

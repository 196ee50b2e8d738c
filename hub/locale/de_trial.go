package locale

// deTrial is what people read while a directory is evaluated and nothing is changed.
var deTrial = table{
	"trial.title": "Dies ist ein Probelauf.",
	"trial.text":  "Sie können jeden Schritt durchgehen, aber an Ihrem Konto wird nichts geändert.",
	"trial.place": "Im Probelauf: Es wird nichts geändert",

	"trial.done.title.password":              "Ihr Passwort wäre zurückgesetzt worden",
	"trial.done.title.unlock":                "Ihr Konto wäre entsperrt worden",
	"trial.done.title.mfa":                   "Ihre Authentifikatoren wären entfernt worden",
	"trial.done.title.temporary-access-pass": "Ein Zugangspass wäre für Sie ausgestellt worden",
	"trial.done.title.enroll-key":            "Ihr Passkey wäre bestätigt worden",
	"trial.done.text":                        "Sie haben sich ausgewiesen, und jede Prüfung hat zugestimmt. Weil dies ein Probelauf ist, war hier Schluss: Ihr Konto ist, wie es vorher war.",
	"trial.done.next":                        "Sie müssen nichts weiter tun. Melden Sie sich an wie immer.",
	"console.outcome.trial":                  "Probelauf",
	"console.trial":                          "Im Probelauf",
	"console.trial.text":                     "In der Datei des Agenten steht evaluation = true: In diesem Verzeichnis wird nichts geändert, bis es dort herausgenommen wird.",
	"trial.not.title":                        "Es hätte nicht geklappt",

	"mail.notice.trial.subject":          "Probelauf: Wiederherstellung Ihres Kontos bei {company}",
	"mail.notice.trial.what":             "Dies war ein Probelauf. Jemand, vermutlich Sie, hat die Wiederherstellung des Kontos {account} durchgespielt ({action}). Es wurde nichts geändert.",
	"trial.action.password":              "Passwort zurücksetzen",
	"trial.action.unlock":                "Konto entsperren",
	"trial.action.mfa":                   "Authentifikatoren entfernen",
	"trial.action.temporary-access-pass": "Zugangspass ausstellen",
	"trial.action.enroll-key":            "Passkey bestätigen",
}

package locale

// deSignIn is German, sign-ins at other identity providers that ask here for a proof.
var deSignIn = table{
	"common.service.sign-in":        "Identitätsprüfung",
	"signin.link.title":             "Zeigen Sie, dass Sie es sind",
	"signin.link.text":              "Sie melden sich gerade an, und {company} bittet Sie, hier zu zeigen, wer Sie sind. Fahren Sie nur fort, wenn Sie diese Anmeldung eben selbst begonnen haben.",
	"signin.ready.title":            "Sie haben gezeigt, dass Sie es sind",
	"signin.ready.text":             "An Ihrem Konto wurde nichts geändert. Fahren Sie mit der Anmeldung fort, von der Sie kommen; sie erfährt nur, dass Sie es gezeigt haben und wie.",
	"signin.ready.button":           "Weiter zur Anmeldung",
	"signin.back.title":             "Zurück zu Ihrer Anmeldung",
	"signin.back.text":              "Sie werden dorthin zurückgebracht, woher Sie gekommen sind.",
	"signin.returned.title":         "Sie sind zu Ihrer Anmeldung zurückgekehrt",
	"signin.returned.text":          "Diese Prüfung ist beendet. Sie können diese Seite schließen.",
	"signin.gone.title":             "Diese Anmeldung muss neu begonnen werden",
	"signin.gone.text":              "Der Link zu dieser Seite gilt einmal und für wenige Minuten. Gehen Sie dorthin zurück, wo Sie sich anmelden wollten, und beginnen Sie dort von vorn.",
	"action.sign-in":                "Anmeldung",
	"action.sign-in.hint":           "Einem anderen Dienst zeigen, wer Sie sind",
	"approve.what.sign-in":          "Jemand, der oder die sich als {account} ausgibt, möchte sich anmelden.",
	"request.consent.text.exchange": "Der Anmeldedienst von {company} bittet Sie zu zeigen, wer Sie sind. Er hat angegeben, für wen er Sie hält; verglichen wird hier:",
	"request.share.text.exchange":   "Das wurde nachgewiesen. Wenn Sie fortfahren, erfährt Ihr Anmeldedienst, ob es mit dem übereinstimmt, was er von Ihnen weiß, und sonst nichts.",
	"request.share.exchange":        "Vergleichen und weiter zur Anmeldung",
	"request.noshare.exchange":      "Nicht vergleichen",
	"request.reject.exchange":       "Abbrechen und zurück zur Anmeldung",
	"request.life.exchange":         "Hier wird nichts davon aufbewahrt.",
	"request.returned.title":        "Sie sind zu Ihrer Anmeldung zurückgekehrt",
	"request.returned.text":         "Diese Prüfung ist beendet. Sie können diese Seite schließen.",
}

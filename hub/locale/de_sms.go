package locale

// deSMS is German in text messages: short, since each 70 characters may cost.
var deSMS = table{
	"sms.recover": "{code} ist Ihr Code für {site}, wo Sie wieder in Ihr Konto bei {company} kommen. Sagen Sie ihn niemandem.",
	"sms.enroll":  "{code} ist Ihr Code für {site}, wo Sie Ihr Konto bei {company} einrichten. Sagen Sie ihn niemandem.",
	"sms.second":  "Mit {code} geht auf {site} jetzt weiter, was Sie bei {company} verlangt haben. Waren Sie das nicht? Verraten Sie den Code niemandem.",
	"sms.asked":   "{code} bestätigt dieses Telefon auf {site}, damit Sie {company} die Nummer geben können. Sagen Sie den Code niemandem.",
	"sms.confirm": "{code} bestätigt dieses Telefon auf {site} für Ihr Konto bei {company}. Sagen Sie ihn niemandem.",

	// The second code of a recovery.
	"method.sms_confirm":             "Noch ein Code per SMS",
	"method.sms_confirm.hint":        "An dasselbe Telefon, für genau diesen Vorgang.",
	"prove.title.sms_confirm":        "Wie lautet der zweite Code, den wir Ihnen geschickt haben?",
	"prove.sent.sms_confirm":         "Wir haben noch einen Code an die Telefonnummern geschickt, die {company} von Ihnen hat. Mit ihm geht genau dieser Vorgang weiter.",
	"prove.hint.sms_confirm":         "Die Ziffern aus der neuesten Nachricht. Leerzeichen spielen keine Rolle",
	"prove.wait.sms_confirm":         "Er sollte innerhalb einer Minute da sein. Lassen Sie diese Seite offen.",
	"prove.error.empty.sms_confirm":  "Geben Sie den Code aus der Nachricht ein",
	"prove.error.wrong.sms_confirm":  "Das ist nicht der Code, den wir zuletzt geschickt haben. Sehen Sie in der neuesten Nachricht nach und geben Sie ihn noch einmal ein",
	"prove.resend.title.sms_confirm": "Keine Nachricht?",
	"prove.resend.help.sms_confirm":  "Sehen Sie nach, ob Ihr Telefon an ist und Empfang hat. Wenn die Nachricht nicht kommt, fordern Sie eine weitere an.",
}

// deAway is German, what only a sign-in at another service needs.
var deAway = table{
	"away.leave":    "Bei {service} anmelden",
	"away.title":    "Zurück vom anderen Dienst",
	"away.text":     "Es geht von selbst weiter. Wenn nicht, drücken Sie die Schaltfläche.",
	"away.button":   "Weiter",
	"away.stranger": "Jemand hat Sie hierher geschickt, und Sie haben in diesem Browser nichts begonnen? Dann schließen Sie diese Seite. Es wurde nichts preisgegeben.",
}

package locale

// deSMS is German in text messages: short, since each 70 characters may cost.
var deSMS = table{
	"sms.recover": "{code} ist Ihr Code für {site}, wo Sie wieder in Ihr Konto bei {company} kommen. Sagen Sie ihn niemandem.",
	"sms.enroll":  "{code} ist Ihr Code für {site}, wo Sie Ihr Konto bei {company} einrichten. Sagen Sie ihn niemandem.",
	"sms.confirm": "{code} bestätigt dieses Telefon auf {site} für Ihr Konto bei {company}. Sagen Sie ihn niemandem.",
}

// deAway is German, what only a sign-in at another service needs.
var deAway = table{
	"away.leave":    "Bei {service} anmelden",
	"away.title":    "Zurück vom anderen Dienst",
	"away.text":     "Es geht von selbst weiter. Wenn nicht, drücken Sie die Schaltfläche.",
	"away.button":   "Weiter",
	"away.stranger": "Jemand hat Sie hierher geschickt, und Sie haben in diesem Browser nichts begonnen? Dann schließen Sie diese Seite. Es wurde nichts preisgegeben.",
}

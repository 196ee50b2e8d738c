package locale

// deAuthorize is German, the page at which a browser waits for a sign-in that a phone may go on
// with, and that phone's.
var deAuthorize = table{
	"authorize.picture.title":     "Weisen Sie sich aus",
	"authorize.picture.text":      "{client} bittet Sie, sich gegenüber {company} auszuweisen. Fahren Sie nur fort, wenn Sie das gerade selbst begonnen haben.",
	"authorize.picture.here":      "In diesem Browser fortfahren",
	"authorize.picture.phone":     "Oder mit dem Telefon fortfahren",
	"authorize.picture.link":      "Die Adresse, die im Bild steht",
	"authorize.picture.own":       "Lesen Sie es nur mit Ihrem eigenen Telefon. Sobald Sie dort fertig sind, kehrt diese Seite von selbst zu {client} zurück.",
	"authorize.typecode.title":    "Ihr Telefon zeigt einen Code",
	"authorize.typecode.hint":     "Danach weisen Sie sich auf dem Telefon aus, und diese Seite kehrt von selbst zurück.",
	"authorize.goeson.title":      "Es geht auf Ihrem Telefon weiter",
	"authorize.goeson.text":       "Sobald Sie dort fertig sind, kehrt diese Seite von selbst zu {client} zurück.",
	"authorize.cancel":            "Abbrechen und zurück zu {client}",
	"signin.phone.ask.title":      "Haben Sie das begonnen?",
	"signin.phone.ask.text":       "Jemand hat eine Anmeldung begonnen, und Sie haben das Bild auf diesem Bildschirm gelesen. Wenn Sie fortfahren, ist dort angemeldet, wer davor sitzt – unter Ihrem Namen.",
	"signin.phone.client":         "Anmeldung bei",
	"signin.phone.code.title":     "Geben Sie diesen Code auf dem anderen Bildschirm ein",
	"signin.phone.nobody":         "Nennen Sie diesen Code niemandem, weder am Telefon noch in einer Nachricht. Wer danach fragt, will sich unter Ihrem Namen anmelden.",
	"signin.phone.go.title":       "Weisen Sie sich aus",
	"signin.phone.go.text":        "Der Code wurde eingegeben. Fahren Sie hier fort, um sich gegenüber {client} auszuweisen.",
	"signin.phone.done.title":     "Weiter am anderen Bildschirm",
	"signin.phone.done.text":      "Auf diesem Telefon sind Sie fertig. Die Seite, die Ihnen das Bild gezeigt hat, fährt von selbst fort. Sie können diese Seite schließen.",
	"signin.phone.disowned.title": "Es wurde beendet",
	"signin.phone.disowned.text":  "Niemand wurde angemeldet. Wenn jemand Sie gebeten hat, ein Bild für ihn zu lesen, melden Sie das Ihrer Organisation.",
}

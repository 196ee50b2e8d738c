package locale

// deMail are the mails.
var deMail = table{
	"mail.code.subject": "Ihr Code für {company}",
	"mail.code.body.recover": `Guten Tag,

jemand, vermutlich Sie, möchte wieder Zugang zu einem Konto bei {company}. Ihr Code lautet:

    {code}

Geben Sie ihn auf der Seite ein, auf der Sie begonnen haben, auf {site}. Er gilt nur dort und nur bis {until}.

Sagen oder schicken Sie diesen Code niemandem, auch niemandem, der angibt, für {company} zu arbeiten. Wer Ihnen hilft, braucht ihn nicht.

Falls Sie keinen Code angefordert haben, müssen Sie nichts tun: Ohne den Code geschieht nichts.
`,
	"mail.code.body.enroll": `Guten Tag,

jemand, vermutlich Sie, richtet ein Konto bei {company} ein. Ihr Code lautet:

    {code}

Geben Sie ihn auf der Seite ein, auf der Sie begonnen haben, auf {site}. Er gilt nur dort und nur bis {until}.

Sagen oder schicken Sie diesen Code niemandem, auch niemandem, der angibt, für {company} zu arbeiten. Wer Ihnen hilft, braucht ihn nicht.

Falls Sie keinen Code angefordert haben, müssen Sie nichts tun: Ohne den Code geschieht nichts.
`,

	"mail.code.body.asked": `Guten Tag,

{company} bittet jemanden, vermutlich Sie, um eine Mailadresse. Der Code, der diese bestätigt, lautet:

    {code}

Geben Sie ihn auf der Seite ein, auf der Sie die Adresse angegeben haben, auf {site}. Er gilt nur dort und nur bis {until}.

Falls Sie sie nicht angegeben haben, müssen Sie nichts tun: Ohne den Code erfährt {company} diese Adresse nicht.
`,

	"mail.code.body.confirm": `Guten Tag,

jemand, vermutlich Sie, möchte diese Adresse verwenden, um später wieder Zugang zu einem Konto bei {company} zu bekommen. Der Code, der sie bestätigt, lautet:

    {code}

Geben Sie ihn auf der Seite ein, auf der Sie ihn angefordert haben, auf {site}. Er gilt nur dort und nur bis {until}.

Falls Sie ihn nicht angefordert haben, müssen Sie nichts tun: Ohne den Code wird diese Adresse nicht verwendet.
`,

	"mail.factor.subject.added":      "Neue Wiederherstellungsoption für Ihr Konto bei {company}",
	"mail.factor.subject.removed":    "Eine Wiederherstellungsoption Ihres Kontos bei {company} wurde entfernt",
	"mail.factor.subject.used":       "Ein gespeicherter Code für Ihr Konto bei {company} wurde verwendet",
	"mail.factor.what.added":         "Für das Konto {account} wurde ein Weg zurück hinzugefügt: {kind}. Er gilt ab {counts}.",
	"mail.factor.what.removed":       "Für das Konto {account} wurde ein Weg zurück entfernt: {kind}.",
	"mail.factor.subject.disowned":   "Eine fremde Wiederherstellungsoption Ihres Kontos bei {company} wurde entfernt",
	"mail.factor.what.disowned":      "Für das Konto {account} wurde gemeldet, dass ein Weg zurück nicht von Ihnen stammt. Er wurde entfernt: {kind}.",
	"mail.factor.what.used":          "Für das Konto {account} wurde ein gespeicherter Code verwendet. Er gilt nicht mehr. Am Ende dieser Wiederherstellung wird ein neuer an seiner Stelle angeboten; neue Codes gibt es auch unter „Meine Wiederherstellungsoptionen“ auf {site}.",
	"mail.factor.kind.passkey":       "ein Passkey",
	"mail.factor.kind.totp":          "eine Authentifikator-App",
	"mail.factor.kind.saved_code":    "ein Blatt mit gespeicherten Codes",
	"mail.factor.kind.mail":          "eine E-Mail-Adresse",
	"mail.factor.kind.phone":         "eine Telefonnummer",
	"mail.factor.named":              "{kind} „{name}“",
	"mail.notice.subject.enroll-key": "Ein Passkey für Ihr Konto bei {company} wurde bestätigt",
	"mail.notice.what.enroll-key":    "Ein Passkey des Kontos {account} wurde beim Agenten des Unternehmens bestätigt. Dort gilt er in 72 Stunden.",

	"mail.notice.subject.password":              "Ihr Passwort bei {company} wurde zurückgesetzt",
	"mail.notice.subject.unlock":                "Ihr Konto bei {company} wurde entsperrt",
	"mail.notice.subject.mfa":                   "Ihre Authentifikatoren bei {company} wurden entfernt",
	"mail.notice.subject.temporary-access-pass": "Für Ihr Konto bei {company} wurde ein Zugangspass ausgestellt",
	"mail.notice.what.password":                 "Das Passwort des Kontos {account} wurde zurückgesetzt.",
	"mail.notice.what.unlock":                   "Das Konto {account} wurde entsperrt.",
	"mail.notice.what.mfa":                      "Die Authentifikatoren des Kontos {account} wurden entfernt.",
	"mail.notice.what.temporary-access-pass":    "Für das Konto {account} wurde ein befristeter Zugangspass ausgestellt.",
	"mail.notice.subject.unknown":               "Ihr Konto bei {company} wurde möglicherweise geändert",
	"mail.notice.what.unknown":                  "Jemand wollte das Konto {account} ändern. Das Verzeichnis hat nicht rechtzeitig geantwortet; deshalb ist noch nicht bekannt, ob etwas geändert wurde. Ein Mensch sieht sich das an.",
	"mail.notice.subject.disowned":              "Jemand hat versucht, in Ihr Konto bei {company} zu kommen",
	"mail.notice.what.disowned":                 "Jemand hat begonnen, das Konto {account} wiederherzustellen, und eine andere Person auf einem Telefon damit weitermachen lassen. Diese Person sagt, dass sie es nicht begonnen hat. Die Wiederherstellung wurde gestoppt; es wurde nichts geändert.",
	"mail.notice.body": `Guten Tag,

{what}

Wann: {at}
Von: {device}, Adresse {address}
Auf der Seite: {site}

Wenn Sie das waren, müssen Sie nichts tun.

Wenn Sie das nicht waren, öffnen Sie diese Seite und drücken Sie dort auf die Schaltfläche:

{link}

Damit wird jede laufende Wiederherstellung dieses Kontos abgebrochen, und neue werden für höchstens einen Tag gesperrt, damit niemand hineinkommt, solange der Vorgang geprüft wird. Der Link gilt bis {until}.
`,

	// A mail that shows that mails arrive.
	"mail.test.subject": "Eine Test-E-Mail von {company}",
	"mail.test.body": `Guten Tag,

dies ist ein Test: Jemand, der die Kontowiederherstellung von {company} betreut, wollte sehen, ob ihre E-Mails ankommen. Sie kommen an.

Mit keinem Konto ist etwas geschehen, und Sie müssen nichts tun.
`,
}

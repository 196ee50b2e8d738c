package locale

// deStaff is German, the pages and mails of people who vouch and of staff.
var deStaff = table{
	"approve.link.title":                 "Jemand braucht Ihre Bestätigung",
	"approve.link.text":                  "Mit dem Öffnen dieser Seite ist noch nichts geschehen. Drücken Sie den Knopf, um zu sehen, wer worum bittet.",
	"approve.fragment":                   "Diese Adresse ist nicht vollständig. Öffnen Sie den Link in der Mail noch einmal, oder kopieren Sie ihn ganz.",
	"approve.gone.title":                 "Hier gibt es nichts zu entscheiden",
	"approve.gone.text":                  "Der Link ist zu alt oder schon benutzt, die Anfrage ist beendet, oder jemand anderes hat sie entschieden. Sie brauchen nichts zu tun.",
	"approve.replaced.title":             "Diese Anfrage wurde durch eine neuere ersetzt",
	"approve.replaced.text":              "Die Person hat diesen Schritt neu begonnen. Wenn Sie noch gebraucht werden, ist eine neuere Mail an Sie gekommen: Öffnen Sie den Link darin, zu dem eine andere Zahl gehört. Was hier bestätigt wurde, zählt nicht mehr.",
	"approve.replaced.deny.hint":         "„Hier stimmt etwas nicht“ gilt auch für die neuere Anfrage: Sie wird sofort beendet, und die Administration erfährt davon. Drücken Sie darauf, wenn Sie die Person nicht erreichen oder sie von nichts weiß.",
	"approve.title":                      "Ist es {account}, der oder die fragt?",
	"approve.what.password":              "Jemand, der oder die sich als {account} ausgibt, möchte ein neues Passwort für dieses Konto.",
	"approve.what.mfa":                   "Jemand, der oder die sich als {account} ausgibt, möchte sich ohne den zweiten Faktor dieses Kontos anmelden. Er würde entfernt oder einmal übergangen.",
	"approve.what.unlock":                "Jemand, der oder die sich als {account} ausgibt, möchte dieses Konto entsperren lassen.",
	"approve.what.temporary-access-pass": "Jemand, der oder die sich als {account} ausgibt, möchte einen befristeten Zugangscode, mit dem man sich an diesem Konto anmeldet.",
	"approve.what.options":               "Jemand, der oder die sich als {account} ausgibt, möchte ändern, womit dieses Konto später wiederhergestellt wird.",
	"approve.what.enroll-key":            "Jemand, der oder die sich als {account} ausgibt, möchte, dass ein Passkey für dieses Konto gilt.",
	"approve.asked":                      "Angefragt {at} mit {device}, von der Netzadresse {address}.",
	"approve.speak":                      "Sprechen Sie mit der Person, von Angesicht zu Angesicht oder unter einer Nummer, die Sie schon kennen, nie unter einer, die man Ihnen geschickt hat. Lassen Sie sich die Zahl vorlesen, die auf ihrer Seite steht.",
	"approve.spoken":                     "Ich habe mit {account} gesprochen oder sie oder ihn gesehen, und die Bitte kommt wirklich von dieser Person.",
	"approve.number":                     "Welche Zahl steht auf ihrer Seite?",
	"approve.number.hint#other":          "Zwei Ziffern. Noch {n} Versuche",
	"approve.number.hint#one":            "Zwei Ziffern. Noch {n} Versuch",
	"approve.button":                     "Mit meinem Passkey bestätigen",
	"approve.deny":                       "Hier stimmt etwas nicht",
	"approve.deny.hint":                  "„Hier stimmt etwas nicht“ beendet die Anfrage sofort und sagt es der Administration. Drücken Sie das, wenn Sie die Person nicht erreichen oder sie von nichts weiß.",
	"approve.until":                      "Das geht bis {until}.",
	"approve.error.spoken":               "Sprechen Sie erst mit der Person, und setzen Sie dann das Häkchen",
	"approve.error.number":               "Auf ihrer Seite steht eine andere Zahl. Lassen Sie sie sich noch einmal vorlesen",
	"approve.error.key":                  "Das wurde nicht mit Ihrem Passkey für diese Seite unterschrieben. Versuchen Sie es mit dem Gerät, auf dem Sie ihn angelegt haben",
	"approve.fail.refused":               "Es wurde abgebrochen oder hat zu lange gedauert. Es ist nichts entschieden. Drücken Sie den Knopf für einen neuen Versuch.",
	"approve.fail.other":                 "Dieser Browser oder dieses Gerät konnte keinen Passkey benutzen. Es ist nichts entschieden. Öffnen Sie den Link aus der Mail auf dem Gerät, auf dem Sie Ihren Passkey angelegt haben.",
	"approve.done.title":                 "Danke. Ihre Bestätigung ist angekommen",
	"approve.done.text":                  "Falls andere auch zustimmen müssen, wurden sie gefragt. Ihr Name steht im Protokoll von {company}. Sie können diese Seite schließen.",
	"approve.denied.title":               "Die Anfrage wurde gestoppt",
	"approve.denied.text":                "Es wurde nichts geändert, und die Administration weiß Bescheid. Sie können diese Seite schließen.",
	"approve.spent.title":                "Zu viele falsche Zahlen",
	"approve.spent.text":                 "Über diese Anfrage können Sie nicht mehr entscheiden. Wenn Sie nicht wissen, wer fragt, rufen Sie Ihren Helpdesk an.",
	"approver.link.title":                "Künftig für Kolleginnen und Kollegen bürgen",
	"approver.link.text":                 "Mit dem Öffnen dieser Seite ist noch nichts geschehen. Drücken Sie den Knopf, um zu beginnen.",
	"approver.title":                     "Legen Sie Ihren Passkey an",
	"approver.text":                      "Guten Tag {name}. Wenn sich jemand aus Ihrem Haus ausgesperrt hat, fragt {company} Sie vielleicht, ob es wirklich diese Person ist. Sie antworten mit einem Passkey, der nur dafür da ist.",
	"approver.key":                       "Drücken Sie den Knopf. Ihr Gerät fragt nach Finger, Gesicht oder PIN und bewahrt den Passkey auf.",
	"approver.button":                    "Meinen Passkey anlegen",
	"approver.error":                     "Der Passkey konnte nicht angelegt werden. Drücken Sie den Knopf für einen neuen Versuch",
	"approver.done.title":                "Ihr Passkey ist angelegt",
	"approver.done.text":                 "Er gilt ab {counts}. Die übrige Administration von {company} weiß Bescheid. Wenn jemand Sie braucht, bekommen Sie eine Mail.",
	"approver.agent.title":               "Für die Administration des Agenten im Haus",
	"approver.agent.text":                "Konten, bei denen der Agent die Bestätigungen selbst prüft, brauchen diesen Schlüssel auch dort. Nur wer an jener Maschine administriert, kann ihn eintragen. Schicken Sie diesen Text dorthin, und lesen Sie den Fingerabdruck am Telefon oder von Angesicht zu Angesicht vor.",
	"approver.agent.id":                  "Name der bürgenden Person:",
	"approver.agent.print":               "Fingerabdruck des Schlüssels:",
	"approver.agent.key":                 "Öffentlicher Schlüssel (kein Geheimnis)",

	"mail.approval.subject": "Jemand bei {company} braucht Ihre Bestätigung",
	"mail.approval.body": `Guten Tag {name},

jemand kommt nicht mehr in ein Konto bei {company} und sagt, dass Sie sich kennen. Auf dieser Seite sehen Sie, wer es ist und worum es geht:

{link}

Sprechen Sie mit der Person, bevor Sie etwas bestätigen, von Angesicht zu Angesicht oder unter einer Nummer, die Sie schon kennen. Auch wenn etwas nicht stimmt, hat die Seite einen Knopf dafür.

Der Link ist nur für Sie und gilt bis {until}. Ohne ihn geschieht nichts.
`,
	"mail.alarm.subject": "Alarm: Mit einer Wiederherstellung bei {company} stimmt etwas nicht",
	"mail.alarm.body": `Guten Tag {name},

{by} sollte für {account} bei {company} bürgen und sagt, dass mit der Anfrage etwas nicht stimmt. Sie wurde gestoppt, und es wurde nichts geändert.

Bitte klären Sie, wer gefragt hat. Im Protokoll stehen Browser und Netzadresse.
`,
	"mail.staff.subject": "Eine Einladung von {company}",
	"mail.staff.body": `Guten Tag {name},

{company} bittet Sie, für Kolleginnen und Kollegen zu bürgen, die nicht mehr in ihr Konto kommen. Legen Sie dafür zuerst auf dieser Seite einen Passkey an:

{link}

Der Link ist nur für Sie, gilt einmal und bis {until}.
`,
	"mail.staffin.subject": "Sie sind zur Konsole von {company} eingeladen",
	"mail.staffin.body": `Guten Tag {name},

{company} lädt Sie zur Konsole seiner Kontowiederherstellung ein. Legen Sie zuerst auf dieser Seite einen Passkey an:

{link}

Der Link ist nur für Sie, gilt einmal und bis {until}.
`,
	"mail.staffmember.subject": "Bei {company} wird jemand Neues über Menschen entscheiden",
	"mail.staffmember.body": `Guten Tag {name},

{who} hat in der Konsole von {company} eine Rolle bekommen, mit der man Dokumente prüft und Menschen bestätigt. Sie zählt ab {until}.

Wenn Sie davon nichts wissen, entfernen Sie die Person vorher in der Konsole.
`,
	"mail.staffkey.subject": "Jemand Neues darf bei {company} bürgen",
	"mail.staffkey.body": `Guten Tag {name},

{who} hat einen Passkey angelegt, um bei {company} für andere zu bürgen. Er gilt ab {until}.

Wenn Sie davon nichts wissen, entfernen Sie die Person vorher in der Konsole.
`,

	"console.join.title":              "Legen Sie Ihren Passkey für die Konsole an",
	"console.join.link":               "Mit dem Öffnen dieser Seite ist noch nichts geschehen. Drücken Sie den Knopf, um zu beginnen.",
	"console.join.text":               "Guten Tag {name}. An dieser Konsole melden Sie sich mit einem Passkey an, den Ihr Gerät aufbewahrt. Ein Passwort gibt es nicht.",
	"console.join.button":             "Meinen Passkey anlegen",
	"console.join.done":               "Ihr Passkey ist angelegt. Sie können sich jetzt anmelden.",
	"console.join.gone.title":         "Diese Einladung gilt nicht mehr",
	"console.join.gone.text":          "Sie ist zu alt oder schon benutzt. Bitten Sie die Administration um eine neue.",
	"console.join.script":             "Diese Seite braucht JavaScript. Schalten Sie es in Ihrem Browser ein.",
	"console.key.button":              "Mit meinem Passkey anmelden",
	"console.key.fail":                "Das hat nicht geklappt. Drücken Sie den Knopf für einen neuen Versuch, oder nehmen Sie das Gerät, auf dem Sie den Passkey angelegt haben.",
	"console.key.wrong":               "Mit diesem Passkey kommt man hier nicht hinein. Vielleicht ruht Ihre Rolle, weil Ihr eigenes Konto wiederhergestellt wurde.",
	"console.staff.title":             "Wer hier arbeitet",
	"console.staff.link":              "Personal und Sitzungen",
	"console.staff.suspended":         "Ruht bis {until}: Das eigene Konto wurde wiederhergestellt.",
	"console.staff.keys.none":         "Noch kein Passkey",
	"console.staff.keys#other":        "{n} Passkeys",
	"console.staff.keys#one":          "{n} Passkey",
	"console.staff.remove":            "Entfernen",
	"console.staff.invite":            "Jemanden einladen",
	"console.staff.name":              "Name",
	"console.staff.mail":              "Mailadresse",
	"console.staff.role":              "Was die Person darf",
	"console.staff.role.owner":        "Inhaber: alles",
	"console.staff.role.admin":        "Administration: alles außer Inhabern und Umgebungen",
	"console.staff.role.user":         "Helpdesk: Prüfungen, Konten",
	"console.staff.role.limited_plus": "Nur lesen, mit Konten",
	"console.staff.role.limited":      "Nur lesen",
	"console.staff.role.approver":     "Nur für andere bürgen",
	"console.staff.role.":             "Nur für andere bürgen",
	"console.staff.place":             "Adresse der Wiederherstellung (für Bürgende)",
	"console.staff.envs":              "In welchen Umgebungen",
	"console.staff.envs.hint":         "Entfernen Sie das Häkchen, um einzelne auszuwählen. API-Schlüssel, die jemand erstellt hat, reichen nicht weiter als die Person selbst.",
	"console.staff.envs.whole":        "In allen, auch künftigen",
	"console.staff.envs.all":          "Alle Umgebungen",
	"console.staff.envs.none":         "Keine Umgebung mehr",
	"console.staff.error.owner":       "Inhaber arbeiten in allen Umgebungen: Wählen Sie alle oder eine andere Rolle.",
	"console.staff.error.envs":        "Wählen Sie mindestens eine Umgebung, in der Sie selbst arbeiten.",
	"console.staff.send":              "Einladung erstellen",
	"console.staff.made":              "Geben Sie diesen Link an {name}. Er gilt einmal, 24 Stunden lang, und ist nur jetzt zu sehen:",
	"console.staff.error":             "Geben Sie einen Namen, eine Mailadresse, die sonst niemand hat, und eine Rolle an, die nicht über Ihrer eigenen steht.",
	"console.staff.sessions":          "Wer angemeldet ist",
	"console.staff.session.first":     "Mit dem Link, den die Installation gezeigt hat",
	"console.staff.session.since":     "Seit {at}, {device}",
	"console.staff.session.this":      "Das sind Sie",
	"console.staff.session.end":       "Diese Sitzung beenden",
	"console.role.title":              "Ihre Rolle reicht dafür nicht",
	"console.role.text":               "Fragen Sie die Administration.",
}

package locale

// deWallet is German, what only a document in a wallet needs.
var deWallet = table{
	"wallet.link":          "Die Wallet-App auf diesem Gerät öffnen",
	"wallet.link.hint":     "Sie verlassen diese Seite. Ihre Wallet bringt Sie danach in diesen Browser zurück.",
	"wallet.none":          "Dieser Browser kann keine Wallet fragen. Öffnen Sie diese Seite auf dem Telefon mit Ihrer Wallet, oder wählen Sie einen anderen Weg.",
	"wallet.return.title":  "Zurück von Ihrer Wallet",
	"wallet.return.text":   "Ihre Seite geht von selbst weiter.",
	"wallet.return.astray": "Dieser Browser weiß nicht, wo Sie begonnen haben. Gehen Sie in den Browser zurück, in dem Sie begonnen haben, und beginnen Sie dort neu. Wenn Sie nichts begonnen haben, war es jemand anderes: Schließen Sie diese Seite, es wurde nichts preisgegeben.",
	"wallet.return.script": "Damit es weitergeht, braucht diese Seite JavaScript. Schalten Sie es im Browser ein und laden Sie die Seite neu.",
}

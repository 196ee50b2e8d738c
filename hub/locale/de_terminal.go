package locale

// deTerminal is German, the page on which staff sign a command line in.
var deTerminal = table{
	"terminal.title":        "Eine Befehlszeile anmelden?",
	"terminal.text":         "Jemand sitzt an einem Terminal und möchte in Ihrem Namen mit diesem Server arbeiten.",
	"terminal.warn":         "Machen Sie nur weiter, wenn Sie gerade selbst „postern auth login“ eingegeben haben. Hat Ihnen jemand diese Adresse geschickt oder liest Ihnen einen Code vor, schließen Sie die Seite: Kein Support verlangt das je von Ihnen.",
	"terminal.code":         "Welchen Code zeigt Ihr Terminal?",
	"terminal.code.hint":    "Acht Zeichen, etwa K7QF-2M9T. Bei einem anderen Programm, das nur die Adresse dieser Seite zeigt: die letzten sechs Zeichen dieser Adresse.",
	"terminal.error.code":   "Ihr Terminal zeigt einen anderen Code. Sehen Sie noch einmal nach und tippen Sie ihn ab, wie er dort steht",
	"terminal.role":         "Was das Terminal darf",
	"terminal.life":         "Wie lange",
	"terminal.days#one":     "{n} Tag",
	"terminal.days#other":   "{n} Tage",
	"terminal.go":           "Weiter",
	"terminal.confirm":      "Mit Ihrem Passkey bestätigen",
	"terminal.confirm.text": "Das Terminal erhält einen API-Schlüssel für {days}: {role}.",
	"terminal.done":         "Das Terminal ist angemeldet.",
	"terminal.done.hint":    "Sie können diese Seite schließen. Der Schlüssel steht unter den API-Schlüsseln; „postern apikey delete“ beendet ihn früher.",
	"terminal.nokey":        "Sie sind über einen Link angemeldet. Um ein Terminal anzumelden, brauchen Sie einen eigenen Passkey: Lassen Sie sich unter „Mitarbeitende“ einladen.",
	"terminal.new":          "Sie sind neu hier oder haben mehr Rechte bekommen. 24 Stunden lang entscheiden Sie noch nichts, auch nicht über Terminals.",
	"terminal.used":         "Dieses Terminal wurde schon einmal angemeldet. Geben Sie „postern auth login“ noch einmal ein.",
}

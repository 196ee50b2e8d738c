package locale

// enTerminal is English, the page on which staff sign a command line in.
var enTerminal = table{
	"terminal.title":        "Sign a command line in?",
	"terminal.text":         "Somebody sits at a terminal and wants to work with this hub in your name.",
	"terminal.warn":         "Go on only if you have just typed “postern auth login” yourself. If somebody sent you this address or reads a code to you, close the page: nobody from support ever asks for this.",
	"terminal.code":         "Which code does your terminal show?",
	"terminal.code.hint":    "Eight characters, such as K7QF-2M9T. Another program that shows only this page’s address: the last six characters of that address.",
	"terminal.error.code":   "Your terminal shows another code. Look again, and type it as it stands there",
	"terminal.role":         "What the terminal may do",
	"terminal.life":         "For how long",
	"terminal.days#one":     "{n} day",
	"terminal.days#other":   "{n} days",
	"terminal.go":           "Go on",
	"terminal.confirm":      "Confirm with your passkey",
	"terminal.confirm.text": "The terminal gets an API key for {days}: {role}.",
	"terminal.done":         "The terminal is signed in.",
	"terminal.done.hint":    "You can close this page. The key stands among the API keys; “postern apikey delete” ends it early.",
	"terminal.nokey":        "You are signed in by a link. To sign a terminal in you need a passkey of your own: let an owner invite you under “Staff”.",
	"terminal.new":          "You are new here, or were given more. For 24 hours you decide nothing yet, and that includes terminals.",
	"terminal.used":         "This terminal was signed in before. Run “postern auth login” again.",
}

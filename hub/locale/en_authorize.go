package locale

// enAuthorize is English, the page at which a browser waits for a sign-in that a phone may go on
// with, and that phone's.
var enAuthorize = table{
	"authorize.picture.title":     "Prove that it is you",
	"authorize.picture.text":      "{client} asks you to prove to {company} who you are. Go on only if you began this yourself just now.",
	"authorize.picture.here":      "Go on in this browser",
	"authorize.picture.phone":     "Or go on with your phone",
	"authorize.picture.link":      "The address that the picture holds",
	"authorize.picture.own":       "Only read it with your own phone. When it is done there, this page goes back to {client} by itself.",
	"authorize.typecode.title":    "Your phone shows a code",
	"authorize.typecode.hint":     "After that you prove who you are on the phone, and this page goes back by itself.",
	"authorize.goeson.title":      "It goes on on your phone",
	"authorize.goeson.text":       "When it is done there, this page goes back to {client} by itself.",
	"authorize.cancel":            "Cancel, and back to {client}",
	"signin.phone.ask.title":      "Did you start this?",
	"signin.phone.ask.text":       "Somebody began to sign in, and you have read the picture on their screen. If you go on, whoever sits there is signed in as you.",
	"signin.phone.client":         "Sign-in to",
	"signin.phone.code.title":     "Type this code on the other screen",
	"signin.phone.nobody":         "Tell nobody this code, neither by telephone nor in a message. Whoever asks you for it wants to be signed in as you.",
	"signin.phone.go.title":       "Prove that it is you",
	"signin.phone.go.text":        "The code was typed. Go on here to prove who you are to {client}.",
	"signin.phone.done.title":     "Go on at the other screen",
	"signin.phone.done.text":      "You are done on this phone. The page that showed you the picture goes on by itself. You can close this page.",
	"signin.phone.disowned.title": "It was ended",
	"signin.phone.disowned.text":  "Nobody was signed in. If somebody asked you to read a picture for them, tell your organisation.",
}

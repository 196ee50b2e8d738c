package locale

// enSignIn is English, sign-ins at other identity providers that ask here for a proof.
var enSignIn = table{
	"common.service.sign-in":        "Identity check",
	"signin.link.title":             "Prove that it is you",
	"signin.link.text":              "You are signing in, and {company} asks you to prove here who you are. Go on only if you began this sign-in yourself just now.",
	"signin.ready.title":            "You have proven that it is you",
	"signin.ready.text":             "Nothing was changed in your account. Go on to the sign-in that you came from; it learns only that you proved it, and how.",
	"signin.ready.button":           "Continue to the sign-in",
	"signin.back.title":             "Back to your sign-in",
	"signin.back.text":              "You are taken back to where you came from.",
	"signin.returned.title":         "You went back to your sign-in",
	"signin.returned.text":          "This check is over. You can close this page.",
	"signin.gone.title":             "This sign-in has to be begun again",
	"signin.gone.text":              "The link to this page works once and for a few minutes. Go back to where you were signing in, and begin there again.",
	"action.sign-in":                "Sign-in",
	"action.sign-in.hint":           "Prove who you are to another service",
	"approve.what.sign-in":          "Somebody who says that they are {account} wants to sign in.",
	"request.consent.text.exchange": "The sign-in service of {company} asks you to prove who you are. It has said who it thinks you are; here that is compared with:",
	"request.share.text.exchange":   "This was proven. If you go on, your sign-in service is told whether it agrees with what it knows of you, and nothing else.",
	"request.share.exchange":        "Compare, and continue to the sign-in",
	"request.noshare.exchange":      "Do not compare",
	"request.reject.exchange":       "Cancel, and back to the sign-in",
	"request.life.exchange":         "Nothing of it is kept here.",
	"request.returned.title":        "You went back to your sign-in",
	"request.returned.text":         "This check is over. You can close this page.",
}

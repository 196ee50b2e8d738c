package locale

// enSMS is English in text messages: short, since each 70 characters may cost.
var enSMS = table{
	"sms.recover": "{code} is your code for {site}, where you get back into your account at {company}. Never tell it to anybody.",
	"sms.enroll":  "{code} is your code for {site}, where you set up your account at {company}. Never tell it to anybody.",
	"sms.confirm": "{code} confirms this phone at {site} for your account at {company}. Never tell it to anybody.",
}

// enAway is English, what only a sign-in at another service needs.
var enAway = table{
	"away.leave":    "Sign in with {service}",
	"away.title":    "Back from the other service",
	"away.text":     "It goes on by itself. If it does not, press the button.",
	"away.button":   "Go on",
	"away.stranger": "Somebody sent you here, and you began nothing in this browser? Then close this page. Nothing was given away.",
}

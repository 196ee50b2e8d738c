package locale

// enSMS is English in text messages: short, since each 70 characters may cost.
var enSMS = table{
	"sms.recover": "{code} is your code for {site}, where you get back into your account at {company}. Never tell it to anybody.",
	"sms.enroll":  "{code} is your code for {site}, where you set up your account at {company}. Never tell it to anybody.",
	"sms.second":  "{code} lets {site} go ahead now with what you asked for at {company}. Was it not you? Tell nobody the code.",
	"sms.asked":   "{code} confirms this phone at {site}, so that you can tell {company} its number. Never tell the code to anybody.",
	"sms.confirm": "{code} confirms this phone at {site} for your account at {company}. Never tell it to anybody.",

	// The second code of a recovery.
	"method.sms_confirm":             "Another code by text message",
	"method.sms_confirm.hint":        "To the same phone, for this one operation.",
	"prove.title.sms_confirm":        "What is the second code that we sent you?",
	"prove.sent.sms_confirm":         "We sent another code to the phone numbers that {company} has on file for you. With it this one operation goes ahead.",
	"prove.hint.sms_confirm":         "The digits in the newest message. Spaces do not matter",
	"prove.wait.sms_confirm":         "It should be there within a minute. Leave this page open.",
	"prove.error.empty.sms_confirm":  "Type the code from the message",
	"prove.error.wrong.sms_confirm":  "This is not the code that we sent last. Look at the newest message and type it again",
	"prove.resend.title.sms_confirm": "No message?",
	"prove.resend.help.sms_confirm":  "Check that your phone is on and has a connection. If the message does not come, ask for another one.",
}

// enAway is English, what only a sign-in at another service needs.
var enAway = table{
	"away.leave":    "Sign in with {service}",
	"away.title":    "Back from the other service",
	"away.text":     "It goes on by itself. If it does not, press the button.",
	"away.button":   "Go on",
	"away.stranger": "Somebody sent you here, and you began nothing in this browser? Then close this page. Nothing was given away.",
}

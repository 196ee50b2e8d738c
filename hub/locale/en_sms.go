package locale

// enSMS is English in text messages: short, since each 70 characters may cost.
var enSMS = table{
	"sms.recover": "{code} is your code for {site}, where you get back into your account at {company}. Never tell it to anybody.",
	"sms.enroll":  "{code} is your code for {site}, where you set up your account at {company}. Never tell it to anybody.",
	"sms.confirm": "{code} confirms this phone at {site} for your account at {company}. Never tell it to anybody.",
}

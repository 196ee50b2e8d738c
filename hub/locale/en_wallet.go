package locale

// enWallet is English, what only a document in a wallet needs.
var enWallet = table{
	"wallet.link":          "Open the wallet app on this device",
	"wallet.link.hint":     "You leave this page. Your wallet brings you back to this browser when you are done.",
	"wallet.none":          "This browser cannot ask a wallet. Open this page on the phone that holds your wallet, or choose another way.",
	"wallet.return.title":  "Back from your wallet",
	"wallet.return.text":   "Your page goes on by itself.",
	"wallet.return.astray": "This browser does not know where you began. Go back to the browser in which you did, and start there again. If you did not begin anything, somebody else did: close this page, nothing was given away.",
	"wallet.return.script": "To go on, this page needs JavaScript. Switch it on in your browser and load the page again.",
}

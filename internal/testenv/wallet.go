package testenv

import (
	"github.com/chromedp/cdproto/digitalcredentials"
	"github.com/chromedp/chromedp"
)

// WalletAnswers lets the browser's virtual wallet answer the next requests of pages by
// the Digital Credentials API with this protocol and JSON value.
func (b *Browser) WalletAnswers(protocol string, response []byte) {
	b.t.Helper()
	b.wallet(digitalcredentials.SetVirtualWalletBehaviorParams{Action: "respond", Protocol: protocol, Response: response})
}

// WalletDeclines lets the person say no to the next requests.
func (b *Browser) WalletDeclines() {
	b.t.Helper()
	b.wallet(digitalcredentials.SetVirtualWalletBehaviorParams{Action: "decline"})
}

func (b *Browser) wallet(p digitalcredentials.SetVirtualWalletBehaviorParams) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, digitalcredentials.SetVirtualWalletBehavior, p); err != nil {
		b.t.Fatal(err)
	}
}

package e2e

import (
	"strings"
	"time"

	"github.com/pquerna/otp/totp"

	"github.com/postern-id/postern/protocol/evidence/evidencetest"
)

// byWallet shows a driving licence, then a person identification, through Chromium's own
// Digital Credentials API, encrypted to the page's request; on a phone also by the link
// to an app. Nobody else's documents, and none that were shown to another site.
func (w *walk) byWallet() {
	own, stranger := walletOf(w.t, w.m.authority, w.given, w.family), walletOf(w.t, w.m.authority, "Greta", "Garbo")
	w.goes("password", "digital_credential")
	w.b.Wait(ceremonyReady)
	w.sees("document")
	w.b.WalletDeclines()
	w.b.Click("[data-ceremony]")
	w.b.WaitText("It was stopped or took too long")
	w.sees("document-stopped")
	w.shows(stranger, 1, "mdl", w.site)
	w.b.WaitText("This did not prove that it is you")
	w.sees("document-refused")
	w.shows(own, 1, "mdl", "https://recover.example.net")
	w.b.WaitText("This did not prove that it is you")
	for i, query := range []string{"mdl", "pid"} { // the first signed, the second not
		if i > 0 {
			w.goes("password", "digital_credential")
			w.b.Wait(ceremonyReady)
		}
		w.shows(own, i, query, w.site)
		w.gets()
	}
	if w.size == "phone" {
		w.m.app.wallet = own
		w.goes("password", "digital_credential")
		w.b.Wait(ceremonyReady)
		w.b.Click("[data-wallet] a")
		w.gets()
	}
}

// opens opens my recovery options with a document.
func (w *walk) opens(own *evidencetest.Wallet) {
	w.t.Helper()
	w.b.Open(w.site + "/options")
	w.b.Wait(ready)
	w.sees("options-start")
	w.b.Type("#email", w.mail)
	w.b.Click("main button")
	w.b.Wait(`document.querySelector('#method, [data-ceremony]') && ` + ready)
	if w.b.Eval(`document.querySelector('#method') !== null`) == "true" {
		w.chooses("digital_credential")
	}
	w.b.Wait(ceremonyReady)
	w.shows(own, 0, "mdl", w.site)
	w.b.WaitText("Add another way")
	w.b.Wait(ready)
}

// byPasskey makes a passkey under my recovery options, which the old address is told,
// and recovers with it.
func (w *walk) byPasskey() {
	w.b.Authenticator()
	w.opens(walletOf(w.t, w.m.authority, w.given, w.family))
	w.sees("options")
	w.b.Click("form:has([value=passkey]) button")
	w.b.Wait(ceremonyReady)
	w.sees("options-passkey")
	w.b.Eval(`document.querySelector('#label').value = 'My laptop'`)
	w.b.Click("[data-ceremony]")
	w.b.WaitText("My laptop")
	w.sees("options-list")
	poll(w.t, "a notice at the old address", func() bool {
		mails := w.m.mails(w.private)
		return len(mails) > 0 && strings.Contains(mails[0].Text, "My laptop")
	})
	w.b.Click("form[action$='/cancel'] button")
	w.b.WaitText("You cancelled")
	w.goes("password", "passkey")
	w.b.Wait(ceremonyReady)
	w.sees("passkey")
	w.b.Click("[data-ceremony]")
	w.gets()
}

// byMailAndApp enrols an authenticator app and recovers with it and a code by mail. The
// code that enrolled it is void.
func (w *walk) byMailAndApp() {
	w.opens(walletOf(w.t, w.m.authority, w.given, w.family))
	w.b.Click("form:has([value=totp]) button")
	w.b.Wait(`document.querySelector('.key') && ` + ready)
	w.sees("options-app")
	key := w.b.Eval(`[...document.querySelectorAll('.key span')].map(e => e.textContent).join('')`)
	code := func(at time.Time) string {
		code, err := totp.GenerateCode(key, at)
		if err != nil {
			w.t.Fatal(err)
		}
		return code
	}
	enrolled := time.Now()
	w.b.Type("#code", code(enrolled))
	w.b.Click("main form button")
	w.b.WaitText("Authenticator app")
	sent := w.m.codes(w.private)
	w.goes("password", "mail_code")
	w.types(sent)
	w.chooses("totp")
	w.b.Wait(asksForACode)
	w.sees("app")
	w.b.Type("#code", code(enrolled))
	w.b.Click("main form button")
	w.b.Wait(`document.querySelector('#code-error') && ` + ready)
	w.sees("app-void")
	w.b.Eval(`document.querySelector('#code').value = ''`)
	w.b.Type("#code", code(enrolled.Add(30*time.Second))) // the next step, of a clock that is fast
	w.b.Click("main form button")
	w.gets()
}

// byProvider signs in at an outside provider; when the provider says that somebody else
// signed in, that is nothing.
func (w *walk) byProvider() {
	bank := w.m.bank
	bank.SignIn(map[string]any{"given_name": "Greta", "family_name": "Garbo", "birthdate": "1980-02-29"})
	w.goes("password", "identity_provider")
	w.b.WaitText("Sign in with Bank ID")
	w.b.Wait(ready)
	w.sees("provider")
	away := func() {
		w.b.Click("main a.button")
		w.b.Wait(`document.querySelector('#signin')`)
		w.b.Click("#signin")
	}
	away()
	w.b.WaitText("This did not prove that it is you")
	w.sees("provider-refused")
	bank.SignIn(map[string]any{"given_name": w.given, "family_name": w.family, "birthdate": "1980-02-29"})
	away()
	w.gets()
}

package site

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/flow"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// walkTo goes to the button with mouse and keys.
func walkTo(g *rig, b *testenv.Browser, a protocol.Action) {
	g.t.Helper()
	b.Open(g.url + "/")
	b.Type("#email", "ada@acme.example")
	b.Click("main button")
	b.WaitText("What do you need?")
	b.Click(fmt.Sprintf("label:has([value=%s])", a))
	b.Click("main form button")
	b.WaitText("What is the code")
	b.Type("#code", "2718 2818")
	b.Click("main form button")
	b.Wait(`document.querySelector('#perform') && document.documentElement.dataset.ready`)
}

// shown returns the secret as the page shows it, without the gaps between groups.
func shown(b *testenv.Browser) string {
	return b.Eval(`[...document.querySelectorAll('.shown span')].map(e => e.textContent).join('')`)
}

// The vectors are those that protocol/seal opens with Go's own HPKE.
func TestP15_PageScriptOpensTheGoldenVectors(t *testing.T) {
	raw, err := os.ReadFile("../../protocol/seal/testdata/seal.json")
	if err != nil {
		t.Fatal(err)
	}
	var vectors []struct {
		PrivateKey []byte           `json:"private_key"`
		Recipient  []byte           `json:"recipient"`
		Context    protocol.Context `json:"context"`
		Secret     string           `json:"secret"`
		Sealed     []byte           `json:"sealed"`
	}
	if err := json.Unmarshal(raw, &vectors); err != nil || len(vectors) == 0 {
		t.Fatal(err)
	}
	g := newRig(t)
	b := testenv.Chromium(t)
	b.Open(g.url + "/")
	text := base64.RawURLEncoding.EncodeToString
	for _, v := range vectors {
		point := v.Recipient[7:]
		script := fmt.Sprintf(`(async () => {
			const seal = await import(%q);
			const jwk = {kty: 'EC', crv: 'P-256', x: %q, y: %q};
			const curve = {name: 'ECDH', namedCurve: 'P-256'};
			const pair = {
				privateKey: await crypto.subtle.importKey('jwk', {...jwk, d: %q}, curve, false, ['deriveBits']),
				publicKey: await crypto.subtle.importKey('jwk', jwk, curve, true, []),
			};
			const [context, sealed] = [seal.decode(%q), seal.decode(%q)];
			const opened = await seal.open(pair, context, sealed);
			const own = seal.encode(await seal.recipient(pair));
			context[0] ^= 1;
			const other = await seal.open(pair, context, sealed).then(() => 'OPENED', e => e.name);
			return [opened, own, other].join('\n');
		})()`, g.site.files.Path("seal.js"), text(point[:32]), text(point[32:]), text(v.PrivateKey), v.Context, text(v.Sealed))
		want := v.Secret + "\n" + text(v.Recipient) + "\nOperationError"
		if got := b.Eval(script); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

func TestP15_SecretIsOpenedByTheBrowsersKeyAndShownOnDemand(t *testing.T) {
	g := newRig(t)
	b := testenv.Chromium(t)
	walkTo(g, b, protocol.ActionPassword)
	b.Reload() // in the middle: the key stays
	b.Wait(`document.documentElement.dataset.ready`)
	b.Click("#perform")
	b.WaitText("Your password was reset")
	b.Wait(`!document.querySelector('[data-do=show]').hidden`)
	secret := g.walk.secret.Reveal()
	if strings.Contains(b.Eval("document.documentElement.outerHTML"), secret[:4]) {
		t.Error("the secret is in the page before it was asked for")
	}
	b.Click("[data-do=show]")
	b.Wait(`document.querySelector('.shown span')`)
	if got := shown(b); got != secret {
		t.Errorf("shown %q, want %q", got, secret)
	}
	b.Click("[data-do=spellOut]")
	b.WaitText("capital M")
	b.WaitText("digit 4")
	b.WaitText("exclamation mark")
	b.Click("[data-do=show]") // hide
	b.Wait(`!document.querySelector('.shown span') && document.querySelector('.spell').hidden`)
	b.Reload()
	b.Wait(`document.documentElement.dataset.ready && !document.querySelector('[data-do=show]').hidden`)
	b.Click("[data-do=show]")
	b.Wait(`document.querySelector('.shown span')`)
	if got := b.Eval(g.keysOf(g.walk.only())); got != "false,ECDH" {
		t.Errorf("the kept key is extractable, or not there: %s", got)
	}
	b.Click("form[action$=acknowledge] button")
	b.WaitText("You are done")
	b.Wait(`document.documentElement.dataset.ready`)
	if got := b.Eval(g.keysOf(g.walk.only())); got != "none" {
		t.Errorf("the key after acknowledgement: %s", got)
	}
	b.Wait(`indexedDB.databases().then(l => window.left = l.length) && window.left === 0`)
}

// Leaving a page while its database is being made must not cost the next page its key:
// browsers are known to keep such a database shut.
func TestT27_LeavingAtAnyMomentKeepsRecoveriesPossible(t *testing.T) {
	g := newRig(t)
	b := testenv.Chromium(t)
	walkTo(g, b, protocol.ActionPassword)
	for range 10 {
		b.Reload()
	}
	b.Wait(`document.querySelector('[name=recipient]').value`)
	b.Click("#perform")
	b.WaitText("Your password was reset")
	b.Wait(`!document.querySelector('[data-do=show]').hidden`)
}

// Browsers fail to open a database now and then, and open it a moment later.
const firstOpenFails = `(() => {
	const open = IDBFactory.prototype.open;
	IDBFactory.prototype.open = function (...asked) {
		if (window.failed) return open.apply(this, asked);
		window.failed = true;
		throw new DOMException('Internal error opening backing store', 'UnknownError');
	};
})()`

func TestT27_WhatTheBrowserFailsAtWhileAPageComesIsTriedAgainByThePressOfAButton(t *testing.T) {
	g := newRig(t)
	b := testenv.Chromium(t)
	b.FirstRun(firstOpenFails)
	walkTo(g, b, protocol.ActionPassword)
	b.Wait(`window.failed`)
	if b.Eval(`document.querySelector('#no-key').hidden`) != "true" {
		t.Error("it is said before anybody pressed that there is no key")
	}
	b.Click("#perform")
	b.WaitText("Your password was reset")
	b.Wait(`window.failed && !document.querySelector('[data-do=show]').hidden`)
	b.Click("[data-do=show]")
	b.Wait(`document.querySelector('.shown span')`)
	if got := shown(b); got != g.walk.secret.Reveal() {
		t.Errorf("shown %q", got)
	}
}

func TestT27_ABrowserThatCannotKeepTheKeySaysSoAtThePressAndTriesAgainAtTheNext(t *testing.T) {
	g := newRig(t)
	b := testenv.Chromium(t)
	b.Full(g.url, true)
	walkTo(g, b, protocol.ActionPassword)
	b.Click("#perform")
	b.WaitText("This browser cannot make the key")
	b.Wait(`document.activeElement.id === 'no-key'`)
	if g.walk.performs != 0 {
		t.Error("an operation without a key")
	}
	b.Full(g.url, false)
	b.Click("#perform")
	b.WaitText("Your password was reset")
	b.Wait(`!document.querySelector('[data-do=show]').hidden`)
}

func TestT27_KeysOfRecoveriesThatAreOverAreSwept(t *testing.T) {
	g := newRig(t)
	b := testenv.Chromium(t)
	b.Open(g.url + "/")
	seal := g.site.files.Path("seal.js")
	b.Eval(fmt.Sprintf(`import(%q).then(s => s.keep('over', Date.now() - 1)).then(() => '')`, seal))
	b.Eval(fmt.Sprintf(`import(%q).then(s => s.keep('open', Date.now() + 60000)).then(() => '')`, seal))
	b.Reload()
	b.Wait(`indexedDB.databases().then(l => window.left = l.length) && window.left === 1`)
	if over, open := b.Eval(g.keysOf("over")), b.Eval(g.keysOf("open")); over != "none" || open != "false,ECDH" {
		t.Errorf("over: %s, open: %s", over, open)
	}
}

// keysOf says what the browser keeps for a recovery: "extractable,algorithm" or "none".
func (g *rig) keysOf(id string) string {
	return fmt.Sprintf(`import(%q).then(s => s.find(%q)).then(p => p ? p.privateKey.extractable + ',' + p.privateKey.algorithm.name : 'none')`, g.site.files.Path("seal.js"), id)
}

func TestSecretIsCopiedAndTheClipboardCleared(t *testing.T) {
	g := newRig(t)
	b := testenv.Chromium(t)
	walkTo(g, b, protocol.ActionPassword)
	b.Click("#perform")
	b.Wait(`document.querySelector('[data-do=copy]') && !document.querySelector('[data-do=copy]').hidden`)
	b.Click("[data-do=copy]")
	b.WaitText("Other programs on this device can read what you copied")
	b.Eval(`(() => { const i = document.createElement('input'); i.id = 'probe'; document.querySelector('main').append(i); i.focus(); return '' })()`)
	b.Paste()
	b.Wait(fmt.Sprintf(`document.querySelector('#probe').value === %q`, g.walk.secret.Reveal()))
	b.Click("[data-do=unclip]")
	b.WaitText("The clipboard was cleared")
	b.Eval(`(() => { const i = document.querySelector('#probe'); i.value = ''; i.focus(); return '' })()`)
	b.Paste()
	if got := b.Eval(`document.querySelector('#probe').value`); got != "" {
		t.Errorf("the clipboard still has %q", got)
	}
}

func TestSecretIsHiddenAfterTwoMinutesAndOnLeaving(t *testing.T) {
	g := newRig(t)
	b := testenv.Chromium(t)
	walkTo(g, b, protocol.ActionPassword)
	b.Click("#perform")
	b.Wait(`document.querySelector('[data-do=show]') && !document.querySelector('[data-do=show]').hidden`)
	// The page's clock is ours: two minutes pass at once.
	b.Eval(`(() => { window.later = []; window.setTimeout = (f, ms) => { later.push([f, ms]); return later.length }; return '' })()`)
	b.Click("[data-do=show]")
	b.Wait(`document.querySelector('.shown span')`)
	if got := b.Eval(`later.filter(([, ms]) => ms === 120000).map(([f]) => f()).length`); got != "1" {
		t.Errorf("%s timers of two minutes", got)
	}
	b.WaitText("It was hidden after two minutes")
	b.Click("[data-do=show]")
	b.Wait(`document.querySelector('.shown span')`)
	b.Eval(`dispatchEvent(new PageTransitionEvent('pagehide'))`)
	b.WaitText("It was hidden because you left this page")
	b.Wait(`!document.querySelector('.shown span')`)
}

func TestT27_LostKeySaysSoAndNothingElse(t *testing.T) {
	g := newRig(t)
	b := testenv.Chromium(t)
	walkTo(g, b, protocol.ActionPassword)
	b.Click("#perform")
	b.WaitText("Your password was reset")
	b.Wait(`!document.querySelector('[data-do=show]').hidden`)
	b.Eval(fmt.Sprintf(`import(%q).then(s => s.forget(%q))`, g.site.files.Path("seal.js"), g.walk.only()))
	b.Reload()
	b.WaitText("The key to your result is gone")
	if b.Eval(`document.querySelector('.secret').hidden`) != "true" || b.Eval(`document.activeElement.id`) != "lost" {
		t.Error("the secret is still offered, or the message has no focus")
	}
}

func TestLinkSecretIsOfferedAsALink(t *testing.T) {
	g := newRig(t)
	g.walk.secret = protocol.NewSecret("https://idp.example/reset?token=abc")
	b := testenv.Chromium(t)
	walkTo(g, b, protocol.ActionPassword)
	b.Click("#perform")
	b.Wait(`document.querySelector('[data-do=show]') && !document.querySelector('[data-do=show]').hidden`)
	b.Click("[data-do=show]")
	b.Wait(`document.querySelector('.shown a')?.href === 'https://idp.example/reset?token=abc'`)
}

func TestKeyboardAloneWalksTheWholeWay(t *testing.T) {
	g := newRig(t)
	b := testenv.Chromium(t)
	b.Open(g.url + "/")
	tab := func(want string) {
		t.Helper()
		for range 30 {
			b.Press("\t")
			if b.Eval(fmt.Sprintf(`document.activeElement.matches(%q)`, want)) == "true" {
				if b.Eval(`getComputedStyle(document.activeElement.closest('.option') ?? document.activeElement).outlineStyle`) == "none" {
					t.Errorf("the focus on %s cannot be seen", want)
				}
				return
			}
		}
		t.Fatalf("the keyboard never reaches %s:\n%s", want, b.Text())
	}
	b.Press("\t")
	if got := b.Eval(`document.activeElement.className`); got != "skip" {
		t.Errorf("the first stop is %q, want the link to the content", got)
	}
	tab("#email")
	b.Press("ada@acme.example\r")
	b.WaitText("What do you need?")
	tab("[name=op]")
	b.Press(" ")
	tab("main form button")
	b.Press("\r")
	b.WaitText("What is the code")
	tab("#code")
	b.Press("1\r")
	b.Wait(`document.activeElement.matches('.errors')`) // the summary takes the focus
	tab(".errors a")
	b.Press("\r")
	b.Wait(`document.activeElement.id === 'code'`)
	b.Eval(`document.activeElement.select()`)
	b.Press(rightCode + "\r")
	b.Wait(`document.querySelector('#perform') && document.documentElement.dataset.ready`)
	tab("#perform")
	b.Press(" ")
	b.Wait(`document.querySelector('[data-do=show]') && !document.querySelector('[data-do=show]').hidden`)
	tab("[data-do=show]")
	b.Press("\r")
	b.Wait(`document.querySelector('.shown span')`)
	tab("form[action$=acknowledge] button")
	b.Press("\r")
	b.WaitText("You are done")
}

func TestWaitingPageShowsTheResultByItself(t *testing.T) {
	g := newRig(t)
	g.walk.hold = make(chan struct{})
	b := testenv.Chromium(t)
	walkTo(g, b, protocol.ActionUnlock)
	b.Click("#perform")
	b.WaitText("We are unlocking your account")
	g.walk.edit(g.walk.only(), func(r *walked) { r.Since = time.Now().Add(-31 * time.Second) })
	b.Reload()
	b.WaitText("There is still no answer")
	close(g.walk.hold)
	b.WaitText("Your account is unlocked")
}

func TestScriptsOffStillUnlocks(t *testing.T) {
	g := newRig(t)
	b := testenv.Chromium(t)
	b.NoScripts()
	b.Open(g.url + "/")
	b.Type("#email", "ada@acme.example")
	b.Press("\r")
	b.WaitText("What do you need?")
	b.Click("label:has([value=password])")
	b.Click("main form button")
	b.WaitText("What is the code")
	b.Type("#code", rightCode)
	b.Press("\r")
	b.WaitText("JavaScript must be switched on")
	b.Click("#perform")
	b.WaitText("This browser cannot make the key")
	if g.walk.performs != 0 {
		t.Error("an operation without a key")
	}
}

// Nothing that a page loads or does breaks its own content security policy.
func TestP24_PagesKeepTheirOwnPolicy(t *testing.T) {
	g := newRig(t)
	b := testenv.Chromium(t)
	b.Open(g.url + "/")
	got := b.Eval(`new Promise(done => {
		const seen = [];
		document.addEventListener('securitypolicyviolation', e => seen.push(e.violatedDirective));
		const s = document.createElement('script');
		try { s.textContent = 'window.ran = 1'; document.body.append(s); } catch (e) { seen.push(e.name); }
		const i = new Image(); i.src = 'https://evil.example/x.png';
		try { document.body.insertAdjacentHTML('beforeend', '<b>x</b>'); } catch (e) { seen.push(e.name); }
		setTimeout(() => done([...new Set(seen)].sort().join() + ' ran=' + window.ran), 300);
	})`)
	if !strings.Contains(got, "TypeError") || !strings.Contains(got, "img-src") || !strings.Contains(got, "require-trusted-types-for") || !strings.HasSuffix(got, "ran=undefined") {
		t.Error("the policy stopped too little:", got)
	}
}

func TestCookiesWorkOnLoopbackNamesOverPlainHTTP(t *testing.T) {
	g := newRig(t)
	g.url = strings.Replace(g.url, "localhost", "acme.localhost", 1)
	b := testenv.Chromium(t)
	walkTo(g, b, protocol.ActionPassword)
	if got := b.Eval("isSecureContext + ' ' + document.cookie"); got != "true " {
		t.Errorf("secure context and readable cookies: %q", got)
	}
	b.Click("#perform")
	b.WaitText("Your password was reset")
	if g.walk.all[g.walk.only()].Step != flow.StepDone {
		t.Error("not done")
	}
}

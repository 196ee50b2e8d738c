package testenv

import (
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/chromedp/cdproto/emulation"
	"github.com/chromedp/cdproto/input"
	"github.com/chromedp/cdproto/page"
	"github.com/chromedp/cdproto/runtime"
	"github.com/chromedp/cdproto/storage"
	"github.com/chromedp/chromedp"
	"github.com/chromedp/chromedp/kb"
)

// Limits of a browser's life.
const (
	browserLife = 4 * time.Minute  // of one test's browser
	pageWithin  = 20 * time.Second // a page shows what a test waits for; the machine may be busy
	pagePoll    = 30 * time.Millisecond
)

// A Browser is Debian's Chromium with a profile of its own and one window.
type Browser struct {
	t   testing.TB
	ctx context.Context
}

// Chromium starts a browser, headless, and ends it with the test. Names below .localhost
// and .test lead to this machine. Extra flags are those of Chromium without dashes.
func Chromium(t testing.TB, flags ...string) *Browser {
	t.Helper()
	return chromium(t, Dir(t), flags)
}

// ChromiumTrusting is Chromium with an authority (PEM file) in the person's own store of
// certificates, where Debian's Chromium looks for roots.
func ChromiumTrusting(t testing.TB, caFile string, flags ...string) *Browser {
	t.Helper()
	certutil, home := Need(t, "certutil"), Dir(t)
	db := filepath.Join(home, ".pki", "nssdb")
	if err := os.MkdirAll(db, 0o700); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{{"-N", "--empty-password"}, {"-A", "-t", "C,,", "-n", "test", "-i", caFile}} {
		if err := RunAs(t.Context(), "", home, certutil, append([]string{"-d", "sql:" + db}, args...)...); err != nil {
			t.Fatal(err)
		}
	}
	return chromium(t, home, flags)
}

func chromium(t testing.TB, home string, flags []string) *Browser {
	t.Helper()
	bin := Need(t, "chromium")
	options := append(chromedp.DefaultExecAllocatorOptions[:],
		chromedp.ExecPath(bin), chromedp.NoSandbox, // root has no sandbox
		chromedp.Env("HOME="+home), chromedp.Flag("host-resolver-rules", "MAP *.test 127.0.0.1, MAP *.localhost 127.0.0.1"))
	for _, f := range flags {
		name, value, _ := strings.Cut(f, "=")
		options = append(options, chromedp.Flag(name, value))
	}
	alloc, stop := chromedp.NewExecAllocator(context.Background(), options...)
	t.Cleanup(stop)
	ctx, stop := chromedp.NewContext(alloc) // a timeout on it before its first use would end the browser
	t.Cleanup(stop)
	b := &Browser{t, ctx}
	if err := chromedp.Listen(ctx, b.hear); err != nil {
		t.Fatal(err)
	}
	b.ctx, stop = context.WithTimeout(ctx, browserLife)
	t.Cleanup(stop)
	return b
}

// Tab opens one more tab of the same browser: its cookies and what it keeps are shared.
func (b *Browser) Tab() *Browser {
	b.t.Helper()
	ctx, stop := chromedp.NewContext(b.ctx)
	b.t.Cleanup(stop)
	tab := &Browser{b.t, ctx}
	if err := chromedp.Listen(ctx, tab.hear); err != nil {
		b.t.Fatal(err)
	}
	return tab
}

// hear fails the test when a page's script fails: such a page may still look right.
func (b *Browser) hear(event any) {
	if e, ok := event.(*runtime.EventExceptionThrown); ok {
		text := e.ExceptionDetails.Text
		if x := e.ExceptionDetails.Exception; x != nil {
			text += " " + x.Description
		}
		b.t.Errorf("a script of the page failed: %s (%s:%d)", text, e.ExceptionDetails.URL, e.ExceptionDetails.LineNumber+1)
	}
}

func (b *Browser) do(steps ...chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	if err := chromedp.Do(b.ctx, steps...); err != nil {
		b.t.Fatal(err)
	}
}

// goneNode is what Chromium says of an element of a page that another one has replaced
// between its being found and its being used.
const goneNode = "Could not find node with given id"

// onNode takes a step that finds an element and uses it, once more where a new page came
// between the two: nothing was done to the element then.
func (b *Browser) onNode(step chromedp.Action[chromedp.Void]) {
	b.t.Helper()
	err := chromedp.Do(b.ctx, step)
	for range 2 {
		if err == nil || !strings.Contains(err.Error(), goneNode) {
			break
		}
		err = chromedp.Do(b.ctx, step)
	}
	if err != nil {
		b.t.Fatal(err)
	}
}

// Open loads an address and waits until it is loaded.
func (b *Browser) Open(url string) {
	b.t.Helper()
	b.do(chromedp.Navigate(url))
}

// Reload loads the page again.
func (b *Browser) Reload() {
	b.t.Helper()
	b.do(chromedp.Reload())
}

// Eval runs a script as if the person had started it, waits for its promise, and returns
// its text.
func (b *Browser) Eval(script string) string {
	b.t.Helper()
	s, err := b.eval(script)
	if err != nil {
		b.t.Fatalf("%.200s: %v", script, err) // a script may be a whole library
	}
	return s
}

func (b *Browser) eval(script string) (string, error) {
	gesture := func(p *runtime.EvaluateParams) { p.UserGesture = new(true) }
	return chromedp.Run(b.ctx, chromedp.Evaluate[string]("(async () => String(await ("+script+")))()", chromedp.EvalAwaitPromise, gesture))
}

// Wait waits until a script's value is true, also across pages that load meanwhile: a page
// of which only the beginning has come shows nothing yet.
func (b *Browser) Wait(script string) {
	b.t.Helper()
	deadline := time.Now().Add(pageWithin)
	for {
		ok, err := chromedp.Run(b.ctx, chromedp.Evaluate[bool]("Boolean("+script+") && document.readyState !== 'loading'"))
		if err == nil && ok {
			return
		}
		if time.Now().After(deadline) {
			b.t.Fatalf("the page never showed %s (%v); it shows:\n%s", script, err, b.Text())
		}
		select {
		case <-b.ctx.Done():
			b.t.Fatal(b.ctx.Err())
		case <-time.After(pagePoll):
		}
	}
}

// WaitText waits until the page shows a text.
func (b *Browser) WaitText(text string) {
	b.t.Helper()
	b.Wait(fmt.Sprintf("document.body?.innerText.includes(%q)", text))
}

// Text returns what the page shows.
func (b *Browser) Text() string {
	s, err := chromedp.Run(b.ctx, chromedp.Evaluate[string]("location.href + '\\n' + document.body?.innerText"))
	if err != nil {
		return err.Error()
	}
	return s
}

// Click clicks the middle of the first element that the CSS selector names, once it can
// be seen.
func (b *Browser) Click(selector string) {
	b.t.Helper()
	b.onNode(chromedp.Click(chromedp.CSS(selector), chromedp.NodeVisible))
}

// Type types into the first element that the CSS selector names.
func (b *Browser) Type(selector, text string) {
	b.t.Helper()
	b.onNode(chromedp.SendKeys(chromedp.CSS(selector), text, chromedp.NodeVisible))
}

// Press presses keys wherever the focus is; "\t" is the tabulator, "\r" Enter. The events
// are those of a keyboard: a key that does something when it goes down types no
// character as well.
func (b *Browser) Press(keys string) {
	b.t.Helper()
	for _, r := range keys {
		for _, e := range kb.Encode(r) {
			if e.Type == kb.KeyDown {
				e.Type = kb.KeyRawDown
			}
			if _, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, *e); err != nil {
				b.t.Fatal(err)
			}
		}
	}
}

// Viewport sets the size of the window.
func (b *Browser) Viewport(width, height int64) {
	b.t.Helper()
	b.do(chromedp.EmulateViewport(width, height))
}

// Dark says whether the person prefers dark pages.
func (b *Browser) Dark(dark bool) {
	b.t.Helper()
	value := "light"
	if dark {
		value = "dark"
	}
	_, err := chromedp.Call(b.ctx, emulation.SetEmulatedMedia, emulation.SetEmulatedMediaParams{
		Features: []*emulation.MediaFeature{{Name: "prefers-color-scheme", Value: value}, {Name: "prefers-reduced-motion", Value: "reduce"}}})
	if err != nil {
		b.t.Fatal(err)
	}
}

// NoScripts switches the pages' scripts off, from the next page on. Eval and Wait still
// work.
func (b *Browser) NoScripts() {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, emulation.SetScriptExecutionDisabled, emulation.SetScriptExecutionDisabledParams{Value: true}); err != nil {
		b.t.Fatal(err)
	}
}

// FirstRun has every page from the next one on run a script before all of its own.
func (b *Browser) FirstRun(script string) {
	b.t.Helper()
	if _, err := chromedp.Call(b.ctx, page.AddScriptToEvaluateOnNewDocument, page.AddScriptToEvaluateOnNewDocumentParams{Source: script}); err != nil {
		b.t.Fatal(err)
	}
}

// Full says whether the browser has no space left for what an origin keeps.
func (b *Browser) Full(origin string, full bool) {
	b.t.Helper()
	p := storage.OverrideQuotaForOriginParams{Origin: origin}
	if full {
		p.QuotaSize = new(1.0) // byte; Chromium takes none for no limit
	}
	if _, err := chromedp.Call(b.ctx, storage.OverrideQuotaForOrigin, p); err != nil {
		b.t.Fatal(err)
	}
}

// Paste pastes the clipboard into the element that has the focus.
func (b *Browser) Paste() {
	b.t.Helper()
	_, err := chromedp.Call(b.ctx, input.DispatchKeyEvent, input.DispatchKeyEventParams{Type: "keyDown", Key: "v", Commands: []string{"paste"}})
	if err != nil {
		b.t.Fatal(err)
	}
}

// Screenshot writes a picture of the whole page as PNG.
func (b *Browser) Screenshot(file string) {
	b.t.Helper()
	res, err := chromedp.Call(b.ctx, page.CaptureScreenshot, page.CaptureScreenshotParams{CaptureBeyondViewport: new(true)})
	if err != nil {
		b.t.Fatal(err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o755); err != nil {
		b.t.Fatal(err)
	}
	if err := os.WriteFile(file, res.Data, 0o644); err != nil {
		b.t.Fatal(err)
	}
}

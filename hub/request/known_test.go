package request_test

import (
	"context"
	"slices"
	"strings"
	"sync"
	"testing"

	"github.com/postern-id/postern/hub/audit"
	"github.com/postern-id/postern/hub/request"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
)

const phoneAgent = "Mozilla/5.0 (Linux; Android 14; Pixel 7) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/125.0.0.0 Mobile Safari/537.36"

// clients returns what request_shares holds of browsers, as it stands there.
func (d *desk) clients() (all []string) {
	d.Helper()
	d.tx(func(tx *store.Tx) (err error) {
		all, err = store.All(d.Context(), tx, store.Text, "SELECT client FROM request_shares WHERE client <> ''")
		return err
	})
	return all
}

func (d *desk) sharesOnPhone(o request.Order) store.Request {
	d.Helper()
	r := d.create(o)
	p := d.opens(r).proves()
	if got := d.document(r); got.Browser != nil || got.Mobile != nil || got.KnownUser != nil || got.ExternalIDs != nil {
		d.Errorf("before they shared: %+v", got)
	}
	d.ok(p.Share(d.Context(), p.env, p.id, p.session, request.Client{Address: "192.0.2.7", UserAgent: phoneAgent}))
	return r
}

func TestARequestSaysWhoSharedAndInWhichBrowserUntilTheyAreErased(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := newDesk(t, s)
		env := d.fixture.Env.ID
		first := d.sharesOnPhone(request.Order{Claims: []string{"name"}, MaxUses: 1})
		got := d.document(first)
		if got.Browser == nil || got.Browser.UserAgent != phoneAgent || got.Mobile == nil || got.Mobile.OS != "Android" || got.Mobile.Version != "14" || !got.Mobile.Android {
			t.Errorf("browser %+v, mobile %+v", got.Browser, got.Mobile)
		}
		if got.KnownUser == nil || *got.KnownUser || got.ExternalIDs != nil {
			t.Errorf("shared for the first time: %v %v", got.KnownUser, got.ExternalIDs)
		}
		second := d.sharesOnPhone(request.Order{Claims: []string{"birth_date"}, MaxUses: 1})
		if got := d.document(second); *got.KnownUser {
			t.Error("who has shared before, and has no account, is known")
		}
		d.fixture.Accounts(t, s, protocol.Account{ID: "1", Name: "Jürgen Müller", Identifiers: []string{"juergen@example.com", "jm"}}, protocol.Account{ID: "2", Name: "Another", Identifiers: []string{"another"}})
		d.tx(func(tx *store.Tx) error {
			all, err := tx.Accounts(d.Context(), env, store.AccountFilter{Query: "juergen", Count: 1})
			if err != nil {
				return err
			}
			return tx.SetSubject(d.Context(), env, all[0].ID, got.Subject)
		})
		if got := d.document(first); !slices.Equal(got.ExternalIDs, []string{"jm", "juergen@example.com"}) || !*got.KnownUser {
			t.Errorf("bound: %v %v", got.ExternalIDs, *got.KnownUser)
		}
		if got := d.document(second); got.KnownUser == nil || !*got.KnownUser {
			t.Errorf("of whom an account is known: %v", got.KnownUser)
		}
		if all := d.clients(); len(all) != 2 || strings.Contains(strings.Join(all, " "), "Android") {
			t.Errorf("kept as %q", all)
		}
		_, person, _ := request.ParseSubject(got.Subject)
		told := len(d.told)
		d.tx(func(tx *store.Tx) error { return d.Named(d.Context(), tx, env, person) })
		if got := d.told[told:]; !slices.Equal(got, []string{"vault_preferred_name_set shared"}) {
			t.Errorf("a preferred name was set, told %q", got)
		}
		d.tx(func(tx *store.Tx) error { return d.Revoke(d.Context(), tx, env, person, []string{"name"}, true) })
		if got, all := d.document(first), d.clients(); got.Browser != nil || got.ExternalIDs != nil || len(all) != 1 {
			t.Errorf("after it was taken back: %+v, kept %d", got.Browser, len(all))
		}
		d.tx(func(tx *store.Tx) error { return d.Erase(d.Context(), tx, env, person) })
		if got, all := d.document(second), d.clients(); got.Browser != nil || got.Mobile != nil || got.ExternalIDs != nil || len(all) != 0 {
			t.Errorf("after they were erased: %+v, kept %d", got, len(all))
		}
	})
}

func TestABrowserIsForgottenWhenAConsentEnds(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := newDesk(t, s)
		r := d.sharesOnPhone(request.Order{Claims: []string{"name"}, MaxUses: 1})
		_, person, _ := request.ParseSubject(d.document(r).Subject)
		d.tx(func(tx *store.Tx) error { return tx.EndShare(d.Context(), r.Env, r.ID, person) })
		if all := d.clients(); len(all) != 0 {
			t.Errorf("%d are kept", len(all))
		}
	})
}

// A number is shown while its message waits, and in no webhook.
func TestAPhoneNumberIsShownUntilItsMessageWasSent(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := newDesk(t, s)
		d.SMS = carrier{}
		r := d.create(request.Order{Claims: []string{"name"}, Phone: "+4915100000000"})
		if got := d.document(r).Phone; got != "+4915100000000" {
			t.Errorf("waiting: %q", got)
		}
		d.tx(func(tx *store.Tx) error { return tx.DropRequestSend(d.Context(), r.Env, r.ID) })
		if got := d.document(r).Phone; got != "" {
			t.Errorf("sent: %q", got)
		}
		for _, told := range d.phones {
			if told != "" {
				t.Errorf("webhooks were told %s", told)
			}
		}
		if len(d.phones) == 0 {
			t.Error("webhooks were told nothing")
		}
	})
}

// Whoever cancels a request at once has nobody sent a link that has ended.
func TestACancelledRequestSendsNoLink(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := newDesk(t, s)
		d.SMS = carrier{}
		r := d.create(request.Order{Claims: []string{"name"}, Phone: "+4915100000000"})
		d.tx(func(tx *store.Tx) error { return d.Cancel(d.Context(), tx, r) })
		var due []store.RequestSend
		d.tx(func(tx *store.Tx) (err error) {
			due, err = tx.ClaimRequestSends(d.Context(), tx.Now())
			return err
		})
		if got := d.document(r); len(due) != 0 || got.Phone != "" || got.Status != request.Cancelled {
			t.Errorf("%d messages are sent; %q %s", len(due), got.Phone, got.Status)
		}
	})
}

// Somebody changed one of two links on their way in the database: it is given up, which the
// log says, its request can still be read, and the other goes.
func TestALinkThatWasChangedInTheDatabaseIsSetAside(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		d := newDesk(t, s)
		sent := make(sending, 2)
		d.SMS = sent
		bad := d.create(request.Order{Claims: []string{"name"}, Phone: "+4915100000000"})
		d.tx(func(tx *store.Tx) error {
			return tx.Must(d.Context(), "UPDATE request_sends SET address = address || 'AAAA', next_at = 1")
		})
		if got := d.document(bad); got.Phone != "" || got.Status != request.Pending {
			t.Errorf("meanwhile: %q %s", got.Phone, got.Status)
		}
		d.create(request.Order{Claims: []string{"name"}, Phone: "+4915100000001"})
		ctx, stop := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() { _ = d.Requests.Run(ctx) })
		if m := <-sent; m.To != "+4915100000001" {
			t.Errorf("sent %+v", m)
		}
		stop()
		wg.Wait()
		rows, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]store.AuditRow, error) {
			return tx.AuditRows(t.Context(), d.fixture.Org.ID, store.AuditFilter{Envs: []string{d.fixture.Env.ID}, Kinds: []string{string(audit.MessageUnread)}, Count: 10})
		})
		if err != nil || len(rows) != 1 || !strings.Contains(rows[0].Leaf, bad.ID) || !strings.Contains(rows[0].Leaf, "does not open in its place") {
			t.Errorf("the log has %+v, %v", rows, err)
		}
	})
}

// sending is a carrier that tells what it sent.
type sending chan request.LinkMessage

// Takes implements request.Texter.
func (sending) Takes(ctx context.Context, tx *store.Tx, env, number string, whatsApp bool) (string, error) {
	return carrier{}.Takes(ctx, tx, env, number, whatsApp)
}

// SendLink implements request.Texter.
func (s sending) SendLink(_ context.Context, m request.LinkMessage) error { s <- m; return nil }

// Ready implements request.Texter.
func (sending) Ready(context.Context, *store.Tx, string) error { return nil }

// SendCode implements request.Texter.
func (sending) SendCode(context.Context, request.CodeMessage) error { return nil }

// carrier takes every number.
type carrier struct{}

// Takes implements request.Texter.
func (carrier) Takes(_ context.Context, _ *store.Tx, _, number string, _ bool) (string, error) {
	return number, nil
}

// SendLink implements request.Texter.
func (carrier) SendLink(context.Context, request.LinkMessage) error { return nil }

// Ready implements request.Texter.
func (carrier) Ready(context.Context, *store.Tx, string) error { return nil }

// SendCode implements request.Texter.
func (carrier) SendCode(context.Context, request.CodeMessage) error { return nil }

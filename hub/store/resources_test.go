package store_test

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"reflect"
	"sync"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// do runs fn in a transaction and fails the test on an error.
func do(t *testing.T, s *store.Store, fn func(ctx context.Context, tx *store.Tx) error) {
	t.Helper()
	if err := s.Tx(t.Context(), func(tx *store.Tx) error { return fn(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

// want runs fn in a transaction and expects an error.
func want(t *testing.T, s *store.Store, target error, fn func(ctx context.Context, tx *store.Tx) error) {
	t.Helper()
	if err := s.Tx(t.Context(), func(tx *store.Tx) error { return fn(t.Context(), tx) }); !errors.Is(err, target) {
		t.Fatalf("error %v, want %v", err, target)
	}
}

func TestEnvironmentKeepsItsMicrositeAndLogo(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		logo := []byte{0, 1, 2, 0xff}
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			e, err := tx.Environment(ctx, f.Env.ID)
			if err != nil {
				return err
			}
			e.Microsite = store.Microsite{RequirePresigned: true, Languages: []string{"de", "en"}, Accent: "#123456"}
			e.CallbackURLs = []string{"https://app.example/back"}
			return errors.Join(tx.UpdateEnvironment(ctx, e), tx.SetLogo(ctx, e.ID, store.NewLogo("mobile", "image/png", logo)))
		})
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			e, err := tx.Environment(ctx, f.Env.ID)
			if want := (store.Microsite{RequirePresigned: true, Languages: []string{"de", "en"}, Accent: "#123456", Logo: store.NewLogo("", "", logo).Sum}); !reflect.DeepEqual(e.Microsite, want) {
				t.Errorf("microsite %+v, want %+v", e.Microsite, want)
			}
			if len(e.CallbackURLs) != 1 || e.CallbackURLs[0] != "https://app.example/back" {
				t.Errorf("callbacks %v", e.CallbackURLs)
			}
			got, errLogo := tx.LogoBySum(ctx, e.Microsite.Logo)
			if !bytes.Equal(got.Body, logo) || got.Media != "image/png" {
				t.Errorf("logo %+v", got)
			}
			all, errAll := tx.Environments(ctx, f.Org.ID)
			if len(all) != 1 || all[0].ID != f.Env.ID {
				t.Errorf("environments %+v", all)
			}
			return errors.Join(err, errLogo, errAll, tx.RemoveLogo(ctx, f.Env.ID, "mobile"))
		})
		want(t, s, store.ErrNotFound, func(ctx context.Context, tx *store.Tx) error {
			return tx.RemoveLogo(ctx, f.Env.ID, "mobile")
		})
		want(t, s, store.ErrNotFound, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.CreateEnvironment(ctx, store.Environment{Org: store.NewID(), Name: "x"})
			return err
		})
	})
}

// T25: a removed domain stays bound to its environment for a year.
func TestT25_RemovedDomainStaysBoundToItsEnvironmentForAYear(t *testing.T) {
	eachClocked(t, func(t *testing.T, s *store.Store, c *clock) {
		mine, other := storetest.Seed(t, s).Env.ID, storetest.Seed(t, s).Env.ID
		const name = "recover.example.com"
		add := func(env string) (d store.Domain, err error) {
			return store.Change(t.Context(), s, func(tx *store.Tx) (store.Domain, error) { return tx.AddDomain(t.Context(), env, name) })
		}
		first, err := add(mine)
		if err != nil || first.ProofToken == "" || !first.Proven.IsZero() {
			t.Fatalf("%+v %v", first, err)
		}
		if again, err := add(mine); err != nil || again.ProofToken != first.ProofToken {
			t.Fatalf("registered twice: %+v %v", again, err)
		}
		if _, err := add(other); !errors.Is(err, store.ErrConflict) {
			t.Fatalf("another environment took it: %v", err)
		}
		do(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DomainProven(ctx, mine, name) })
		do(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RemoveDomain(ctx, mine, name) })
		want(t, s, store.ErrNotFound, func(ctx context.Context, tx *store.Tx) error { _, err := tx.Domain(ctx, name); return err })
		c.pass(364 * 24 * time.Hour)
		if _, err := add(other); !errors.Is(err, store.ErrConflict) {
			t.Fatalf("after 364 days: %v", err)
		}
		if back, err := add(mine); err != nil || !back.Proven.IsZero() || back.ProofToken == first.ProofToken {
			t.Fatalf("its own environment registers it anew, unproven: %+v %v", back, err)
		}
		do(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.RemoveDomain(ctx, mine, name) })
		c.pass(366 * 24 * time.Hour)
		if d, err := add(other); err != nil || d.Env != other {
			t.Fatalf("after a year: %+v %v", d, err)
		}
	})
}

// T25: deleting an environment does not free its domains either.
func TestT25_DomainsOfADeletedEnvironmentStayBound(t *testing.T) {
	eachClocked(t, func(t *testing.T, s *store.Store, c *clock) {
		mine, other := storetest.Seed(t, s).Env.ID, storetest.Seed(t, s).Env.ID
		const name = "gone.example.com"
		add := func(env string) error {
			return s.Tx(t.Context(), func(tx *store.Tx) error { _, err := tx.AddDomain(t.Context(), env, name); return err })
		}
		if err := add(mine); err != nil {
			t.Fatal(err)
		}
		do(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.DeleteEnvironment(ctx, mine) })
		want(t, s, store.ErrNotFound, func(ctx context.Context, tx *store.Tx) error { _, err := tx.Domain(ctx, name); return err })
		if err := add(other); !errors.Is(err, store.ErrConflict) {
			t.Fatalf("at once: %v", err)
		}
		if err := add(mine); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("for an environment that is no more: %v", err)
		}
		c.pass(366 * 24 * time.Hour)
		if err := add(other); err != nil {
			t.Fatalf("after a year: %v", err)
		}
	})
}

func TestUpkeepRemovesWhatHasEnded(t *testing.T) {
	eachClocked(t, func(t *testing.T, s *store.Store, c *clock) {
		f := storetest.Seed(t, s)
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.CreateTicket(ctx, f.Env.ID, f.Directory.ID, "old", time.Minute)
			return errors.Join(err, tx.CreateConsoleLink(ctx, f.Org.ID, "old"))
		})
		c.pass(30 * 24 * time.Hour)
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.CreateTicket(ctx, f.Env.ID, f.Directory.ID, "new", time.Minute)
			return errors.Join(err, tx.CreateConsoleLink(ctx, f.Org.ID, "new"))
		})
		ctx, cancel := context.WithCancel(t.Context())
		var wg sync.WaitGroup
		wg.Go(func() {
			if err := s.Run(ctx); err != nil {
				t.Error(err)
			}
		})
		for _, table := range []string{"tickets", "console_links"} {
			testenv.Eventually(t, table+" are removed, and no more", func() bool {
				var all []string
				do(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
					all, err = store.All(ctx, tx, store.Text, "SELECT hash FROM "+table)
					return err
				})
				return reflect.DeepEqual(all, []string{"new"})
			})
		}
		cancel()
		wg.Wait()
	})
}

func TestDomainRemembersItsChecks(t *testing.T) {
	eachClocked(t, func(t *testing.T, s *store.Store, c *clock) {
		env := storetest.Seed(t, s).Env.ID
		const name = "r.example.com"
		step := func(fn func(ctx context.Context, tx *store.Tx) error) (d store.Domain) {
			t.Helper()
			do(t, s, fn)
			do(t, s, func(ctx context.Context, tx *store.Tx) (err error) { d, err = tx.Domain(ctx, name); return err })
			return d
		}
		step(func(ctx context.Context, tx *store.Tx) error { _, err := tx.AddDomain(ctx, env, name); return err })
		proven := step(func(ctx context.Context, tx *store.Tx) error { return tx.DomainProven(ctx, env, name) })
		c.pass(time.Hour)
		again := step(func(ctx context.Context, tx *store.Tx) error { return tx.DomainProven(ctx, env, name) })
		if !again.Proven.Equal(proven.Proven) || !again.Checked.Equal(c.now()) {
			t.Errorf("a second proof: %+v after %+v", again, proven)
		}
		failed := step(func(ctx context.Context, tx *store.Tx) error {
			return tx.DomainFailed(ctx, env, name, "no TXT record", false)
		})
		if failed.Proven.IsZero() || failed.LastError != "no TXT record" {
			t.Errorf("one failed check: %+v", failed)
		}
		if lost := step(func(ctx context.Context, tx *store.Tx) error { return tx.DomainFailed(ctx, env, name, "x", true) }); !lost.Proven.IsZero() {
			t.Errorf("withdrawn: %+v", lost)
		}
	})
}

func TestAPIKeyIsFoundByItsHashWhileItIsGood(t *testing.T) {
	eachClocked(t, func(t *testing.T, s *store.Store, c *clock) {
		f := storetest.Seed(t, s)
		key := store.NewToken()
		var k store.APIKey
		do(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
			k, err = tx.CreateAPIKey(ctx, store.APIKey{Org: f.Org.ID, Name: "ci", Hash: store.HashToken(key), Role: "admin",
				Envs: []string{f.Env.ID}, Enabled: true, Expires: c.now().Add(time.Hour)})
			return err
		})
		find := func(key string) error {
			_, err := store.Get(t.Context(), s, func(tx *store.Tx) (store.APIKey, error) { return tx.APIKeyByHash(t.Context(), store.HashToken(key)) })
			return err
		}
		if err := find(key); err != nil {
			t.Fatal(err)
		}
		if err := find(key + "x"); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("a wrong key: %v", err)
		}
		if !k.Admits(f.Env.ID) || k.Admits("other") || !(store.APIKey{Envs: []string{store.AllEnvs}}).Admits("other") {
			t.Error("Admits")
		}
		do(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.TouchAPIKey(ctx, f.Org.ID, k.ID) })
		k.Enabled = false
		do(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateAPIKey(ctx, f.Org.ID, k) })
		if err := find(key); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("a disabled key: %v", err)
		}
		k.Enabled = true
		do(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.UpdateAPIKey(ctx, f.Org.ID, k) })
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			got, err := tx.APIKey(ctx, f.Org.ID, k.ID)
			if !got.LastUsed.Equal(c.now()) || got.UseDue(c.now()) || !got.UseDue(c.now().Add(apiMinute)) {
				t.Errorf("last used %v at %v", got.LastUsed, c.now())
			}
			return err
		})
		c.pass(2 * time.Hour)
		if err := find(key); !errors.Is(err, store.ErrNotFound) {
			t.Fatalf("an expired key: %v", err)
		}
	})
}

const apiMinute = time.Minute

func TestDirectoryKeepsWhatWasSet(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		d := f.Directory
		d.Name = "staff"
		d.Settings = store.DirectorySettings{
			Policies:          store.Policies{Password: json.RawMessage(`{"default":"name_match"}`)},
			Methods:           json.RawMessage(`{"password":[["mail_code"]]}`),
			RateLimit:         store.RateLimit{Count: 3, Window: 36 * time.Hour},
			AccessPassMinutes: 60, AccessPassReusable: true, AllowUnsealed: true,
		}
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			return errors.Join(tx.UpdateDirectory(ctx, d), tx.SetTraits(ctx, d.Env, d.ID, protocol.Traits{Name: "LDAP", CanUnlock: true}),
				tx.SetBirthDateKey(ctx, d.Env, d.ID, []byte("key")))
		})
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			got, err := tx.Directory(ctx, d.Env, d.ID)
			if got.Name != "staff" || !reflect.DeepEqual(got.Settings, d.Settings) || !got.Traits.CanUnlock || !got.HasBirthDateKey || got.HasLegacyToken {
				t.Errorf("%+v", got)
			}
			key, errKey := tx.BirthDateKey(ctx, d.Env, d.ID)
			if string(key) != "key" {
				t.Errorf("birth date key %q", key)
			}
			return errors.Join(err, errKey)
		})
	})
}

func TestAccountsAreFoundByAnyIdentifierInAnyCase(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		f.Accounts(t, s,
			protocol.Account{ID: "1", Name: "Ada Lovelace", Identifiers: []string{"Ada@Example.com", "ada", "ADA@example.com "}, Groups: []protocol.Group{{ID: "g1"}, {ID: "g2"}, {ID: "g1"}}},
			protocol.Account{ID: "2", Name: "Ada Müller 100%", Identifiers: []string{"ada", "Ada.Müller@example.com"}, Disabled: true})
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			return tx.PutGroups(ctx, f.Env.ID, f.Directory.ID, []protocol.Group{{ID: "g1", Name: "Staff", Kind: "security"}, {ID: "g2", Name: "Board"}})
		})
		for identifier, n := range map[string]int{"ADA@EXAMPLE.COM": 1, " ada ": 2, "ada.müller@example.com": 1, "nobody": 0, "": 0, "%": 0} {
			do(t, s, func(ctx context.Context, tx *store.Tx) error {
				got, err := tx.FindAccounts(ctx, f.Env.ID, identifier)
				if len(got) != n {
					t.Errorf("%q finds %d accounts, want %d", identifier, len(got), n)
				}
				return err
			})
		}
		for _, c := range []struct {
			filter store.AccountFilter
			n      int
		}{
			{store.AccountFilter{Count: 10}, 2}, {store.AccountFilter{Count: 1}, 1}, {store.AccountFilter{Count: 10, Offset: 1}, 1},
			{store.AccountFilter{Query: "LOVE", Count: 10}, 1}, {store.AccountFilter{Query: "%", Count: 10}, 1}, {store.AccountFilter{Query: "müller@", Count: 10}, 1},
			{store.AccountFilter{Directories: []string{f.Directory.ID, "other"}, Count: 10}, 2}, {store.AccountFilter{Directories: []string{"other"}, Count: 10}, 0},
		} {
			filter, n := c.filter, c.n
			do(t, s, func(ctx context.Context, tx *store.Tx) error {
				got, err := tx.Accounts(ctx, f.Env.ID, filter)
				if len(got) != n {
					t.Errorf("%+v lists %d accounts, want %d", filter, len(got), n)
				}
				return err
			})
		}
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			a, err := tx.AccountOf(ctx, f.Env.ID, f.Directory.ID, "1")
			if err != nil {
				return err
			}
			groups, err := tx.AccountGroups(ctx, f.Env.ID, a.ID)
			if want := []protocol.Group{{ID: "g2", Name: "Board"}, {ID: "g1", Name: "Staff", Kind: "security"}}; !reflect.DeepEqual(groups, want) {
				t.Errorf("groups %v, want %v", groups, want)
			}
			return err
		})
	})
}

// A rewritten account keeps its id, and loses identifiers and groups that are gone.
func TestRewrittenAccountKeepsItsIDAndNothingOld(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		f := storetest.Seed(t, s)
		f.Accounts(t, s, protocol.Account{ID: "1", Name: "Old", Identifiers: []string{"old"}, Groups: []protocol.Group{{ID: "g"}}})
		var before store.Account
		do(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
			before, err = tx.AccountOf(ctx, f.Env.ID, f.Directory.ID, "1")
			return errors.Join(err, tx.SetSubject(ctx, f.Env.ID, before.ID, "subject"))
		})
		f.Accounts(t, s, protocol.Account{ID: "1", Name: "New", Identifiers: []string{"new"}})
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			after, err := tx.Account(ctx, f.Env.ID, before.ID)
			if after.Name != "New" || after.Subject != "subject" {
				t.Errorf("%+v", after)
			}
			old, errOld := tx.FindAccounts(ctx, f.Env.ID, "old")
			now, errNow := tx.FindAccounts(ctx, f.Env.ID, "new")
			groups, errGroups := tx.AccountGroups(ctx, f.Env.ID, before.ID)
			if len(old) != 0 || len(now) != 1 || len(groups) != 0 {
				t.Errorf("old %v, new %v, groups %v", old, now, groups)
			}
			return errors.Join(err, errOld, errNow, errGroups)
		})
	})
}

func TestSweptAccountIsHiddenKeptThirtyDaysAndComesBack(t *testing.T) {
	eachClocked(t, func(t *testing.T, s *store.Store, c *clock) {
		f := storetest.Seed(t, s)
		ada := protocol.Account{ID: "1", Name: "Ada", Identifiers: []string{"ada"}}
		f.Accounts(t, s, ada)
		var a store.Account
		do(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
			a, err = tx.AccountOf(ctx, f.Env.ID, f.Directory.ID, "1")
			return errors.Join(err, tx.SweepAccounts(ctx, f.Env.ID, f.Directory.ID, []string{"1"}))
		})
		purge := func(n int64) {
			t.Helper()
			do(t, s, func(ctx context.Context, tx *store.Tx) error {
				got, err := tx.PurgeAccounts(ctx)
				if got != n {
					t.Errorf("purged %d, want %d", got, n)
				}
				return err
			})
		}
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			found, err := tx.FindAccounts(ctx, f.Env.ID, "ada")
			listed, errList := tx.Accounts(ctx, f.Env.ID, store.AccountFilter{Count: 10})
			if len(found)+len(listed) != 0 {
				t.Errorf("found %v, listed %v", found, listed)
			}
			return errors.Join(err, errList)
		})
		want(t, s, store.ErrNotFound, func(ctx context.Context, tx *store.Tx) error { _, err := tx.Account(ctx, f.Env.ID, a.ID); return err })
		want(t, s, store.ErrNotFound, func(ctx context.Context, tx *store.Tx) error { _, err := tx.AccountByID(ctx, a.ID); return err })
		c.pass(29 * 24 * time.Hour)
		purge(0)
		f.Accounts(t, s, ada)
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			back, err := tx.Account(ctx, f.Env.ID, a.ID)
			return errors.Join(err, tx.SweepAccounts(ctx, back.Env, back.Directory, []string{"1"}))
		})
		c.pass(31 * 24 * time.Hour)
		purge(1)
		if rows := accountRows(t, s); rows != [3]int{} {
			t.Errorf("a purged account left %v rows", rows)
		}
		f.Accounts(t, s, ada)
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			fresh, err := tx.AccountOf(ctx, f.Env.ID, f.Directory.ID, "1")
			if fresh.ID == a.ID {
				t.Error("a purged account's id was used again")
			}
			return err
		})
	})
}

func TestConsoleLinkOpensOneSession(t *testing.T) {
	eachClocked(t, func(t *testing.T, s *store.Store, c *clock) {
		f := storetest.Seed(t, s)
		link := store.HashToken("link")
		do(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.CreateConsoleLink(ctx, f.Org.ID, link) })
		do(t, s, func(ctx context.Context, tx *store.Tx) error {
			org, err := tx.RedeemConsoleLink(ctx, link, store.HashToken("cookie"))
			if org != f.Org.ID {
				t.Errorf("org %s", org)
			}
			return err
		})
		want(t, s, store.ErrNotFound, func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.RedeemConsoleLink(ctx, link, store.HashToken("cookie2"))
			return err
		})
		session := func(ctx context.Context, tx *store.Tx) error {
			_, err := tx.ConsoleSession(ctx, store.HashToken("cookie"))
			return err
		}
		do(t, s, session)
		c.pass(13 * time.Hour)
		want(t, s, store.ErrNotFound, session)
		do(t, s, func(ctx context.Context, tx *store.Tx) error { return tx.PurgeConsole(ctx) })
	})
}

func TestHubKeyIsMadeOnceAndTheSameForEveryNode(t *testing.T) {
	storetest.EachConfig(t, func(t *testing.T, c store.Config) {
		s := storetest.Open(t, c)
		n := byte(0)
		generate := func() (store.HubKey, error) {
			n++
			return store.HubKey{Public: []byte{n}, Private: []byte{n, n}}, nil
		}
		first, err := s.HubKey(t.Context(), store.HubKeyNoise, generate)
		if err != nil {
			t.Fatal(err)
		}
		other := storetest.Open(t, c)
		second, err := other.HubKey(t.Context(), store.HubKeyNoise, generate)
		if err != nil || !reflect.DeepEqual(first, second) || n != 1 {
			t.Fatalf("%v then %v after %d makings: %v", first, second, n, err)
		}
	})
}

package api

import (
	"context"
	"crypto/sha256"
	"encoding/base64"
	"encoding/json"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/directory"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/protocol"
	"github.com/postern-id/postern/protocol/match"
)

func TestAnAccountIsBoundToAPersonOfItsEnvironmentAndFreedAgain(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st := start(t, s)
		path := "/api/accounts/alice@mine.test"
		st.want(t, 204, "PATCH", path, `{"subject":"`+st.mine.subject+`"}`)
		if got := st.want(t, 200, "GET", path, ""); got.member(t, "subject") != st.mine.subject {
			t.Error(got.body)
		}
		if got := st.want(t, 200, "GET", "/api/accounts?verified=true", ""); strings.Count(got.body, `"id":`) != 1 {
			t.Errorf("bound accounts: %s", got.body)
		}
		for _, subject := range []string{st.other.subject, "nobody@" + st.mine.Env.ID + ".postern", "x"} {
			if got := st.want(t, 400, "PATCH", path, `{"subject":"`+subject+`"}`); !strings.Contains(got.body, "subject: ") {
				t.Error(got.body)
			}
		}
		st.want(t, 204, "PATCH", path, `{}`)
		if got := st.want(t, 200, "GET", path, ""); got.member(t, "subject") != st.mine.subject {
			t.Errorf("what was left out changed: %s", got.body)
		}
		st.want(t, 204, "PATCH", path, `{"subject":""}`)
		if got := st.want(t, 200, "GET", path, ""); got.member(t, "subject") != nil {
			t.Error(got.body)
		}
	})
}

// born asks the hub's own comparison, as a recovery does.
func (st *stack) born(t *testing.T, date string) match.Reason {
	t.Helper()
	a, err := store.Get(t.Context(), st.store, func(tx *store.Tx) (store.Account, error) {
		return tx.Account(t.Context(), st.mine.Env.ID, st.mine.account.ID)
	})
	if err != nil {
		t.Fatal(err)
	}
	grade, reason, err := directory.Judge(t.Context(), st.store, a, match.NameAndBirthDate, match.Document{Given: "Alice", Family: "mine", BirthDate: date})
	if err != nil || (grade == match.Match) != (reason == match.Agrees) {
		t.Fatal(grade, reason, err)
	}
	return reason
}

func TestT16_ABirthDateOfTheAPIIsHashedAndTheDirectorysStillCounts(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st := start(t, s)
		path := "/api/accounts/" + st.mine.account.ID
		if got := st.born(t, "1985-03-09"); got != match.BirthDateNone {
			t.Errorf("before: %s", got)
		}
		for _, form := range []string{
			"1985-03-09",
			"$sha256$xGeeJIEKWhTDQ7I8nyX3JoFBTyNlPRRdO5nq0sHOuZA", // of another date
			"$sha256$c2FsdHNhbHRzYWx0$" + sumOf("saltsaltsalt1985-03-09"),
			"$sha256$" + sumOf("1985-03-09"),
		} {
			st.want(t, 204, "PATCH", path, `{"birth_date":"`+form+`"}`)
			if got := st.want(t, 200, "GET", path, ""); got.member(t, "have_birth_date") != true {
				t.Error(got.body)
			}
			wrong := strings.HasPrefix(form, "$sha256$xG")
			if got := st.born(t, "1985-03-09"); (got == match.Agrees) == wrong {
				t.Errorf("%s: %q", form, got)
			}
			if got := st.born(t, "1985-03-10"); got != match.BirthDateOther {
				t.Errorf("%s: another day: %q", form, got)
			}
		}
		st.tx(t, func(ctx context.Context, tx *store.Tx) error { // what the directory says must agree besides
			key := []byte("0123456789abcdef")
			if err := tx.SetBirthDateKey(ctx, st.mine.Env.ID, st.mine.Directory.ID, key); err != nil {
				return err
			}
			_, err := tx.Exec(ctx, "UPDATE accounts SET birth_date = $2 WHERE id = $1", st.mine.account.ID, protocol.BirthDateHash(key, "mine-1", "1990-01-01"))
			return err
		})
		for _, date := range []string{"1985-03-09", "1990-01-01"} {
			if got := st.born(t, date); got != match.BirthDateOther {
				t.Errorf("%s agrees with one of two: %q", date, got)
			}
		}
		st.want(t, 204, "PATCH", path, `{"birth_date":""}`)
		if got := st.born(t, "1990-01-01"); got != match.Agrees {
			t.Errorf("the directory's alone: %q", got)
		}
		leaves := string(st.leaves(t))
		if strings.Contains(leaves, "1985-03-09") || strings.Contains(leaves, "$sha256$") || !strings.Contains(leaves, "account_updated") {
			t.Errorf("the log says when somebody was born: %s", leaves)
		}
	})
}

func TestBirthDatesThatAreNoneAreRefused(t *testing.T) {
	st := lite(t)
	for _, text := range []string{"1985-13-01", "9.3.1985", "1985", "$sha256$short", "$md5$abc", "2999-01-01", "$sha256$c2FsdA$" + sumOf("x"), strings.Repeat("1", 300)} {
		if got := st.want(t, 400, "PATCH", "/api/accounts/"+st.mine.account.ID, `{"birth_date":"`+text+`"}`); !strings.Contains(got.body, "birth_date: ") || strings.Contains(got.body, text) {
			t.Errorf("%s: %s", text, got.body)
		}
	}
}

func TestManyAccountsAreChangedEachForItself(t *testing.T) {
	storetest.Each(t, func(t *testing.T, s *store.Store) {
		st := start(t, s)
		st.mine.Accounts(t, s, protocol.Account{ID: "twin", Identifiers: []string{"alice@mine.test"}, Name: "Alice the other"}, protocol.Account{ID: "bob", Name: "Bob"})
		got := st.do(t, st.mine.key, "PATCH", "/api/accounts", `{"accounts":[
			{"id":"mine-1","subject":"`+st.mine.subject+`","birth_date":"1985-03-09"},
			{"id":"alice@mine.test","birth_date":"1985-03-09"},
			{"id":"nobody","subject":""},
			{"id":"bob","subject":"`+st.other.subject+`"},
			{"id":"`+st.other.account.ID+`","birth_date":"1985-03-09"}]}`)
		var out accountResults
		if err := json.Unmarshal([]byte(got.body), &out); err != nil || got.status != 200 || len(out.Results) != 5 {
			t.Fatal(got.status, got.body, err)
		}
		for i, want := range []accountResult{{"mine-1", 204, ""}, {"alice@mine.test", 409, ""}, {"nobody", 404, ""}, {"bob", 400, ""}, {st.other.account.ID, 404, ""}} {
			r := out.Results[i]
			if r.ID != want.ID || r.Status != want.Status || (r.Error == "") != (want.Status == 204) {
				t.Errorf("%+v; want %+v", r, want)
			}
		}
		for name, want := range map[string]any{"mine-1": true, "bob": false} {
			if a := st.do(t, st.mine.key, "GET", "/api/accounts/"+name, ""); a.member(t, "have_birth_date") != want {
				t.Error(a.body)
			}
		}
		for body, want := range map[string]string{`{}`: "accounts: want 1", `{"accounts":[{"id":"a","name":"b"}]}`: "name: there is no such member"} {
			if got := st.want(t, 400, "PATCH", "/api/accounts", body); !strings.Contains(got.body, want) {
				t.Errorf("%s: %s", body, got.body)
			}
		}
	})
}

func TestAccountsAreListedByDirectories(t *testing.T) {
	st := lite(t)
	one, two := "directory="+st.mine.Directory.ID, "directory="+st.other.Directory.ID
	for query, want := range map[string]int{one: 1, two: 1, one + "&" + two: 2, one + "&offset=0": 1, one + "&offset=1": 0} {
		if got := st.want(t, 200, "GET", "/api/accounts?"+query, ""); strings.Count(got.body, `"id":`) != want {
			t.Errorf("%s: %s; want %d", query, got.body, want)
		}
	}
	st.want(t, 400, "GET", "/api/accounts?"+one+"&directory="+st.foreign.Directory.ID, "")
}

// sumOf is the hash of the public form of a birth date.
func sumOf(text string) string {
	sum := sha256.Sum256([]byte(text))
	return base64.RawStdEncoding.EncodeToString(sum[:])
}

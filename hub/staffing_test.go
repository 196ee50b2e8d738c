package hub

import (
	"errors"
	"log/slog"
	"strings"
	"testing"

	"github.com/postern-id/postern/hub/staff"
	"github.com/postern-id/postern/hub/store"
)

func TestTheOperatorInvitesListsAndRemovesStaff(t *testing.T) {
	cfg := Config{DataDir: t.TempDir(), PublicURL: "https://id.example.com", Log: slog.New(slog.DiscardHandler)}
	ann := store.Staff{Name: "Ann", Mail: "Ann@example.com", Role: staff.Admin}
	if _, err := InviteStaff(t.Context(), cfg, ann, ""); err == nil {
		t.Error("invited before anything is installed")
	}
	if _, err := Install(t.Context(), cfg, "Example", "production"); err != nil {
		t.Fatal(err)
	}
	link, err := InviteStaff(t.Context(), cfg, ann, "")
	if err != nil || !strings.HasPrefix(link.Reveal(), "https://id.example.com/console/join#") {
		t.Fatalf("%s, %v", link.Reveal(), err)
	}
	if _, err := InviteStaff(t.Context(), cfg, store.Staff{Name: "Bob", Mail: "bob@example.com"}, "recover.example.com"); !errors.Is(err, ErrNoPlace) {
		t.Errorf("at a domain that nobody proved: %v", err)
	}
	if _, err := InviteStaff(t.Context(), cfg, store.Staff{Name: "Bob", Mail: "bob@example.com"}, ""); !errors.Is(err, staff.ErrRole) {
		t.Errorf("to the console without a role: %v", err)
	}
	list, err := Staff(t.Context(), cfg)
	if err != nil || len(list) != 1 || list[0].Mail != "ann@example.com" || list[0].Role != staff.Admin {
		t.Fatalf("%+v, %v", list, err)
	}
	if err := ChangeStaff(t.Context(), cfg, list[0].ID, staff.Change{Envs: []string{"nowhere"}}); !errors.Is(err, staff.ErrEnvs) {
		t.Errorf("an environment that there is not: %v", err)
	}
	if err := ChangeStaff(t.Context(), cfg, list[0].ID, staff.Change{Role: staff.User, Envs: []string{environmentOf(t, cfg)}}); err != nil {
		t.Fatal(err)
	}
	if list, err = Staff(t.Context(), cfg); err != nil || list[0].Role != staff.User || list[0].Reaches("another") || !list[0].Reaches(environmentOf(t, cfg)) {
		t.Errorf("%+v, %v", list, err)
	}
	if err := ChangeStaff(t.Context(), cfg, list[0].ID, staff.Change{Role: staff.Owner}); !errors.Is(err, staff.ErrOwner) {
		t.Errorf("an owner of one environment: %v", err)
	}
	if err := RemoveStaff(t.Context(), cfg, list[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := RemoveStaff(t.Context(), cfg, list[0].ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

// environmentOf is the one that Install made.
func environmentOf(t *testing.T, cfg Config) string {
	t.Helper()
	s, org, err := openOrganisation(t.Context(), cfg)
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	all, err := store.Get(t.Context(), s, func(tx *store.Tx) ([]store.Environment, error) { return tx.Environments(t.Context(), org) })
	if err != nil || len(all) != 1 {
		t.Fatal(all, err)
	}
	return all[0].ID
}

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
	if err := RemoveStaff(t.Context(), cfg, list[0].ID); err != nil {
		t.Fatal(err)
	}
	if err := RemoveStaff(t.Context(), cfg, list[0].ID); !errors.Is(err, store.ErrNotFound) {
		t.Errorf("removed twice: %v", err)
	}
}

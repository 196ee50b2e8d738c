//go:build interop

package interop

import (
	"bytes"
	"context"
	"crypto/hmac"
	"crypto/sha256"
	"encoding/base64"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"net/netip"
	"net/url"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"github.com/postern-id/postern/hub/storage"
	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/store/storetest"
	"github.com/postern-id/postern/hub/webhook"
	"github.com/postern-id/postern/internal/testenv"
	"github.com/postern-id/postern/protocol"
)

// serve runs a server from npm until the test ends, and waits until it listens.
func serve(t *testing.T, port int, name string, args ...string) {
	t.Helper()
	cmd := exec.Command(name, args...)
	var says bytes.Buffer
	cmd.Stdout, cmd.Stderr, cmd.Dir = &says, &says, "storage"
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = cmd.Process.Signal(os.Interrupt)
		_ = cmd.Wait() // ended by the signal
		if t.Failed() {
			t.Logf("%s says: %.3000s", name, says.String())
		}
	})
	for end := time.Now().Add(30 * time.Second); ; {
		conn, err := net.DialTimeout("tcp", fmt.Sprintf("127.0.0.1:%d", port), time.Second)
		if err == nil {
			_ = conn.Close()
			return
		}
		select {
		case <-time.After(50 * time.Millisecond):
		case <-t.Context().Done():
		}
		if time.Now().After(end) {
			t.Fatalf("%s did not start", name)
		}
	}
}

// The account and key that Azurite has by itself; both are public.
const (
	azuriteAccount = "devstoreaccount1"
	azuriteKey     = "Eby8vdM02xNOcqFlqUwJPLlmEtlCDXJ1OUzFT50uSRZ6IFsuFq2UVErCz4I6tq/K1SZFPTOtr/KBHBeksoGMGw=="
)

// containerOf makes a container and returns its address with an account signature, made
// as the documents of Azure say (service version 2020-08-04).
func containerOf(t *testing.T, port int, name, permissions string) string {
	t.Helper()
	key, err := base64.StdEncoding.DecodeString(azuriteKey)
	if err != nil {
		t.Fatal(err)
	}
	end := time.Now().Add(time.Hour).UTC().Format("2006-01-02T15:04:05Z")
	mac := hmac.New(sha256.New, key)
	fmt.Fprintf(mac, "%s\n%s\nb\nco\n\n%s\n\nhttps,http\n2020-08-04\n", azuriteAccount, permissions, end)
	q := url.Values{"sv": {"2020-08-04"}, "ss": {"b"}, "srt": {"co"}, "sp": {permissions}, "se": {end}, "spr": {"https,http"}, "sig": {base64.StdEncoding.EncodeToString(mac.Sum(nil))}}
	return fmt.Sprintf("http://127.0.0.1:%d/%s/%s?%s", port, azuriteAccount, name, q.Encode())
}

// put sends one request without a body, and wants one of these statuses.
func put(t *testing.T, address string, want int) {
	t.Helper()
	req, err := http.NewRequestWithContext(t.Context(), "PUT", address, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("x-ms-version", "2020-08-04")
	res, err := http.DefaultClient.Do(req)
	if err != nil {
		t.Fatal(err)
	}
	_ = res.Body.Close()
	if res.StatusCode != want {
		t.Fatalf("PUT %s: %s", strings.Split(address, "?")[0], res.Status)
	}
}

func TestPicturesGoToAnS3CompatibleServer(t *testing.T) {
	port := testenv.FreePort(t)
	serve(t, port, "node_modules/.bin/s3rver", "-d", t.TempDir(), "-a", "127.0.0.1", "-p", fmt.Sprint(port), "--configure-bucket", "evidence")
	set := storage.Settings{S3EU: "evidence", Key: "S3RVER", Secret: "S3RVER", Endpoint: fmt.Sprintf("http://127.0.0.1:%d", port)}
	other := set
	other.Key = "another" // the server knows its keys, and does not compute signatures of version 4
	nowhere := set
	nowhere.S3EU = "nowhere"
	keeps(t, set, map[string]storage.Settings{"an unknown key": other, "no such bucket": nowhere})
}

func TestPicturesGoToAzureBlobStorage(t *testing.T) {
	port := testenv.FreePort(t)
	serve(t, port, "node_modules/.bin/azurite-blob", "--location", t.TempDir(), "--blobHost", "127.0.0.1", "--blobPort", fmt.Sprint(port), "--skipApiVersionCheck", "--disableTelemetry", "--silent")
	address := containerOf(t, port, "evidence", "rwdlc")
	put(t, address+"&restype=container", http.StatusCreated)
	keeps(t, storage.Settings{AzureEU: address}, map[string]storage.Settings{
		"a signature that may only read": {AzureEU: containerOf(t, port, "evidence", "r")}, "no such container": {AzureEU: containerOf(t, port, "nowhere", "rwdlc")},
		"a wrong signature": {AzureEU: strings.Replace(address, "sp=rwdlc", "sp=rwdlac", 1)},
	})
}

// keeps drives a real service through the life of a picture, by the hub's own transport.
func keeps(t *testing.T, set storage.Settings, wrong map[string]storage.Settings) {
	s := storetest.Open(t, storetest.SQLite(t))
	hooks, err := webhook.New(webhook.Config{Store: s, Log: slog.New(slog.NewTextHandler(t.Output(), nil)), Private: []netip.Prefix{netip.MustParsePrefix("127.0.0.0/8")}})
	if err != nil {
		t.Fatal(err)
	}
	objects := storage.New(storage.Config{Store: s, Transport: hooks.Transport(storage.MaxAnswer), Log: slog.New(slog.NewTextHandler(t.Output(), nil))})
	if got := objects.Test(t.Context(), set); got != "" {
		t.Fatalf("test: %s", got)
	}
	for what, w := range wrong {
		got := objects.Test(t.Context(), w)
		if t.Logf("%s: %s", what, got); got == "" || strings.Contains(got, "sig=") {
			t.Errorf("%s: %q", what, got)
		}
	}
	picture := bytes.Repeat([]byte("a face on paper. "), 100_000) // 1.7 MB
	f, id := storetest.Seed(t, s), store.NewID()
	change(t, s, func(ctx context.Context, tx *store.Tx) error {
		r := store.Review{Env: f.Env.ID, ID: id, Verification: "v", Directory: f.Directory.ID, Person: "p", State: store.ReviewOpen, Round: 1, Reviewers: 1, EndsAt: tx.Now().Add(time.Hour)}
		return errors.Join(tx.AddReview(ctx, &r), tx.PutReviewImage(ctx, f.Env.ID, id, "front", picture), tx.SetStorage(ctx, f.Env.ID, []byte(store.JSON(set))))
	})
	if err := objects.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	var away *store.Elsewhere
	change(t, s, func(ctx context.Context, tx *store.Tx) error {
		if _, err := tx.ReviewImage(ctx, f.Env.ID, id, "front"); !errors.As(err, &away) {
			t.Errorf("the picture is still here: %v", err)
		}
		return nil
	})
	if away == nil {
		t.FailNow()
	}
	sealed, err := objects.Object(t.Context(), f.Env.ID, away.Storage, away.Object)
	if err != nil || bytes.Contains(sealed, []byte("a face on paper")) {
		t.Fatalf("%d bytes, %v", len(sealed), err)
	}
	change(t, s, func(ctx context.Context, tx *store.Tx) error {
		got, err := tx.OpenReviewImage(ctx, f.Env.ID, id, "front", away.Object, sealed)
		if !bytes.Equal(got, picture) {
			t.Errorf("%d bytes came back", len(got))
		}
		return errors.Join(err, tx.EraseReview(ctx, f.Env.ID, id))
	})
	if err := objects.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	if _, err := objects.Object(t.Context(), f.Env.ID, away.Storage, away.Object); !errors.Is(err, storage.ErrGone) {
		t.Errorf("after the case was erased: %v", err)
	}
	// What was asked for and is not there counts as a failure of the storage, which then rests.
	change(t, s, func(ctx context.Context, tx *store.Tx) error {
		return tx.StorageResult(ctx, f.Env.ID, away.Storage, "")
	})
	shares(t, s, f, objects)
}

// shares drives the service through the life of a picture that a person shares, and of the
// photo of an account.
func shares(t *testing.T, s *store.Store, f storetest.Fixture, objects *storage.Storage) {
	env, face := f.Env.ID, bytes.Repeat([]byte("a face. "), 100_000)
	f.Accounts(t, s, protocol.Account{ID: "1", Name: "Ada"})
	var ada store.Account
	change(t, s, func(ctx context.Context, tx *store.Tx) (err error) {
		ada, err = tx.AccountOf(ctx, env, f.Directory.ID, "1")
		return errors.Join(err, tx.AddPerson(ctx, env, "ann"), tx.PutPicture(ctx, env, "ann", store.PictureSelfie, face), tx.SetAccountPhoto(ctx, env, ada.ID, "as sent", face))
	})
	if err := objects.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	looks := map[string]func(*store.Tx) ([]byte, error){
		"a selfie": func(tx *store.Tx) ([]byte, error) {
			body, _, err := tx.Picture(t.Context(), env, "ann", store.PictureSelfie)
			return body, err
		},
		"a photo": func(tx *store.Tx) ([]byte, error) { return tx.AccountPhoto(t.Context(), env, ada.ID) },
	}
	there := map[string]*store.Elsewhere{}
	for what, look := range looks {
		away := (*store.Elsewhere)(nil)
		if _, err := store.Get(t.Context(), s, look); !errors.As(err, &away) {
			t.Fatalf("%s is still here: %v", what, err)
		}
		there[what] = away
		got, err := store.Fetch(t.Context(), s, objects, look)
		if err != nil || !bytes.Equal(got, face) {
			t.Errorf("%s: %d bytes came back, %v", what, len(got), err)
		}
	}
	change(t, s, func(ctx context.Context, tx *store.Tx) error {
		return errors.Join(tx.ErasePerson(ctx, env, "ann"), tx.RemoveAccountPhoto(ctx, env, ada.ID))
	})
	if err := objects.Round(t.Context()); err != nil {
		t.Fatal(err)
	}
	for what, away := range there {
		if _, err := objects.Object(t.Context(), env, away.Storage, away.Object); !errors.Is(err, storage.ErrGone) {
			t.Errorf("%s that is gone here: %v", what, err)
		}
	}
}

func change(t *testing.T, s *store.Store, fn func(context.Context, *store.Tx) error) {
	t.Helper()
	if err := s.Tx(t.Context(), func(tx *store.Tx) error { return fn(t.Context(), tx) }); err != nil {
		t.Fatal(err)
	}
}

package api

import (
	"context"
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"path"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/store"
	"github.com/postern-id/postern/hub/verify/capture"
)

// Bounds of archives. They hold before anything is unpacked.
const (
	maxArchive  = 500 << 20 // bytes, as the public reference has it
	maxPhotos   = 10_000    // files of one archive: the answer names each
	maxEntries  = 25_000    // with folders, and with what a Mac adds: as many again as there are photos
	maxUnpacked = 2 << 30   // bytes of all files, so that entries which share their bytes end
	archives    = 2         // on the disk of a node at once
	// of one organisation: the other place is for the others
	archivesOfOrg = 1
)

// photoResults is the wire type BulkUploadAccountPhotosResponse.
type photoResults struct {
	Files []photoResult `json:"files"`
}

// photoResult is the wire type BulkUploadAccountPhotosResponseItem. Status is 200, 400 for
// what is no picture, 404 without such an account, 409 with several, 422 for faces, 503
// where the analyzer, or the storage in which a selfie lies, gave no answer.
type photoResult struct {
	Filename    string   `json:"filename"`
	Account     string   `json:"account_id,omitempty"`
	Identifiers []string `json:"directory_identifiers,omitempty"`
	ImmutableID string   `json:"directory_immutable_identifier,omitempty"`
	Status      int      `json:"status"`
	Error       string   `json:"error,omitempty"`
}

// zipBody is an action whose body is an archive, which before reads.
func zipBody(before func(context.Context, *call) error) action {
	return action{what: before, media: []string{"application/zip"}, stream: true, before: before,
		run: func(_ context.Context, c *call, _ *store.Tx) (any, error) { return c.body, nil }}
}

// setPhotos gives photos to accounts of a directory, each for itself and with a record of
// its own: what is refused of one does not hold the others up.
func setPhotos(ctx context.Context, c *call) error {
	id := c.text("directory")
	if id == "" {
		return bad("directory: say of which directory the accounts are")
	}
	err := c.api.Store.Read(ctx, func(tx *store.Tx) error { return c.findDirectory(ctx, tx, id) })
	if err != nil {
		return as(err, store.ErrNotFound, bad("directory: not a directory that this key is for"))
	}
	if !c.api.archives.take(c.key.Org) {
		c.w.Header().Set("Retry-After", "60")
		return errTooMany
	}
	defer c.api.archives.leave(c.key.Org)
	file, size, err := c.spool()
	if err != nil {
		return err
	}
	defer func() { _ = errors.Join(file.Close(), os.Remove(file.Name())) }()
	c.recorded = true
	c.body, err = c.unpack(ctx, file, size)
	return as(err, errZip, bad(plainError(errZip)))
}

// spool writes the body to a file of its own.
func (c *call) spool() (*os.File, int64, error) {
	file, err := os.CreateTemp("", "postern-photos-*.zip")
	if err != nil {
		return nil, 0, err
	}
	_ = os.Remove(file.Name()) // where a name can go first, nothing is left by a hub that is killed
	size, err := io.Copy(file, http.MaxBytesReader(c.w, c.r.Body, c.row.body))
	if err == nil {
		return file, size, nil
	}
	_ = errors.Join(file.Close(), os.Remove(file.Name()))
	var tooLong *http.MaxBytesError
	switch {
	case errors.As(err, &tooLong):
		return nil, 0, bad(fmt.Sprintf("the archive has more than %d MB; send it in parts", maxArchive>>20))
	case c.r.Context().Err() != nil:
		return nil, 0, c.r.Context().Err()
	}
	return nil, 0, bad("the body ended early")
}

// unpack takes the files of an archive one by one.
func (c *call) unpack(ctx context.Context, file io.ReaderAt, size int64) (photoResults, error) {
	out, left, entries := photoResults{Files: []photoResult{}}, int64(maxUnpacked), 0
	var failed error
	err := zipEntries(file, size, func(f zipFile) bool {
		if entries++; entries > maxEntries {
			failed = bad(fmt.Sprintf("the archive has more than %d entries, folders too; those before it were taken: send the others in parts", maxEntries))
			return false
		}
		if strings.HasSuffix(f.name, "/") || strings.HasPrefix(f.name, "__MACOSX/") { // folders, and what a Mac adds
			return true
		}
		if left -= f.unpacked; left < 0 || len(out.Files) == maxPhotos {
			failed = bad(fmt.Sprintf("the archive has more than %d files, or more than %d MB inside; those before it were taken: send the others in parts", maxPhotos, maxUnpacked>>20))
			return false
		}
		var r photoResult
		if r, failed = c.onePhoto(ctx, file, size, f); failed == nil {
			out.Files = append(out.Files, r)
		}
		return failed == nil
	})
	return out, errors.Join(err, failed)
}

// extensions are those of the public reference and of its example.
var extensions = []string{".jpg", ".jpeg", ".png"}

// onePhoto gives a photo to the account that its file is named by. The error is that of
// the whole request.
func (c *call) onePhoto(ctx context.Context, file io.ReaderAt, size int64, f zipFile) (r photoResult, err error) {
	r.Filename = f.name
	if f.long {
		return r.refused(bad(fmt.Sprintf("the file's name has more than %d bytes, of which these are the first", maxFileName)))
	}
	base := path.Base(strings.ReplaceAll(f.name, "\\", "/"))
	kind := path.Ext(base)
	if !slices.Contains(extensions, strings.ToLower(kind)) {
		return r.refused(bad("a photo is named by its account, with " + strings.Join(extensions, ", ") + " after it"))
	}
	a, err := c.accountOfPhoto(ctx, strings.TrimSuffix(base, kind))
	if err != nil {
		return r.refused(err)
	}
	r.Account, r.Identifiers, r.ImmutableID = a.ID, a.Identifiers, a.ImmutableID
	raw, err := f.read(file, size, capture.MaxImage)
	if err != nil {
		return r.refused(err)
	}
	clean, err := c.cleaned(ctx, raw)
	if err != nil {
		return r.refused(err)
	}
	if err := c.checkFace(ctx, a, clean); err != nil {
		return r.refused(err)
	}
	sum := sha256.Sum256(raw)
	return r.refused(c.keepPhoto(ctx, a, hex.EncodeToString(sum[:]), clean))
}

// accountOfPhoto finds the account of the directory that a file is named by.
func (c *call) accountOfPhoto(ctx context.Context, id string) (a store.Account, err error) {
	err = c.api.Store.Read(ctx, func(tx *store.Tx) error {
		found, err := accountsNamed(ctx, tx, []store.Environment{c.env}, id)
		if err != nil {
			return err
		}
		if own, err := tx.AccountByID(ctx, id); err == nil {
			found = append(found, own)
		} else if !errors.Is(err, store.ErrNotFound) {
			return err
		}
		found = slices.DeleteFunc(found, func(a store.Account) bool { return a.Directory != c.directory.ID })
		switch len(found) {
		case 0:
			return store.ErrNotFound
		case 1:
			a = found[0]
			return nil
		}
		return errAmbiguous
	})
	return a, err
}

// keepPhoto keeps one photo and its record, by a key that still may.
func (c *call) keepPhoto(ctx context.Context, a store.Account, sum string, clean []byte) error {
	return c.api.Store.Tx(ctx, func(tx *store.Tx) error {
		if err := c.authenticate(ctx, tx); err != nil {
			return err
		}
		if !roleReaches(c.key.Role, c.row.role) || !c.key.Admits(a.Env) {
			return errForbidden
		}
		if err := tx.SetAccountPhoto(ctx, a.Env, a.ID, sum, clean); err != nil {
			return err
		}
		c.account = a
		c.photoDetail("set", sum)
		return c.append(ctx, tx, nil)
	})
}

// refused is what came of a photo; an error that is not the caller's ends it all.
func (r photoResult) refused(err error) (photoResult, error) {
	var lines badRequest
	var face unfit
	switch {
	case err == nil:
		r.Status = http.StatusOK
		return r, nil
	case errors.As(err, &lines):
		r.Status, r.Error = http.StatusBadRequest, lines[0]
	case errors.Is(err, errBomb), errors.Is(err, errFile):
		r.Status, r.Error = http.StatusBadRequest, plainError(err)
	case errors.As(err, &face):
		r.Status, r.Error = http.StatusUnprocessableEntity, face.Error()
	case errors.Is(err, store.ErrNotFound):
		r.Status, r.Error = http.StatusNotFound, "account not found"
	case errors.Is(err, errAmbiguous):
		r.Status, r.Error = http.StatusConflict, "several accounts bear this identifier; name the file by the id of one"
	case errors.Is(err, errAnalyzer):
		r.Status, r.Error = http.StatusServiceUnavailable, plainError(err)
	case errors.Is(err, store.ErrElsewhere):
		r.Status, r.Error = http.StatusServiceUnavailable, "the storage of this environment did not give the person's selfie back; try again"
	default:
		return r, err
	}
	return r, nil
}

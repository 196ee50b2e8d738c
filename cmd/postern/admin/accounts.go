package admin

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	"github.com/spf13/cobra"
)

// accountOut is what the API says of an account.
type accountOut struct {
	ID, Name, Subject, Directory string
	Names                        []string `json:"directory_identifiers"`
	Disabled                     bool
	Photo                        *struct{}
}

func (f *flags) listAccounts() *cobra.Command {
	var q, directory string
	var verified bool
	var count, offset int
	c := leaf("list", "Lists accounts", `  postern account list --query ada
  postern account list --directory 77aa… --verified --json`, cobra.NoArgs,
		func(c *cobra.Command, _ []string) error {
			p := url.Values{"count": {strconv.Itoa(count)}, "offset": {strconv.Itoa(offset)}}
			for name, value := range map[string]string{"q": q, "directory": directory, "env": f.env} {
				if value != "" {
					p.Set(name, value)
				}
			}
			if c.Flags().Changed("verified") {
				p.Set("verified", strconv.FormatBool(verified))
			}
			return f.ask(c, "GET", "/api/accounts?"+p.Encode(), nil, printAccounts)
		})
	fl := c.Flags()
	fl.StringVar(&q, "query", "", "part of a name or an identifier")
	fl.StringVar(&directory, "directory", "", "id of a directory")
	fl.BoolVar(&verified, "verified", false, "only those that are bound to a person, or with =false only the others")
	fl.IntVar(&count, "count", 50, "how many")
	fl.IntVar(&offset, "offset", 0, "how many to leave out first")
	return c
}

func printAccounts(w io.Writer, answer []byte) error {
	var list struct {
		Accounts []accountOut
		Next     int `json:"next_offset"`
	}
	if err := json.Unmarshal(answer, &list); err != nil {
		return err
	}
	rows := [][]string{{"ID", "NAME", "NAMES", "BOUND", "PHOTO", "DISABLED"}}
	for _, a := range list.Accounts {
		rows = append(rows, []string{a.ID, a.Name, strings.Join(a.Names, " "), yes(a.Subject != ""), yes(a.Photo != nil), yes(a.Disabled)})
	}
	if err := table(w, rows); err != nil || list.Next == 0 {
		return err
	}
	_, err := fmt.Fprintf(w, "the next ones: --offset %d\n", list.Next)
	return err
}

func (f *flags) setAccount() *cobra.Command {
	var subject, born string
	c := leaf("set ACCOUNT", "Binds an account to a person, or sets the birth date that a document must show", `  postern account set ada@example.com --subject 4r6t…
  postern account set ada@example.com --subject ""        ends the binding`, cobra.ExactArgs(1),
		func(c *cobra.Command, args []string) error {
			body := map[string]string{}
			for name, value := range map[string]string{"subject": subject, "birth-date": born} {
				if c.Flags().Changed(name) {
					body[strings.ReplaceAll(name, "-", "_")] = value
				}
			}
			return f.decide(c, "PATCH", accountPath(args[0]), body)
		})
	c.Flags().StringVar(&subject, "subject", "", "whom the account belongs to; empty ends the binding")
	c.Flags().StringVar(&born, "birth-date", "", "as 1970-12-31, or its hash")
	c.MarkFlagsOneRequired("subject", "birth-date")
	return c
}

// photoCommand sets and removes the photo of one account, and those of many.
func photoCommand(f *flags) *cobra.Command {
	c := &cobra.Command{Use: "photo", Short: "Sets the photos that people are compared with"}
	group(c,
		leaf("set ACCOUNT FILE", "Sets the photo of an account", "  postern account photo set ada@example.com ada.jpg", cobra.ExactArgs(2),
			func(c *cobra.Command, args []string) error {
				return f.put(c, accountPath(args[0])+"/photo", args[1], nil)
			}),
		leaf("remove ACCOUNT", "Removes the photo of an account", "  postern account photo remove ada@example.com", cobra.ExactArgs(1),
			func(c *cobra.Command, args []string) error {
				return f.decide(c, "DELETE", accountPath(args[0])+"/photo", nil)
			}),
		leaf("load DIRECTORY ZIP", "Sets many photos: files of a zip, each named by an account", "  postern account photo load 77aa… photos.zip", cobra.ExactArgs(2),
			func(c *cobra.Command, args []string) error {
				return f.load(c, "/api/account/photos?directory="+url.QueryEscape(args[0]), args[1])
			}),
	)
	return c
}

// fileKinds are the media types of files that are put, by extension: what this machine knows of
// them differs from one to the next.
var fileKinds = map[string]string{
	".gif": "image/gif", ".jpeg": "image/jpeg", ".jpg": "image/jpeg", ".png": "image/png", ".svg": "image/svg+xml",
	".tif": "image/tiff", ".tiff": "image/tiff", ".webp": "image/webp", ".zip": "application/zip",
}

// put puts a file, by its extension's media type, and decodes the answer into out.
func (f *flags) put(c *cobra.Command, path, name string, out any) error {
	cl, err := f.client(c)
	if err != nil {
		return err
	}
	file, err := os.Open(name)
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }()
	info, err := file.Stat()
	if err != nil {
		return err
	}
	kind := fileKinds[strings.ToLower(filepath.Ext(name))]
	if kind == "" {
		return fmt.Errorf("%s: want a file whose name ends in one of %s", name, strings.Join(slices.Sorted(maps.Keys(fileKinds)), ", "))
	}
	return cl.put(c.Context(), path, kind, file, info.Size(), out)
}

// errNotLoaded makes the command fail.
var errNotLoaded = errors.New("not every photo was set")

// loadedOut is what the API says became of the files of a zip.
type loadedOut struct {
	Files []struct {
		Filename, Error string
		Status          int
	}
}

// load puts a zip, and fails unless all of its photos were taken.
func (f *flags) load(c *cobra.Command, path, name string) error {
	var answer json.RawMessage
	if err := f.put(c, path, name, &answer); err != nil {
		return err
	}
	var list loadedOut
	if err := json.Unmarshal(answer, &list); err != nil {
		return err
	}
	if err := f.show(c, answer, list.print); err != nil {
		return err
	}
	for _, one := range list.Files {
		if one.Status != http.StatusOK {
			return errNotLoaded
		}
	}
	return nil
}

// print says what became of each file that was not taken, and how many were.
func (list loadedOut) print(w io.Writer) error {
	rows, taken := [][]string{}, 0
	for _, one := range list.Files {
		if one.Status == http.StatusOK {
			taken++
			continue
		}
		rows = append(rows, []string{one.Filename, strconv.Itoa(one.Status), one.Error})
	}
	if err := table(w, rows); err != nil {
		return err
	}
	_, err := fmt.Fprintf(w, "%d of %d photos were set\n", taken, len(list.Files))
	return err
}

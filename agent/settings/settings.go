// Package settings reads the agent's one TOML file strictly: an unknown key is an
// error with its line and the nearest known key. It knows no key itself; the core
// and each directory kind decode their own tables from the same file.
package settings

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"

	"github.com/pelletier/go-toml/v2"
)

// maxFile bounds the file: a list of a few thousand base DNs fits, a mistaken path to a disk image does not.
const maxFile = 1 << 20

// A File is the text of one TOML file.
type File struct {
	Name string // path, for messages and for references to other files
	Text []byte
}

// Read reads the file at path, at most 1 MiB of it.
func Read(path string) (File, error) {
	f, err := os.Open(path)
	if err != nil {
		return File{}, err
	}
	defer f.Close()
	text, err := io.ReadAll(io.LimitReader(f, maxFile+1))
	switch {
	case err != nil:
		return File{}, err
	case len(text) > maxFile:
		return File{}, fmt.Errorf("%s: larger than %d bytes", path, maxFile)
	}
	return File{Name: path, Text: text}, nil
}

// Path makes p, as it stands in the file, absolute against the file's folder. An
// empty p stays empty. Under systemd a file that the service got as a credential is taken
// from there: "secrets/bind-password" is the credential secrets_bind-password, as
// LoadCredential=secrets:FOLDER makes it.
func (f File) Path(p string) string {
	if p == "" {
		return ""
	}
	dir := filepath.Dir(f.Name)
	if !filepath.IsAbs(p) {
		p = filepath.Join(dir, p)
	}
	given, set := os.LookupEnv(credentials)
	inside, err := filepath.Rel(dir, p)
	if !set || err != nil || !filepath.IsLocal(inside) {
		return p
	}
	given = filepath.Join(given, strings.ReplaceAll(filepath.ToSlash(inside), "/", "_"))
	if info, err := os.Stat(given); err == nil && info.Mode().IsRegular() {
		return given
	}
	return p
}

// credentials names the folder of the service's credentials (systemd.exec(5)).
const credentials = "CREDENTIALS_DIRECTORY"

// Decode fills the struct that into points to from a table of the file, or from
// the whole file when table is "". Keys without a field are errors that name file,
// line and the nearest known key, except those listed, which somebody else decodes.
func (f File) Decode(table string, into any, except ...string) error {
	target := into
	if table != "" {
		target = wrap(table, into)
	}
	err := toml.NewDecoder(bytes.NewReader(f.Text)).DisallowUnknownFields().Decode(target)
	var unknown *toml.StrictMissingError
	var broken *toml.DecodeError
	switch {
	case errors.As(err, &unknown):
		return f.unknown(unknown, table, into, except)
	case errors.As(err, &broken):
		line, _ := broken.Position()
		return fmt.Errorf("%s:%d: %s", f.Name, line, f.plain(broken))
	case err != nil:
		return f.placed(err, table, into)
	}
	return nil
}

// plain is the message of e without its prefix, led by the key where there is one.
func (f File) plain(e *toml.DecodeError) string {
	text := inWords(strings.TrimPrefix(e.Error(), "toml: "))
	if key := strings.Join(e.Key(), "."); key != "" {
		return fmt.Sprintf("key %q: %s", key, text)
	}
	return text
}

// wrap returns a pointer to a struct whose only field, for the table, is into.
func wrap(table string, into any) any {
	field := reflect.StructField{
		Name: "Table", Type: reflect.TypeOf(into),
		Tag: reflect.StructTag(fmt.Sprintf("toml:%q", table)),
	}
	v := reflect.New(reflect.StructOf([]reflect.StructField{field}))
	v.Elem().Field(0).Set(reflect.ValueOf(into))
	return v.Interface()
}

// unknown turns the decoder's list into one error per line that concerns this table.
func (f File) unknown(list *toml.StrictMissingError, table string, into any, except []string) error {
	var errs []error
	for i := range list.Errors {
		e := &list.Errors[i]
		key := []string(e.Key())
		if table != "" {
			if len(key) < 2 || key[0] != table {
				continue // somebody else's table
			}
			key = key[1:]
		}
		if slices.Contains(except, key[0]) {
			continue
		}
		line, _ := e.Position()
		text := fmt.Sprintf("%s:%d: unknown key %q", f.Name, line, strings.Join(e.Key(), "."))
		if near := nearest(key[len(key)-1], keysAt(reflect.TypeOf(into), key[:len(key)-1], except)); near != "" {
			text += fmt.Sprintf("; did you mean %q?", near)
		}
		errs = append(errs, errors.New(text))
	}
	return errors.Join(errs...)
}

// Word returns the string that stands at key of a table, whatever else the file
// says, or "" where there is none. Decode reports what is wrong.
func (f File) Word(table, key string) string {
	var all map[string]any
	if err := toml.Unmarshal(f.Text, &all); err != nil {
		return ""
	}
	t, _ := all[table].(map[string]any)
	word, _ := t[key].(string)
	return word
}

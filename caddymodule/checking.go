package caddymodule

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"regexp"
	"slices"
	"strings"

	"github.com/postern-id/postern/hub/store"
)

// checkCommand is Caddy's command that checks a configuration and starts nothing.
const checkCommand = "validate"

// checking reports whether this process only checks a configuration. Caddy tells modules
// nothing of it, and provisions them as it would to start them.
func checking() bool { return len(os.Args) > 1 && os.Args[1] == checkCommand }

// filePlaceholder stands for what a file says. Caddy puts nothing in place of one that it
// cannot read; a store without an address would be another store.
var filePlaceholder = regexp.MustCompile(`\{file\.([^}]+)\}`)

// unreadPlaceholders names the files that the value of an option wants and that cannot be
// read.
func unreadPlaceholders(option, value string) (unread []error) {
	for _, m := range filePlaceholder.FindAllStringSubmatch(value, -1) {
		if err := unreadable(option, m[1]); err != nil {
			unread = append(unread, err)
		}
	}
	return unread
}

// unreadFiles names the files of options that the hub would read when it starts, and
// cannot. A credential may be systemd's alone to read.
func (a *App) unreadFiles() (unread []error) {
	if a.SMTP != nil && a.SMTP.PasswordFile != "" {
		unread = append(unread, unreadable("smtp: password_file", a.SMTP.PasswordFile))
	}
	if a.Places != "" {
		unread = append(unread, unreadable("places", a.Places))
	}
	if a.MasterKeyFile != "" {
		_, err := store.LoadMasterKey(a.MasterKeyFile)
		switch {
		case a.MasterKeyCredential != "" && errors.Is(err, fs.ErrPermission):
		case err != nil:
			unread = append(unread, fmt.Errorf("master_key: %w", err))
		}
	}
	return slices.DeleteFunc(unread, func(err error) bool { return err == nil })
}

// unreadable says why the file of an option cannot be read; nil if it can.
func unreadable(option, file string) error {
	f, err := os.Open(file)
	if err != nil {
		return fmt.Errorf("%s: %w", option, err)
	}
	defer func() { _ = f.Close() }()
	if info, err := f.Stat(); err != nil || info.IsDir() {
		return fmt.Errorf("%s: %s is no file", option, file)
	}
	return nil
}

// joined is one error of all, on one line, in an order that does not change.
func joined(all []error) error {
	if len(all) == 0 {
		return nil
	}
	lines := make([]string, len(all))
	for i, err := range all {
		lines[i] = err.Error()
	}
	slices.Sort(lines)
	return errors.New(strings.Join(lines, "; "))
}

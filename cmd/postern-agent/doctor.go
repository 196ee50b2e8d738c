package main

import (
	"context"
	"errors"
	"fmt"
	"io"
	"os"

	"github.com/postern-id/postern/agent"
	"github.com/postern-id/postern/agent/directory/kinds"
	"github.com/postern-id/postern/agent/doctor"
)

const doctorHelp = `Find out what is wrong, and change nothing: look at the state folder and its disk, go the
way to the hub step by step (name, proxy, certificate, websocket, hello, clock), look at
each directory server alone (name, certificate, sign-in), at base DNs, groups and rights,
dry-run the operations that the file allows on one account, read what evidence rests on,
and sign in to the mail server. It may run beside the agent.

Each finding has a number, a line that says what to do, and a section in docs/findings.md;
rights that are missing come with the lines that give them, to be pasted by an
administrator of the directory. Ends with 0 when all is well, 3 with warnings, 1 with
problems.

  postern-agent doctor
  postern-agent doctor --account kim@example.com     # rights, guard and policy of one account
  postern-agent doctor --json | jq '.steps[] | select(.finding)'
  postern-agent doctor --bundle for-support.zip      # to be sent to somebody: no secrets, no persons`

const checkHelp = `The same as doctor.

  postern-agent check
  postern-agent check --account kim@example.com`

// inColours are the words of --color.
const (
	colourAuto   = "auto"
	colourAlways = "always"
	colourNever  = "never"
)

func examine(ctx context.Context, args []string, s std) error {
	return examineAs(ctx, "doctor", doctorHelp, args, s)
}

func check(ctx context.Context, args []string, s std) error {
	return examineAs(ctx, "check", checkHelp, args, s)
}

func examineAs(ctx context.Context, name, help string, args []string, s std) error {
	f := newFlags(name, help, s).withConfig()
	account := f.String("account", "", "identifier or immutable id of the account to look at; one of the first page if empty")
	asJSON := f.Bool("json", false, "print the report for programs")
	bundle := f.String("bundle", "", "also write a zip for support to this new file: no secrets, no persons")
	colour := f.String("color", colourAuto, "auto, always or never")
	cfg, log, err := f.load(args, s)
	if err != nil {
		return err
	}
	coloured, err := wantsColour(*colour, s.out)
	if err != nil {
		return err
	}
	r := agent.Doctor(ctx, agent.Options{Config: cfg, Open: kinds.Open, Version: version(), Log: log}, *account)
	if *asJSON {
		err = r.JSON(s.out)
	} else {
		err = r.Text(s.out, coloured)
	}
	if err == nil && *bundle != "" {
		err = writeBundle(*bundle, cfg, r, s)
	}
	if err != nil {
		return err
	}
	if code := r.Exit(); code != doctor.ExitWell {
		return exit(code)
	}
	return nil
}

// wantsColour decides: in doubt only a terminal gets colours (https://no-color.org).
func wantsColour(word string, out io.Writer) (bool, error) {
	switch word {
	case colourAlways:
		return true, nil
	case colourNever:
		return false, nil
	case colourAuto:
	default:
		return false, fmt.Errorf("--color: %q; want auto, always or never", word)
	}
	f, isFile := out.(*os.File)
	if !isFile || os.Getenv("NO_COLOR") != "" || os.Getenv("TERM") == "dumb" {
		return false, nil
	}
	info, err := f.Stat()
	return err == nil && info.Mode()&os.ModeCharDevice != 0, nil
}

// writeBundle writes the zip to a file that did not exist, for the caller alone.
func writeBundle(path string, cfg agent.Config, r *doctor.Report, s std) error {
	f, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return err
	}
	if err := errors.Join(agent.Bundle(f, cfg, r), f.Close()); err != nil {
		return errors.Join(err, os.Remove(path))
	}
	fmt.Fprintf(s.err, "wrote %s: look into it before you send it\n", path)
	return nil
}

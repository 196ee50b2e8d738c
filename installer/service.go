package installer

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/kardianos/service"
)

// Errors of the state of the machine.
var (
	ErrNotInstalled = errors.New("installer: the service is not installed")
	ErrPrivilege    = errors.New("installer: only an administrator of this machine can do this")
)

// Options say what to install. Empty fields have the defaults of the system.
type Options struct {
	Program  string // the agent's executable; empty: the running one
	Config   string // path of the configuration file, absolute
	Sample   []byte // what is written there when nothing is
	StateDir string // folder of keys and journal
	// Account is whom the service runs as on Windows: empty for Account(), or a group
	// managed service account such as CORP\postern$, which has no password either.
	Account string
	// Packaged says that a package made the service itself, so that folders, rights and
	// recovery actions remain.
	Packaged bool
}

// A State is what the service manager says of the service.
type State struct {
	Running bool
	Detail  string // more, where there is more to say
	Account string // whom it runs as, where the service manager tells
	Warning string // what is wrong with that
}

// nothing is the program as kardianos' package knows it: it only manages the service here.
type nothing struct{}

// Start implements service.Interface.
func (nothing) Start(service.Service) error { return nil }

// Stop implements service.Interface.
func (nothing) Stop(service.Service) error { return nil }

// manage returns the service manager's view of the service that o describes.
func (o Options) manage(extra service.KeyValue) (service.Service, error) {
	return service.New(nothing{}, &service.Config{
		Name: Name, DisplayName: "Postern Agent", Description: "Connects this organisation's directory to its recovery hub.",
		Executable: o.Program, Arguments: arguments(o.Config), UserName: o.Account, Option: extra,
	})
}

// register makes the service, and takes it back if it was not there.
func register(s service.Service, does string) Step {
	made := false
	return Step{
		Does: does,
		Do: func() error {
			_, err := s.Status()
			made = errors.Is(err, service.ErrNotInstalled)
			return s.Install()
		},
		Undo: func() error {
			if !made {
				return nil
			}
			return s.Uninstall()
		},
	}
}

// folder makes a folder, and takes it back if it was not there.
func folder(path string, mode os.FileMode) Step {
	made := false
	return Step{
		Does: "make the folder " + path,
		Do: func() error {
			_, err := os.Lstat(path)
			if made = errors.Is(err, os.ErrNotExist); !made {
				return err
			}
			return errors.Join(os.MkdirAll(path, mode), os.Chmod(path, mode)) // whatever the umask
		},
		Undo: func() error {
			if !made {
				return nil
			}
			return os.Remove(path)
		},
	}
}

// configuration writes a configuration file where there is none.
func configuration(o Options) Step {
	made := false
	return Step{
		Does: "write the configuration file " + o.Config + " unless it exists",
		Do: func() error {
			if _, err := os.Stat(o.Config); !errors.Is(err, os.ErrNotExist) {
				return err
			}
			made = true
			// It holds no secret, and the service reads it, whatever the umask.
			return errors.Join(os.WriteFile(o.Config, o.Sample, 0o644), os.Chmod(o.Config, 0o644))
		},
		Undo: func() error {
			if !made {
				return nil
			}
			return os.Remove(o.Config)
		},
	}
}

// secretsFolder is where passwords and the ticket lie, beside the configuration file.
func secretsFolder(config string) string { return filepath.Join(filepath.Dir(config), Secrets) }

// Secrets is the name of the folder beside the configuration file whose files only the
// administrator and the service read.
const Secrets = "secrets"

// ownNames are what folders of the agent alone are called.
var ownNames = []string{"postern-agent", "Postern"}

// purge returns the steps that delete configuration and state. A folder is deleted with
// all in it only if it is the agent's by its name or by what is in it: a configuration
// file may lie in somebody's home.
func purge(o Options, states ...string) []Step {
	var paths []string
	if dir := filepath.Dir(o.Config); slices.Contains(ownNames, filepath.Base(dir)) {
		paths = append(paths, dir)
	} else {
		paths = append(paths, o.Config)
	}
	for _, state := range states {
		_, err := os.Stat(filepath.Join(state, "keys.json"))
		if err == nil || slices.Contains(ownNames, filepath.Base(state)) {
			paths = append(paths, state)
		}
	}
	var steps []Step
	for _, path := range paths {
		steps = append(steps, Step{Does: "delete " + path, Do: func() error { return Delete(path) }})
	}
	return steps
}

// Delete deletes a file or a folder of the agent with all in it; what is not there is
// deleted. What is too near to the root is no folder of an agent's. (os.RemoveAll deletes
// by a call that wine does not have.)
func Delete(path string) error {
	path = filepath.Clean(path)
	inside := strings.TrimPrefix(path, filepath.VolumeName(path))
	if !filepath.IsAbs(path) || strings.Count(filepath.ToSlash(inside), "/") < 2 {
		return fmt.Errorf("%s is no folder of the agent's own", path)
	}
	var all []string
	err := filepath.WalkDir(path, func(name string, _ fs.DirEntry, err error) error {
		all = append(all, name)
		return err
	})
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	for i := len(all) - 1; i >= 0 && err == nil; i-- { // what is in a folder comes after it
		err = os.Remove(all[i])
	}
	return err
}

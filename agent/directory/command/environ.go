package command

import (
	"os"
	"slices"
	"strings"
)

// workerMark tells a program that it runs as a worker; the name is the public protocol's.
const workerMark = "NAMETAG_AGENT_WORKER=true"

// inherited are the variables of the agent that every worker gets: where programs and
// scratch files are, and how to speak. None holds a secret, and what the service manager
// gives the agent (CREDENTIALS_DIRECTORY, NOTIFY_SOCKET …) is not among them.
var inherited = []string{
	"PATH", "HOME", "USER", "LOGNAME", "SHELL", "LANG", "LANGUAGE", "TZ", "TMPDIR", "SSL_CERT_FILE", "SSL_CERT_DIR",
	// Windows, where programs do not start without the first three:
	"SYSTEMROOT", "SYSTEMDRIVE", "WINDIR", "COMSPEC", "PATHEXT", "TEMP", "TMP", "USERPROFILE", "USERNAME", "USERDOMAIN", "COMPUTERNAME",
	"PROGRAMDATA", "PROGRAMFILES", "PROGRAMFILES(X86)", "PROGRAMW6432", "COMMONPROGRAMFILES", "ALLUSERSPROFILE", "APPDATA", "LOCALAPPDATA",
	"PSMODULEPATH", "NUMBER_OF_PROCESSORS", "PROCESSOR_ARCHITECTURE", "OS",
}

// environment is what a worker gets of the agent's environment, and what its table adds.
func (c Config) environment(all []string) []string {
	var env []string
	for _, pair := range all {
		name, _, _ := strings.Cut(pair, "=")
		upper := strings.ToUpper(name)
		if slices.Contains(inherited, upper) || strings.HasPrefix(upper, "LC_") || slices.Contains(c.PassEnvironment, name) {
			env = append(env, pair)
		}
	}
	for name, value := range c.Environment {
		env = append(env, name+"="+value)
	}
	return append(env, workerMark)
}

func (c Config) environ() []string { return c.environment(os.Environ()) }

package installer

import (
	_ "embed"
	"strings"
)

// unit is the hardened systemd unit, as packages install it.
//
//go:embed postern-agent.service
var unit string

// What the unit says in a package.
const (
	packagedProgram = "/usr/bin/postern-agent"
	packagedConfig  = "/etc/postern-agent/agent.toml"
	packagedSecrets = "/etc/postern-agent/secrets"
)

// Unit is the systemd unit for a program and a configuration file.
func Unit(program, config string) string {
	return strings.NewReplacer(packagedProgram, program, packagedConfig, config, packagedSecrets, secretsFolder(config)).Replace(unit)
}

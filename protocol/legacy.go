package protocol

import "strings"

// legacyPrefix begins the agent id of directories that are served over the public
// agent protocol, whose agents have no identity.
const legacyPrefix = "legacy:"

// LegacyAgent is the agent id that stands for whatever serves a legacy directory.
func LegacyAgent(directory string) string { return legacyPrefix + directory }

// LegacyDirectory returns the directory of an id made by LegacyAgent, and whether it is
// one. Outcomes of such an agent are not signed.
func LegacyDirectory(agent string) (directory string, legacy bool) {
	return strings.CutPrefix(agent, legacyPrefix)
}

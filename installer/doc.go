// Package installer makes postern-agent a service of its machine (systemd, Windows, and
// launchd as far as it goes), tells the service manager how the agent is, and keeps the
// agent's folders to itself. It knows no hub and no directory.
package installer

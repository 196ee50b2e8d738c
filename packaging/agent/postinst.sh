#!/bin/sh
# Writes the configuration file to begin with, once. A new installation starts nothing; an
# update starts the agent again if it runs.
set -e
if [ ! -e /etc/postern-agent/agent.toml ]; then
  postern-agent config sample > /etc/postern-agent/agent.toml
  chmod 0644 /etc/postern-agent/agent.toml # no secret stands in it, and the service reads it
fi
chmod 0755 /etc/postern-agent
chmod 0700 /etc/postern-agent/secrets
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl try-restart postern-agent.service
fi
if [ ! -d /var/lib/postern-agent ]; then
  cat <<'NEXT'
The agent is installed and not yet enrolled. Next, as root:
  edit /etc/postern-agent/agent.toml      (the table [directory]; passwords are files in /etc/postern-agent/secrets)
  install -m 0600 ticket /etc/postern-agent/secrets/ticket
  systemctl enable --now postern-agent    (it enrols with the ticket)
  postern-agent check
NEXT
fi

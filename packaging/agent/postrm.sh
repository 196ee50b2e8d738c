#!/bin/sh
# A purge (deb) removes configuration, secrets and state; a removal leaves them.
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
if [ "${1:-}" = purge ]; then
  rm -rf /etc/postern-agent /var/lib/private/postern-agent /var/lib/postern-agent
fi

#!/bin/sh
# A purge removes key, settings and data; a removal leaves them.
set -e
if [ -d /run/systemd/system ]; then systemctl daemon-reload || true; fi
if [ "$1" = purge ]; then
  rm -rf /etc/postern /var/lib/postern
  if getent passwd postern >/dev/null; then deluser --system --quiet postern || true; fi
fi

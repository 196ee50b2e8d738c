#!/bin/sh
# Makes the user, and the master key outside the data folder (readable by the service's
# group, so that "sudo -u postern postern init" works). It starts nothing that is not
# configured.
set -e
if ! getent passwd postern >/dev/null; then
  adduser --system --group --home /var/lib/postern --no-create-home --quiet postern
fi
install -d -m 0750 -o root -g postern /etc/postern
install -d -m 0700 -o postern -g postern /var/lib/postern
if [ ! -e /etc/postern/master.key ]; then
  (umask 027; head -c 32 /dev/urandom > /etc/postern/master.key)
fi
chown root:postern /etc/postern/master.key
chmod 0640 /etc/postern/master.key
if [ -d /run/systemd/system ]; then
  systemctl daemon-reload
  systemctl try-restart postern.service
fi
if [ ! -e /etc/postern/Caddyfile ]; then
  cat <<'NEXT'
Postern is installed and not yet configured. Next:
  install -m 0640 -g postern /usr/share/doc/postern/Caddyfile.example /etc/postern/Caddyfile
  (change the names in it)
  install -m 0640 -g postern /dev/stdin /etc/postern/smtp.password
  (the mail password, then Ctrl-D; or take "user" and "password_file" out of the Caddyfile)
  sudo -u postern postern validate --config /etc/postern/Caddyfile
  sudo -u postern postern init --organisation "Your organisation" --save
  systemctl enable --now postern
Without sudo: runuser -u postern -- env HOME=/var/lib/postern postern ...
The names in the Caddyfile must lead to this machine, with TCP 80 and 443 open.
Keep a copy of /etc/postern/master.key elsewhere: without it the data cannot be read.
NEXT
fi

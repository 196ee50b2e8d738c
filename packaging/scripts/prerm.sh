#!/bin/sh
# deb: "remove"; rpm: 0 is the last removal.
set -e
case "$1" in remove|0|deconfigure)
  if [ -d /run/systemd/system ]; then systemctl disable --now postern.service || true; fi ;;
esac

#!/bin/sh
# deb: "remove"; rpm: 0 is the last removal; apk: nothing.
set -e
case "${1:-0}" in remove|0|deconfigure)
  if [ -d /run/systemd/system ]; then systemctl disable --now postern-agent.service || true; fi
  if command -v rc-update >/dev/null; then rc-service postern-agent stop || true; rc-update del postern-agent || true; fi ;;
esac

#!/bin/bash
# deps.sh installs what the tests talk to, on Debian as root, and says so. DEPS=no, another system or another
# user: it names what is missing, and the tests skip it (they fail under CI=true). "deps.sh dist" installs what packs
# and signs, "deps.sh installer" what packages are tried out in.
set -euo pipefail
cd "$(dirname "$0")/../.."

declare -A needs=( [slapd]=slapd [ns-slapd]=389-ds-base [ldapsearch]=ldap-utils [samba]="samba-ad-dc samba-ad-provision" [redis-server]=redis-server
  [apache2]="apache2 libapache2-mod-auth-openidc" [initdb]=postgresql [chromium]=chromium [npm]=npm [certutil]=libnss3-tools [systemd-analyze]=systemd [rsyslogd]="rsyslog rsyslog-openssl"
  [wixl]=wixl [msiinfo]=msitools [rpm]=rpm [python3]=python3 [ssh-agent]=openssh-client [softhsm2-util]=softhsm2 [pkcs11-tool]=opensc )
case "${1:-}" in
  dist) needs=( [wixl]=wixl [msibuild]=msitools [osslsigncode]=osslsigncode [openssl]=openssl ) ;;
  installer) needs=( [wixl]=wixl [msibuild]=msitools [osslsigncode]=osslsigncode [openssl]=openssl [wine]="wine64 wine" [x86_64-w64-mingw32-ld]=binutils-mingw-w64-x86-64
    [systemd-nspawn]=systemd-container ) ;;
esac
missing=()
for program in "${!needs[@]}"; do
  PATH="$PATH:/usr/sbin:/sbin" command -v "$program" >/dev/null && { [ "$program" != apache2 ] || [ -e /usr/lib/apache2/modules/mod_auth_openidc.so ]; } && continue
  [ "$program" = initdb ] && compgen -G '/usr/lib/postgresql/*/bin/initdb' >/dev/null && continue
  read -ra packages <<<"${needs[$program]}"
  missing+=("${packages[@]}")
done
[ ${#missing[@]} -gt 0 ] || exit 0

if [ "${DEPS:-yes}" = no ] || [ "$(id -u)" != 0 ] || ! command -v apt-get >/dev/null; then
  echo "not installed, so what needs it is skipped or fails: ${missing[*]}"
  exit 0
fi
echo "installing what is needed from Debian: ${missing[*]}"
if [ ! -e /usr/sbin/policy-rc.d ]; then # keeps Debian from starting them as daemons
  printf '#!/bin/sh\nexit 101\n' > /usr/sbin/policy-rc.d
  chmod 755 /usr/sbin/policy-rc.d
fi
export DEBIAN_FRONTEND=noninteractive
apt-get update -qq
apt-get install -y -qq --no-install-recommends "${missing[@]}" > /dev/null

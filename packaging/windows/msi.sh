#!/bin/bash
# msi.sh EXE ARCH VERSION FULL OUT: packs EXE for ARCH (amd64, arm64) as the installer OUT, unsigned. VERSION is what Windows
# compares (a.b.c), FULL what people read. The same EXE, versions and SOURCE_DATE_EPOCH give the same bytes.
set -euo pipefail
EXE=$(realpath "$1") ARCH=$2 VERSION=$3 FULL=$4 OUT=$(realpath -m "$5")
: "${SOURCE_DATE_EPOCH:?}"
HERE=$(cd "$(dirname "$0")" && pwd)
DIR=$(mktemp -d); trap 'rm -rf "$DIR"' EXIT; cd "$DIR"

# A GUID that is the same for the same text.
guid() { local h; h=$(printf '%s' "postern-agent $*" | sha256sum | tr a-f A-F); echo "${h:0:8}-${h:8:4}-5${h:13:3}-A${h:17:3}-${h:20:12}"; }

cp "$HERE/agent.wxs" . # wixl finds sources by relative names only
install -m 0755 "$EXE" postern-agent.exe
touch -d "@$SOURCE_DATE_EPOCH" postern-agent.exe
TZ=UTC wixl -a x64 -o agent.msi -D VERSION="$VERSION" -D FULL="$FULL" -D PRODUCT="$(guid product "$FULL" "$ARCH")" agent.wxs

sql() { msibuild agent.msi -q "$1"; }
# What wixl drops or gets wrong: properties that a command line hands to the part that runs as the system; and the removal of
# the old version, which must be inside of the transaction, so that an upgrade that fails brings the old version back.
sql "UPDATE \`Property\` SET \`Value\`='HUB;TICKETFILE;CONFIGFILE;SERVICEACCOUNT;INSTALLDIR;PURGE;WIX_DOWNGRADE_DETECTED;WIX_UPGRADE_DETECTED' WHERE \`Property\`='SecureCustomProperties'"
sql "UPDATE \`InstallExecuteSequence\` SET \`Sequence\`=1501 WHERE \`Action\`='RemoveExistingProducts'"
# An update by another build of the same version is one, too. (The column is a key, which cannot be updated.)
sql "DELETE FROM \`Upgrade\` WHERE \`ActionProperty\`='WIX_UPGRADE_DETECTED'"
sql "INSERT INTO \`Upgrade\` (\`UpgradeCode\`,\`VersionMax\`,\`Attributes\`,\`ActionProperty\`) VALUES ('{0E7F02A6-B522-41F9-8217-DFAECC727AF1}','$VERSION',513,'WIX_UPGRADE_DETECTED')"
n=51 # and what wixl puts at the end, though it is to come after AppSearch (50)
for action in RememberAccount RememberDir DefaultAccount; do
  sql "UPDATE \`InstallExecuteSequence\` SET \`Sequence\`=$n WHERE \`Action\`='$action'"
  n=$((n + 1))
done
case $ARCH in amd64) template='x64;1033' ;; arm64) template='Arm64;1033' ;; *) echo "msi.sh: $ARCH is unknown" >&2; exit 1 ;; esac # wixl knows no arm64
msibuild agent.msi -s "Postern Agent" "Postern" "$template" "{$(guid package "$FULL" "$ARCH" "$(sha256sum postern-agent.exe)")}"

# Both times of the summary (properties 12 and 13 of [MS-OLEPS]) are those of the commit.
perl -0777 -i -pe '
  my $t = pack("Q<", ($ENV{SOURCE_DATE_EPOCH} + 11644473600) * 10000000);
  my $id = pack("H*", "e0859ff2f94f6810ab9108002b27b3d9");
  (my $at = index($_, $id)) >= 0 or die "no summary";
  my $section = $at - 28 + unpack("V", substr($_, $at + 16, 4));
  my ($size, $n) = unpack("VV", substr($_, $section, 8));
  for my $i (0 .. $n - 1) {
    my ($property, $offset) = unpack("VV", substr($_, $section + 8 + 8 * $i, 8));
    next unless $property == 12 || $property == 13;
    unpack("V", substr($_, $section + $offset, 4)) == 64 or die "property $property is no time";
    substr($_, $section + $offset + 4, 8) = $t;
  }' agent.msi
mv agent.msi "$OUT"

#!/bin/bash
# agent.sh writes OUT (default dist/): for each architecture the agent as deb, rpm and apk, as a tarball for Linux and for
# Windows, and as MSI; a list of its parts (SBOM, CycloneDX) per system; checksums. The same commit gives the same bytes, up
# to signatures.
#   VERSION         as tagged, or a commit
#   NFPM            the program that packs
#   ARCHS           default: amd64 arm64
#   FORMATS         default: deb rpm apk tar msi
#   SIGN_KEY, SIGN_CERT   key and certificate (PEM) for Windows programs and checksums; SIGN_ARGS: more arguments of
#                   osslsigncode, such as -pkcs11module … or -ts http://timestamp.example
# Without SIGN_CERT a throw-away key signs, which nobody trusts: the names then say "testsigned".
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/../.." && pwd); cd "$ROOT"
: "${VERSION:?}"
FORMATS=" ${FORMATS:-deb rpm apk tar msi} "
OUT=${OUT:-dist}; mkdir -p "$OUT"; OUT=$(realpath "$OUT")
SOURCE_DATE_EPOCH=${SOURCE_DATE_EPOCH:-$(git log -1 --format=%ct 2>/dev/null || echo 1767225600)}
MTIME=$(date -u -d "@$SOURCE_DATE_EPOCH" +%Y-%m-%dT%H:%M:%SZ)
FULL=${VERSION#v}
case $FULL in
  [0-9]*.[0-9]*.[0-9]*) MSIVERSION=${FULL%%[-~+]*} ;;
  *) FULL=0.0.0~$FULL MSIVERSION=0.0.$(git rev-list --count HEAD 2>/dev/null || echo 0) ;; # a commit, from before the first tag
esac
export ROOT SOURCE_DATE_EPOCH CGO_ENABLED=0
rm -f "$OUT"/postern-agent[-_]*
for program in wixl msibuild osslsigncode openssl; do
  [[ $FORMATS != *' msi '* ]] || command -v $program > /dev/null || { echo "agent.sh: $program is missing: apt-get install wixl msitools osslsigncode openssl" >&2; exit 1; }
done
WORK=$(mktemp -d); trap 'rm -rf "$WORK"' EXIT
mapfile -t FLAGS < <(grep -v '^#' packaging/agent/build.flags)
want() { [[ $FORMATS == *" $1 "* ]]; }

build() { # build GOOS GOARCH FILE
  GOOS=$1 GOARCH=$2 go build "${FLAGS[@]}" -buildvcs=false -ldflags "-s -w -funcalign=16 -X main.number=$FULL" -o "$3" ./cmd/postern-agent
  (cd packaging/sbom && go run . -name postern-agent -version "$FULL" "$3") > "$OUT/postern-agent-$FULL-$1-$2.cdx.json"
}

tarball() { # tarball FOLDER OF WORK
  tar -C "$WORK" --sort=name --mtime="$MTIME" --owner=0 --group=0 --numeric-owner --mode=go=rX,u+rw -cf - "$1" | gzip -n9 > "$OUT/$1.tar.gz"
}

MARK=
sign() { # sign IN OUT: the exe before it is packed, the MSI last
  if [ -z "${SIGN_CERT:-}" ]; then
    MARK=-testsigned SIGN_KEY=$WORK/test.key SIGN_CERT=$WORK/test.crt
    openssl req -x509 -newkey rsa:3072 -sha256 -nodes -days 30 -keyout "$SIGN_KEY" -out "$SIGN_CERT" -subj "/O=Postern/CN=Postern test build, trusted by nobody" \
      -addext "keyUsage=critical,digitalSignature" -addext "extendedKeyUsage=critical,codeSigning" -addext "basicConstraints=critical,CA:false" 2>/dev/null
    cp "$SIGN_CERT" "$OUT/postern-agent-testsigned.crt"
    echo "agent.sh: SIGN_CERT and SIGN_KEY are not set: Windows programs are signed by a throw-away key that nobody trusts" >&2
  fi
  local msi=(); [[ $1 != *.msi ]] || msi=(-add-msi-dse)
  rm -f "$2"
  # shellcheck disable=SC2086 # SIGN_ARGS is a list
  osslsigncode sign -h sha256 -certs "$SIGN_CERT" ${SIGN_KEY:+-key "$SIGN_KEY"} ${SIGN_ARGS:-} -n "Postern Agent" -i https://github.com/postern-id/postern \
    ${msi[@]+"${msi[@]}"} -in "$1" -out "$2" > /dev/null
}

linux() { # linux ARCH
  local stage=$WORK/linux-$1 kind name
  mkdir "$stage"
  build linux "$1" "$stage/postern-agent"
  cp agent/sample.toml "$stage/agent.toml.sample"
  cp packaging/agent/*.sh "$stage/"
  touch -d "@$SOURCE_DATE_EPOCH" "$stage"/*.sh # an apk tells when its scripts were changed
  sed -e "s#\${ARCH}#$1#g" -e "s#\${VERSION}#$FULL#g" -e "s#\${MTIME}#$MTIME#g" -e "s#\${STAGE}#$stage#g" -e "s#\${ROOT}#$ROOT#g" packaging/agent/nfpm.yaml > "$stage/nfpm.yaml"
  for kind in deb rpm apk; do
    if want $kind; then "${NFPM:?}" package -f "$stage/nfpm.yaml" -p $kind -t "$OUT/postern-agent_${FULL}_$1.$kind" > /dev/null; fi
  done
  if want tar; then
    name=postern-agent-$FULL-linux-$1
    mkdir -p "$WORK/$name"
    cp "$stage/postern-agent" "$stage/agent.toml.sample" installer/postern-agent.service docs/agent.md docs/directories.md docs/findings.md docs/evaluation.md CHANGELOG.md LICENSE "$WORK/$name/"
    tarball "$name"
  fi
}

windows() { # windows ARCH
  local stage=$WORK/windows-$1 name
  mkdir "$stage"
  build windows "$1" "$stage/unsigned.exe"
  if want tar; then
    name=postern-agent-$FULL-windows-$1
    mkdir -p "$WORK/$name"
    cp "$stage/unsigned.exe" "$WORK/$name/postern-agent.exe"
    cp agent/sample.toml "$WORK/$name/agent.toml.sample"
    cp docs/agent.md docs/directories.md docs/findings.md docs/evaluation.md CHANGELOG.md LICENSE "$WORK/$name/"
    tarball "$name"
  fi
  if want rawmsi; then packaging/windows/msi.sh "$stage/unsigned.exe" "$1" "$MSIVERSION" "$FULL" "$OUT/postern-agent-$FULL-$1-unsigned.msi"; fi
  if want msi; then
    sign "$stage/unsigned.exe" "$stage/postern-agent.exe"
    packaging/windows/msi.sh "$stage/postern-agent.exe" "$1" "$MSIVERSION" "$FULL" "$stage/agent.msi"
    sign "$stage/agent.msi" "$OUT/postern-agent-$FULL-$1$MARK.msi"
  fi
}

for arch in ${ARCHS:-amd64 arm64}; do
  if want deb || want rpm || want apk || want tar; then linux "$arch"; fi
  if want tar || want msi || want rawmsi; then windows "$arch"; fi
done
cd "$OUT"
sha256sum postern-agent[-_]* > "$WORK/checksums" && mv "$WORK/checksums" postern-agent-checksums.txt
if [ -n "${SIGN_KEY:-}" ] && [ -z "$MARK" ] && [ -f "${SIGN_KEY:-}" ]; then
  openssl dgst -sha256 -sign "$SIGN_KEY" -out postern-agent-checksums.txt.sig postern-agent-checksums.txt
fi

#!/bin/bash
# dist.sh writes dist/: a tarball and a deb of postern for each architecture, and their
# list of parts (SBOM, CycloneDX), checksums; and BUNDLE.sha256, the scripts, styles and templates of its recovery pages. VERSION is the version, NFPM the program that packs; ARCHS defaults to amd64
# and arm64. The same commit gives the same bytes.
set -euo pipefail
ROOT=$(cd "$(dirname "$0")/.." && pwd); cd "$ROOT"
: "${VERSION:?}" "${NFPM:?}"
MTIME=$(TZ=UTC git log -1 --format=%cd --date=format-local:%Y-%m-%dT%H:%M:%SZ 2>/dev/null || echo 2026-01-01T00:00:00Z)
VERSION=${VERSION#v}
case $VERSION in [0-9]*.[0-9]*) ;; *) VERSION=0.0.0~$VERSION ;; esac # a commit, from before the first tag
export ROOT VERSION MTIME
mkdir -p dist; rm -f dist/postern_* dist/postern-[0-9c]* dist/BUNDLE.sha256
# Manual pages and completions, the same for every architecture.
SHARE=$(mktemp -d); export SHARE SOURCE_DATE_EPOCH; SOURCE_DATE_EPOCH=$(date -d "$MTIME" +%s)
trap 'rm -rf "$SHARE"' EXIT
mkdir "$SHARE/man8"
CGO_ENABLED=0 go build -trimpath -o "$SHARE/postern" ./cmd/postern
"$SHARE/postern" manpage --directory "$SHARE/man8"
sed -i 's/^\.TH "Caddy"/.TH "POSTERN"/' "$SHARE"/man8/*.8
gzip -n9 "$SHARE"/man8/*.8
for shell in bash zsh fish; do "$SHARE/postern" completion $shell > "$SHARE/postern.$shell"; done
for ARCH in ${ARCHS:-amd64 arm64}; do
  STAGE=$(mktemp -d); export ARCH STAGE
  trap 'rm -rf "$STAGE" "$SHARE"' EXIT
  CGO_ENABLED=0 GOOS=linux GOARCH=$ARCH go build -trimpath -ldflags "-s -w -X main.version=$VERSION" -o "$STAGE/postern" ./cmd/postern
  (cd packaging/sbom && go run . -name postern -version "$VERSION" "$STAGE/postern") > "dist/postern-$VERSION-linux-$ARCH.cdx.json"
  config=$(sed -e "s#\${ARCH}#$ARCH#g" -e "s#\${VERSION}#$VERSION#g" -e "s#\${MTIME}#$MTIME#g" -e "s#\${STAGE}#$STAGE#g" -e "s#\${ROOT}#$ROOT#g" -e "s#\${SHARE}#$SHARE#g" packaging/nfpm.yaml)
  printf '%s\n' "$config" > "$STAGE/nfpm.yaml"
  "$NFPM" package -f "$STAGE/nfpm.yaml" -p deb -t "dist/postern_${VERSION}_$ARCH.deb" > /dev/null
  name=postern-$VERSION-linux-$ARCH
  mkdir "$STAGE/$name"
  cp "$STAGE/postern" packaging/postern.service Caddyfile.example README.md CHANGELOG.md LICENSE "$STAGE/$name/"
  cp -r docs "$SHARE/man8" "$STAGE/$name/"
  tar -C "$STAGE" --sort=name --mtime="$MTIME" --owner=0 --group=0 --numeric-owner -cf - "$name" | gzip -n9 > "dist/$name.tar.gz"
  rm -rf "$STAGE"
done
go run ./cmd/postern bundle --list > dist/BUNDLE.sha256
(cd dist && sha256sum BUNDLE.sha256 postern_* postern-[0-9]* > postern-checksums.txt)

# Postern. "make help" lists the targets.
SHELL       := /bin/bash
export CGO_ENABLED := 0
VERSION     ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo dev)
LDFLAGS     := -s -w -X main.version=$(VERSION) -X main.number=$(VERSION)
GOBUILD     := go build -trimpath -ldflags '$(LDFLAGS)'
# How the agent is built, one argument a line; it is small (packaging/agent/build.flags).
AGENTFLAGS  := $(shell grep -v "^\#" packaging/agent/build.flags)
TOOLS       := .cache/tools
# DEPS=no leaves the machine's packages alone; tests then skip what is missing.
DEPS        ?= yes
TESTFLAGS   ?=
# What parses documents, assertions and tokens from outside.
EVIDENCE    := protocol/evidence hub/verify/capture hub/verify/provider

.DEFAULT_GOAL := help
.PHONY: help build demo test full interop lint fuzz zxing bench dist installer chaos deps clean

help: ## list the targets
	@awk -F':.*## ' '/^[a-z]+:.*## /{printf "  make %-9s %s\n", $$1, $$2}' $(MAKEFILE_LIST)

build: ## write bin/postern and bin/postern-agent
	@mkdir -p bin
	$(GOBUILD) -o bin/ ./cmd/postern
	$(GOBUILD) $(AGENTFLAGS) -ldflags "$(LDFLAGS) -funcalign=16" -o bin/ ./cmd/postern-agent

demo: build ## start everything on this machine with a small demo company; Ctrl-C ends it
	@bin/postern demo

deps: ## on Debian as root: install the servers that the tests talk to (DEPS=no: do nothing)
	@DEPS=$(DEPS) internal/testenv/deps.sh

test: deps build ## every test that runs within minutes, against real servers
	go test $(TESTFLAGS) -timeout 15m ./...

lint: ## gofmt, go vet (also for Windows), staticcheck, layout
	@bad=$$(git ls-files '*.go' | xargs gofmt -l); [ -z "$$bad" ] || { echo "gofmt wants:"; echo "$$bad"; exit 1; }
	go vet ./...
	go vet -tags interop ./internal/interop ./internal/e2e
	go vet -tags chaos ./internal/e2e
	go vet -tags installer ./internal/e2e
	GOOS=windows go vet ./agent/... ./protocol/... ./installer ./cmd/postern-agent
	@mkdir -p $(TOOLS); go -C internal/tools build -o $(CURDIR)/$(TOOLS)/ honnef.co/go/tools/cmd/staticcheck
	$(TOOLS)/staticcheck ./...
	go test -count=1 ./internal/layout
	@go mod tidy -diff || { echo "go.mod is not tidy: run go mod tidy"; exit 1; }

fuzz: ## every fuzz test for FUZZTIME (default 20s) each
	@internal/testenv/fuzz.sh $${FUZZTIME:-20s}

full: lint test interop fuzz bench dist installer chaos ## all of it, five minutes for each parser of evidence, and the race detector
	internal/testenv/fuzz.sh 5m $(EVIDENCE)
	CGO_ENABLED=1 go test -race -timeout 60m ./...

interop: ## our verifier, provider, storage and API description against programs from npm, downloaded for it (node 20)
	cd internal/interop/wallets && npm ci --ignore-scripts --no-audit --no-fund
	cd internal/interop/provider && npm ci --ignore-scripts --no-audit --no-fund
	cd internal/interop/relying && npm ci --ignore-scripts --no-audit --no-fund
	cd internal/interop/storage && npm ci --ignore-scripts --no-audit --no-fund
	cd internal/interop/openapi && npm ci --ignore-scripts --no-audit --no-fund
	go test -tags interop -count=1 ./internal/interop
	go test -tags interop -count=1 -run TestOpenidClient ./internal/e2e

zxing: ## the reader of bar codes again, from npm; its test compares hashes
	@d=$$(mktemp -d) && cd $$d && npm pack --silent zxing-wasm@3.1.4 && tar xzf zxing-wasm-3.1.4.tgz && cd package && \
	cp dist/iife/reader/index.js $(CURDIR)/hub/site/static/zxing.js && cp dist/reader/zxing_reader.wasm $(CURDIR)/hub/site/static/ && \
	cp LICENSE $(CURDIR)/hub/site/zxing-LICENSE && rm -r $$d && cd $(CURDIR) && go test -run PublishedOne ./hub/site

bench: ## ratios against raw peers, measured in one run
	go run ./internal/bench

chaos: deps ## the agent through dying hubs, moved names, frozen lines, full disks, wrong clocks: three times in a row, 45 minutes (Linux, root)
	go test -tags chaos -count=$${CHAOS:-3} -timeout 120m -run Chaos ./internal/e2e

installer: deps ## the agent's packages tried out: MSI under wine, deb in a booted systemd (Debian, root)
	@DEPS=$(DEPS) internal/testenv/deps.sh installer
	go test -tags installer -count=1 -timeout 20m -run 'Installer' ./internal/e2e

dist: ## dist/: tarball and deb of postern; of the agent deb, rpm, apk, MSI, tarballs; SBOM, checksums (SIGN_CERT=, SIGN_KEY=)
	@DEPS=$(DEPS) internal/testenv/deps.sh dist
	@mkdir -p $(TOOLS); go -C internal/tools build -o $(CURDIR)/$(TOOLS)/ github.com/goreleaser/nfpm/v2/cmd/nfpm
	VERSION=$(VERSION) NFPM=$(CURDIR)/$(TOOLS)/nfpm packaging/dist.sh
	VERSION=$(VERSION) NFPM=$(CURDIR)/$(TOOLS)/nfpm packaging/agent/agent.sh
	@ls -l dist

clean: ## remove what make made
	rm -rf bin dist .cache

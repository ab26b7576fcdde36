# hooknet. "make" alone lists the targets; each sets up what it needs.

SHELL := bash
.SHELLFLAGS := -eu -o pipefail -c
.DEFAULT_GOAL := help

GO ?= go
# Arguments of "make demo", as ARGS=--json.
ARGS ?=
# How long: of each fuzz target, of the soak tests. Their defaults stand at the targets.
T ?=
# Which benchmarks, how often, how long each.
BENCH ?= .
COUNT ?= 1
TIME ?= 1s

# The systems the module builds for.
SYSTEMS := linux darwin windows

.PHONY: help
help: ## list the targets
	@echo 'usage: make TARGET [VARIABLE=VALUE ...]'
	@echo
	@awk -F ':.*## ' '/^[a-z-]+:.*## / { printf "  %-13s %s\n", $$1, $$2 }' $(MAKEFILE_LIST)

.PHONY: demo
demo: ## show a router at work: two namespaces, hooks, real traffic (ARGS=--json)
	@$(GO) run ./cmd/hooknet demo $(ARGS)

.PHONY: build
build: ## build bin/hooknet
	$(GO) build -trimpath -o bin/hooknet ./cmd/hooknet

.PHONY: test
test: ## run all tests under the race detector; as root, installs the tools they need (V=1: every line)
	@scripts/test.sh

.PHONY: integration
integration: ## run the tests with real programs in namespaces only (V=1: every line)
	@scripts/test.sh ./integration/...

.PHONY: check
check: fmt vet staticcheck arch mod cross ## run all checks of the source

.PHONY: fmt
fmt: ## check that gofmt has nothing to change
	@unformatted="$$(gofmt -l .)"; if [[ -n $$unformatted ]]; then \
		echo "gofmt would change these (gofmt -w FILE):"; echo "$$unformatted"; exit 1; fi

.PHONY: vet
vet: ## run go vet for every system
	@for system in $(SYSTEMS); do echo "go vet ($$system)"; GOOS=$$system $(GO) vet ./...; done

.PHONY: staticcheck
staticcheck: ## run staticcheck, as pinned in tools/go.mod
	@echo staticcheck
	@$(GO) tool -modfile=tools/go.mod staticcheck ./...

.PHONY: arch
arch: ## check import arrows, package comments and licences
	@echo 'go test ./internal/archtest'
	@$(GO) test -count=1 ./internal/archtest

.PHONY: mod
mod: ## check that go.mod and go.sum are tidy
	@echo 'go mod tidy -diff'
	@$(GO) mod tidy -diff

.PHONY: cross
cross: ## build for every system
	@for system in $(SYSTEMS); do echo "go build ($$system)"; GOOS=$$system $(GO) build ./...; done

.PHONY: race
race: ## repeat the tests under the race detector to find rare ones (COUNT=3 for three times)
	$(GO) test -race -shuffle=on -count=$(COUNT) -p 1 -timeout 0 ./...

.PHONY: bench
bench: ## run the benchmarks (BENCH=regexp COUNT=10 TIME=2s; benchstat compares)
	$(GO) test -run='^$$' -bench='$(BENCH)' -benchmem -count=$(COUNT) -benchtime=$(TIME) -timeout 0 ./...

.PHONY: fuzz
fuzz: ## run each fuzz target in turn (T=30s each; FUZZ=regexp to choose)
	@T='$(or $(T),30s)' scripts/fuzz.sh

.PHONY: soak
soak: ## run the soak tests in full (T=10m each)
	@scripts/test-tools.sh || true
	HOOKNET_SOAK='$(or $(T),10m)' $(GO) test -race -run=Soak -count=1 -p 1 -v -timeout 0 ./...

.PHONY: cover
cover: ## measure what the tests reach; bin/cover.html shows it line by line
	@mkdir -p bin
	$(GO) test -coverpkg=./... -coverprofile=bin/cover.out ./...
	@$(GO) tool cover -html=bin/cover.out -o bin/cover.html
	@$(GO) tool cover -func=bin/cover.out | tail -1

.PHONY: clean
clean: ## remove what the other targets built
	rm -rf bin

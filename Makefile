# make help lists what there is. CI runs these targets and nothing else.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS   += --warn-undefined-variables --no-print-directory
.DEFAULT_GOAL := help

# Tools, run as go run tool@version so that no module of ours names them.
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Modules beside the library's own: what they need is no business of its users.
MODULES := interop bench bench/rivals

DEBUG    := aguidebug
FUZZTIME ?= 30s
ADDR     ?= :8080

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

.PHONY: demo
demo: ## serve a page where you talk to an agent, on http://localhost:8080/
	go run ./cmd/agloop demo --addr $(ADDR)

.PHONY: test
test: unit race interop ## everything that needs Go alone

.PHONY: unit
unit: ## tests in the release build, allocation ceilings among them
	go test -shuffle=on ./...

.PHONY: race
race: ## tests under the race detector, ownership checked
	go test -race -tags $(DEBUG) -shuffle=on ./...

.PHONY: interop
interop: ## gorilla and coder as real peers, in both roles
	cd interop && go test -race -tags $(DEBUG) -shuffle=on ./...

.PHONY: e2e
e2e: ## the official TypeScript client and a headless browser; installs what they need
	bash e2e/run.sh

.PHONY: check
check: fmt-check vet lint floors tidy-check ## the one gate before a commit

.PHONY: fmt
fmt: ## format all code
	go run $(GOFUMPT) -extra -w .

.PHONY: fmt-check
fmt-check:
	@out=$$(go run $(GOFUMPT) -extra -l .); if [ -n "$$out" ]; then echo "not formatted (make fmt):"; echo "$$out"; exit 1; fi

.PHONY: vet
vet: ## go vet in every build we promise
	go vet ./...
	go vet -tags $(DEBUG) ./...
	GOOS=darwin go vet ./...
	for m in $(MODULES); do (cd $$m && go vet ./...); done

.PHONY: lint
lint: ## staticcheck, with and without the debug tag
	go run $(STATICCHECK) ./...
	go run $(STATICCHECK) -tags $(DEBUG) ./...
	for m in $(MODULES); do (cd $$m && go run $(STATICCHECK) ./...); done

.PHONY: floors
floors: ## imports point down, each foreign module has one owner
	go test -count=1 -run 'TestFloors|TestDoorways' .

.PHONY: tidy-check
tidy-check:
	go mod tidy -diff
	for m in $(MODULES); do (cd $$m && go mod tidy -diff); done

.PHONY: fuzz
fuzz: ## run every fuzz target for FUZZTIME
	@for pkg in $$(go list ./...); do \
	  for target in $$(go test -list '^Fuzz' $$pkg | grep '^Fuzz' || true); do \
	    echo "== $$pkg $$target"; \
	    go test -run '^$$' -fuzz "^$$target$$" -fuzztime $(FUZZTIME) -fuzzminimizetime 10x $$pkg; \
	  done; \
	done

.PHONY: figures
figures: ## memory and CPU beside gnet and gorilla, in one run (Linux; about 15 minutes)
	bash bench/figures.sh

# make help lists what there is. CI runs these targets and nothing else.

SHELL       := bash
.SHELLFLAGS := -eu -o pipefail -c
MAKEFLAGS   += --warn-undefined-variables --no-print-directory
.DEFAULT_GOAL := help

# Tools, run as go run tool@version so that no module of ours names them.
GOFUMPT     := mvdan.cc/gofumpt@v0.12.0
STATICCHECK := honnef.co/go/tools/cmd/staticcheck@v0.8.2

# Modules beside the library's own: what they need is no business of its users.
ADAPTERS := adapters/communitysdk adapters/openaichat adapters/eino
MODULES := interop examples $(ADAPTERS) bench bench/rivals

DEBUG    := aguidebug
FUZZTIME ?= 30s
SEEDS    ?= 20000
SEED     ?= 0
COUNT    ?= 100000
SHORT    ?=
ADDR     ?= localhost:8080
COVER    := cover.out
# Tests of the wire that connect by themselves, or whose answers are others over TLS.
PLAIN    := TestWireHTTP|TestWireBackpressure|TestWireUpgradeRefused

.PHONY: help
help: ## list the targets
	@grep -hE '^[a-z0-9-]+:.*## ' $(MAKEFILE_LIST) | sort | awk -F ':.*## ' '{printf "  %-12s %s\n", $$1, $$2}'

.PHONY: demo
demo: ## serve a page where you talk to an agent, on http://localhost:8080/ (ADDR=:8080: to other machines too)
	go run ./cmd/agloop demo --addr $(ADDR)

.PHONY: test
test: unit race interop examples adapters benchtest ## everything that needs Go alone

.PHONY: unit
unit: ## tests in the release build, allocation ceilings among them; those of the wire once more over TLS, those of agloop.v1 over protobuf
	go test -shuffle=on ./...
	go test -shuffle=on -run '^TestWire' -skip '$(PLAIN)' ./loop -tls
	go test -shuffle=on -run '^TestR[0-9]' . -proto

.PHONY: race
race: ## tests under the race detector, ownership checked
	go test -race -tags $(DEBUG) -shuffle=on ./...

# A package counts as covered by the tests of any package. A line of the profile ends in the statements of a block and
# how often they ran; each test binary writes one for the same block.
.PHONY: cover
cover: ## coverage of each package and in total; go tool cover -html=cover.out shows the lines
	go test -shuffle=on -coverpkg=./... -coverprofile=$(COVER) ./... | sed 's/\tcoverage:.*//'
	@awk 'NR > 1 { size[$$1] = $$2; ran[$$1] += $$3 } \
	  END { \
	    for (block in size) { \
	      pkg = block; sub("/[^/]*$$", "", pkg); \
	      all[pkg] += size[block]; total += size[block]; \
	      if (ran[block]) { hit[pkg] += size[block]; hits += size[block] } \
	    } \
	    for (pkg in all) printf "%5.1f %%  %s\n", 100 * hit[pkg] / all[pkg], pkg | "sort -k3"; \
	    close("sort -k3"); \
	    printf "%5.1f %%  total\n", 100 * hits / total \
	  }' $(COVER)

.PHONY: interop
interop: ## gorilla and coder as real peers, in both roles
	cd interop && go test -race -tags $(DEBUG) -shuffle=on ./...

.PHONY: examples
examples: ## the programs in examples run and do what they say
	cd examples && go test -race -tags $(DEBUG) -shuffle=on ./...

# Without the race detector: openai-go takes minutes to compile for it.
.PHONY: adapters
adapters: ## agents of other SDKs and frameworks run as agents of agloop
	for m in $(ADAPTERS); do (cd $$m && go test -shuffle=on ./...); done

.PHONY: benchtest
benchtest: ## the load generator, the rivals and the report are right (Linux; needs cc)
	cd bench && go test -shuffle=on ./...
	cd bench/rivals && go test -shuffle=on ./...

.PHONY: e2e
e2e: ## the official TypeScript client, a headless browser, nginx and HAProxy; installs what they need
	bash e2e/run.sh

# npm leaves this file behind when an installation is complete.
.PHONY: judge
judge: ## 100,000 changed events and 100,000 streams beside the official client; a difference that docs/agui.md does not list fails (Node; COUNT=…)
	cd e2e && { [ node_modules/.package-lock.json -nt package-lock.json ] || npm ci --no-audit --no-fund --loglevel=error; }
	go run ./e2e/judge -events $(COUNT) -streams $(COUNT) -seed $(SEED)

.PHONY: storm
storm: ## kill sockets, client processes and the server under durable runs: nothing is lost (two minutes; SHORT=1: as CI does)
	$(if $(SHORT),GORACE=halt_on_error=1 go run -race -tags $(DEBUG) ./e2e/storm -short -within 5s,go run ./e2e/storm) -seed $(SEED)

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
	GOOS=freebsd go vet ./...
	GOOS=windows go build ./agui ./run ./answer ./aguitest
	@[ "$$(GOOS=windows go build . 2>&1 | grep -vc '^#')" = 1 ] || { echo "on Windows the rest must fail with one sentence"; exit 1; }
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

.PHONY: model
model: ## play SEEDS interleavings on hubs beside a plain model of them, from SEED on, and some of them under the race detector
	go test -count=1 -timeout 60m -run '^TestModel' ./run -seeds $(SEEDS) -seed $(SEED)
	go test -count=1 -timeout 60m -run '^TestModel' -race -tags $(DEBUG) ./run -seeds $$(( $(SEEDS) / 20 + 1 )) -seed $(SEED)

.PHONY: bench
bench: ## agloop and its rivals side by side, as a page: bench/report (Linux; not quite two hours; QUICK=1: shorter)
	bash bench/bench.sh

.PHONY: bench-guard
bench-guard: ## agloop's CPU per echo beside a bare gnet echo in the same run; fails above a generous ratio
	bash bench/bench.sh guard

.PHONY: bench-render
bench-render: ## draw bench/report again from the saved run
	bash bench/bench.sh render

.PHONY: bench-readme
bench-readme: ## take the README's table from the saved run
	bash bench/bench.sh readme

.PHONY: bench-million
bench-million: ## as many live connections as the machine allows (Linux; a few minutes)
	bash bench/bench.sh million

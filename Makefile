# make demo and make test install everything that they need on a Debian machine with Go.

VERSION ?= $(shell git describe --tags --always --dirty 2>/dev/null || echo devel)
# Without HTTP/2, which needs TLS and 0.4 MB.
BUILD = CGO_ENABLED=0 go build -buildvcs=false -trimpath -tags nethttpomithttp2 -ldflags "-s -w -X main.version=$(VERSION)"
BIN = bin/rlb-agent
DESTDIR ?=
AS_ROOT = $(if $(filter 0,$(shell id -u)),env,sudo --preserve-env=RLB_LAB,RLB_REQUIRE,RLB_AGENT,RLB_AGENT_FAULTS,RLB_KILL_POINTS,RLB_PUSH_FAULTS,RLB_BROWSER,RLB_LAB_LANE,RLB_GUIDES,RLB_KUBEVIP)

IN_LAB = RLB_LAB=1 RLB_REQUIRE=1 RLB_AGENT=$(CURDIR)/$(BIN) RLB_AGENT_FAULTS=$(CURDIR)/bin/rlb-agent-faults RLB_BROWSER=$(CURDIR)/bin/browser

# Some unit tests need root: if the user is not root, make test runs all of them again with sudo. Tests that need the lab run in hack/e2e/run.
UNIT = $$(go list ./... | grep -v -e /hack/e2e -e '/hack/lab$$' -e '/hack/fuzz$$' -e '/render$$' -e '/importer$$')

.PHONY: build
build: ## the static binary, bin/rlb-agent
	$(BUILD) -o $(BIN) ./cmd/rlb-agent

.PHONY: release
release: ## the binary for every kind of machine, under bin/
	GOARCH=amd64 $(BUILD) -o bin/rlb-agent-linux-amd64 ./cmd/rlb-agent
	GOARCH=arm64 $(BUILD) -o bin/rlb-agent-linux-arm64 ./cmd/rlb-agent
	GOARCH=arm GOARM=6 $(BUILD) -o bin/rlb-agent-linux-armv6 ./cmd/rlb-agent

# All files in a package have the time of the commit, so that another build gives the same bytes.
export SOURCE_DATE_EPOCH ?= $(shell git log -1 --format=%ct 2>/dev/null || echo 0)

.PHONY: package
package: build release ## Debian packages, their SBOM and checksums, under dist/packages
	go run ./hack/package -version "$(VERSION)"

.PHONY: repository
repository: ## a signed apt repository of the packages, under dist/repository; KEY names the GnuPG key that signs
	hack/package/repository "$(KEY)" dist/packages dist/repository

.PHONY: install
install: ## onto this machine: the binary that make build made, its unit, and the JSON Schema of the spec
	install -D -m 755 $(BIN) $(DESTDIR)/usr/local/sbin/rlb-agent
	install -D -m 644 hack/systemd/rlb-agent.service $(DESTDIR)/etc/systemd/system/rlb-agent.service
	install -D -m 644 cmd/rlb-agent/schema/schema.json $(DESTDIR)/usr/local/share/rlb-agent/schema.json

.PHONY: demo
demo: tools build ## a real pair, end to end, in about a minute after the first download
	go build -o bin/demo ./hack/demo
	$(AS_ROOT) bin/demo -agent $(BIN)

.PHONY: bench
bench: tools build ## failover, standard against keepalived by hand and classic, each fault 20 times; three quarters of an hour, best on an idle machine
	go build -o bin/failover ./hack/bench/failover
	$(AS_ROOT) bin/failover -agent $(BIN) -json bin/failover.json -svg hack/bench/failover.svg

.PHONY: falsetakeover
falsetakeover: tools build ## takeovers without cause by advertisement interval and load, each for DURING (10s; 5 minutes in all)
	go build -o bin/falsetakeover ./hack/bench/falsetakeover
	$(AS_ROOT) bin/falsetakeover -agent $(BIN) -during $(or $(DURING),10s)

.PHONY: footprint
footprint: tools build ## what the daemon costs where nothing happens, and after EDITS edits (1000; 10000 takes half an hour)
	go build -o bin/footprint ./hack/bench/footprint
	$(AS_ROOT) bin/footprint -agent $(BIN) -edits $(or $(EDITS),1000)

.PHONY: chaos
chaos: tools build ## random faults on a real pair under load, 10 minutes: DURATION=30m SEED=7
	go build -o bin/chaos ./hack/chaos
	$(AS_ROOT) bin/chaos -agent $(BIN) -duration $(or $(DURATION),10m) $(if $(SEED),-seed $(SEED))

.PHONY: model
model: ## the failover of a pair as a model: SCHEDULES (10000) random ones from SEED (1) on, and as many with edits of the router, thousands a minute; without root
	go test -count=1 -timeout 6h -v -run 'TestSchedules$$|TestEdits$$' ./hack/model -schedules $(or $(SCHEDULES),10000) -seed $(or $(SEED),1)

.PHONY: bench-edit
bench-edit: tools build ## how long an edit takes to be live, 20 of each kind, and with confd (RLB_CONFD: its program); some minutes, best on an idle machine
	go build -o bin/edit ./hack/bench/edit
	$(AS_ROOT) bin/edit -agent $(BIN) $(if $(RLB_CONFD),-confd $(RLB_CONFD))

.PHONY: bench-move
bench-move: tools build ## what planned moves cost clients under load: standard, classic, keepalived by hand, and kube-vip (RLB_KUBEVIP: its program); ten minutes
	go build -o bin/move ./hack/bench/move
	$(AS_ROOT) bin/move -agent $(BIN) $(if $(RLB_KUBEVIP),-kubevip $(RLB_KUBEVIP)) -json bin/move.json -svg hack/bench/move.svg

.PHONY: clientview
clientview: tools build ## what clients see when API servers end, fail or restart, one of three and all, against the manual; ten minutes
	CGO_ENABLED=0 go build -o bin/apiserver ./hack/lab/apiserver
	go build -o bin/clientview ./hack/bench/clientview
	$(AS_ROOT) bin/clientview -agent $(BIN)

.PHONY: kill-points
kill-points: tools build ## the agent killed at every effect on real hosts; make test has a share of them
	CGO_ENABLED=0 go build -tags faults -o bin/rlb-agent-faults ./cmd/rlb-agent
	RLB_KILL_POINTS=all $(IN_LAB) hack/e2e/run faults -count=1 -timeout 60m -run '^TestKilled' -exec "$(AS_ROOT)"

.PHONY: push-faults
push-faults: tools build ## a push that is killed or cut at every call of ssh, on real hosts; make test has a share of it
	RLB_PUSH_FAULTS=all $(IN_LAB) hack/e2e/run edit -count=1 -timeout 60m -run '^TestPushFaults$$' -exec "$(AS_ROOT)"

.PHONY: most-servers
most-servers: tools build ## a spec of 100,000 servers on a real host, within the unit's MemoryMax; make test has a fifth of them
	CGO_ENABLED=0 go build -tags faults -o bin/rlb-agent-faults ./cmd/rlb-agent
	RLB_MOST_SERVERS=all $(IN_LAB) hack/e2e/run observe -count=1 -timeout 60m -v -run '^TestUnitMemory$$' -exec "$(AS_ROOT)"

.PHONY: guides
guides: tools build ## guides of the manual and upgrades that take long: from kube-vip (RLB_KUBEVIP: its program), Debian 12 to 13, from the first package; ten minutes
	CGO_ENABLED=0 go build -tags faults -o bin/rlb-agent-faults ./cmd/rlb-agent
	RLB_GUIDES=1 $(IN_LAB) hack/e2e/run install -count=1 -timeout 60m -v -run '^(TestFromKubeVIP|TestReleaseUpgrade|TestUpgradeFromFirstPackage)$$' -exec "$(AS_ROOT)"

.PHONY: scale
scale: ## what a spec of 10 to 100,000 servers costs: time of the processor for each stage, and memory
	go build -o bin/scale ./hack/bench/scale && bin/scale

.PHONY: fuzz
fuzz: tools ## N random specs (10000) from SEED (1) on for the real programs of all Debian releases; HAProxy serves START (500) of them
	go build -o bin/fuzz ./hack/fuzz
	$(AS_ROOT) bin/fuzz -n $(or $(N),10000) -seed $(or $(SEED),1) -start $(or $(START),500)

.PHONY: test
test: tools build ## everything, on the lab of real hosts too; nothing is skipped but what make guides has, and a release in the making that is not available
	hack/tools chromium lintian zsh fish curl tcpdump ping=iputils-ping arping=iputils-arping
	CGO_ENABLED=0 go build -tags faults -o bin/rlb-agent-faults ./cmd/rlb-agent
	go build -o bin/labctl ./hack/labctl
	go build -C hack/browser -o $(CURDIR)/bin/browser .
	@# The Debian trees are fetched while make check runs.
	$(AS_ROOT) bin/labctl cache >bin/trees.log 2>&1 & trees=$$!; \
	RLB_AGENT=$(CURDIR)/$(BIN) $(MAKE) check && checked=0 || checked=$$?; \
	wait $$trees && had=0 || had=$$?; cat bin/trees.log; exit $$((checked + had))
	$(if $(filter 0,$(shell id -u)),,$(IN_LAB) go test -count=1 -p 1 -timeout 20m -exec "$(AS_ROOT)" $(UNIT))
	$(IN_LAB) hack/e2e/run -count=1 -timeout 60m -exec "$(AS_ROOT)"

# These packages start no goroutines, so the race detector finds nothing in them and takes six times as long. The tests of
# packages that call them concurrently run with it. No package is vetted twice.
SEQUENTIAL = ./api ./reconcile/importer ./hack/specdoc ./hack/specgen

.PHONY: check
check: ## quick and without root: format, vet, linter, gosec, known vulnerabilities, unit tests with the race detector
	test -z "$$(gofmt -l $$(git ls-files '*.go'))" || { gofmt -l $$(git ls-files '*.go'); exit 1; }
	go vet ./...
	go tool staticcheck ./...
	cd hack/gosec && go build -o ../../bin/gosec .
	go vet -vettool=$(CURDIR)/bin/gosec ./api/... ./render/... ./reconcile/... ./cmd/...
	hack/vulncheck
	go test -vet=off $(SEQUENTIAL)
	go test -race -vet=off $$(go list ./... | grep -v $(foreach p,$(SEQUENTIAL),-e $(patsubst .%,%,$(p))$$))

.PHONY: cover
cover: ## coverage of the unit tests
	go test -coverprofile=bin/cover.out ./api ./render ./reconcile/... ./cmd/... && go tool cover -func=bin/cover.out | tail -1

.PHONY: manual
manual: ## the generated parts of the manual and the JSON Schema, from the types of the spec and from the commands
	go run ./hack/specdoc
	go test -count=1 -run 'TestTheCommandsPageIsUpToDate|TestStatusSample' ./cmd/rlb-agent -update

.PHONY: man
man: ## the manual as man pages, under dist/man
	go run ./hack/man -version "$(VERSION)"

.PHONY: tools
tools: ## the Debian packages that the lab needs
	hack/tools

.PHONY: help
help: ## this list
	@grep -hE '^[a-z-]+:.*##' Makefile | sed 's/:.*##/\t/'

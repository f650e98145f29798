# The targets that people and scripts rely on. make help lists them.

GO        ?= go
SHARED    ?= ../shared
CORPUS    ?= $(SHARED)/corpus
FEATURES  ?= $(SHARED)/design/features.tsv
CONTROLS  ?= $(SHARED)/design/controls.tsv
ORACLES   ?= $(SHARED)/oracles
VULNDB    ?= $(SHARED)/data/vulndb.tar.gz
FUZZTIME  ?= 20s
CHAOSTIME ?= 10m
CACHE     ?= $(if $(XDG_CACHE_HOME),$(XDG_CACHE_HOME),$(HOME)/.cache)/countersign

COMMIT    := $(shell git rev-parse HEAD 2>/dev/null)
LDFLAGS   := -X github.com/countersign/countersign/cmd/internal/buildinfo.commit=$(COMMIT)

GOLANGCI_LINT_VERSION := v2.15.0
GOVULNCHECK_VERSION   := v1.8.0

# These go to the demo by the environment, so that a name with a space or a
# quotation mark in it stays one name.
demo: export COUNTERSIGN_DEMO_FILE = $(FILE)
demo: export COUNTERSIGN_DEMO_OUT  = $(OUT)
demo: export COUNTERSIGN_DEMO_NAME = $(NAME)
demo: export COUNTERSIGN_DEMO_KEEP = $(KEEP)
demo: export COUNTERSIGN_DEMO_PEER = $(PEER)
demo: export COUNTERSIGN_DEMO_HSM  = $(HSM)

# What is measured and handed out is compressed as well as can be; tests want axe-core.
bench: BEST = 1
test: TESTS = 1

# Tests run in the folders of their packages: they get absolute names, and only
# of what is there.
present = $(if $(wildcard $($(1))),$(1)=$(abspath $($(1))))
DATA    = $(foreach d,CORPUS FEATURES CONTROLS ORACLES,$(call present,$(d)))
WITH_DATA = env -u CORPUS -u FEATURES -u CONTROLS -u ORACLES $(DATA)

.DEFAULT_GOAL := help
.PHONY: help assets build hsm demo test lint bench features controls corpus interop chaos fuzz deb clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

assets: ## what browsers load: TypeScript, WebAssembly, the PDF viewer; BEST=1 small
	@$(GO) run ./tools/assets -go "$(GO)" -cache "$(CACHE)" $(if $(BEST),-best) $(if $(TESTS),-tests)

build: assets ## bin/countersign and bin/countersign-sam, without cgo
	@GO="$(GO)" tools/build bin '$(LDFLAGS)'

hsm: assets ## bin/countersign-sam-hsm, with cgo, for keys in a PKCS#11 module
	@GO="$(GO)" tools/build-hsm bin '$(LDFLAGS)'

demo: build $(if $(HSM),hsm) ## sign a PDF on this machine, everything included; FILE= OUT= NAME= KEEP=1 HSM=1 PEER=1
	@exec bin/countersign demo

test: assets ## the whole suite, with the race detector; installs what it needs
	@tools/need gcc:gcc /usr/include/grp.h:libc6-dev softhsm2-util:softhsm2 p11-kit:p11-kit '/usr/lib/*/pkcs11/p11-kit-client.so:p11-kit-modules' initdb:postgresql pdfsig:poppler-utils qpdf:qpdf openssl:openssl chromium:chromium
	@tools/data CORPUS="$(CORPUS)" FEATURES="$(FEATURES)" CONTROLS="$(CONTROLS)"
	@$(WITH_DATA) tools/suite "$(ORACLES)" "$(CACHE)" $(GO) run ./cmd/internal/ci test -race -vet=off -count=1 -timeout 18m ./...

lint: assets ## linters, dependency rules, known vulnerabilities, go.mod and formatting
	@tools/lint "$(CACHE)" "$(VULNDB)" $(GOLANGCI_LINT_VERSION) $(GOVULNCHECK_VERSION)

bench: assets ## benchmarks, each beside its baseline; bench.json
	@$(GO) run ./cmd/internal/ci bench bench.json ./...

features: ## rows of features.tsv that the last runs prove; features.json
	@$(GO) run ./cmd/internal/ci features "$(FEATURES)" features.json

controls: ## rows of controls.tsv that the last runs prove; controls.json
	@$(GO) run ./cmd/internal/ci controls "$(CONTROLS)" controls.json

corpus: build ## sign every PDF of CORPUS and have it judged; corpus.json
	@$(WITH_DATA) tools/peers "$(ORACLES)" "$(CACHE)" $(GO) run ./cmd/internal/ci corpus "$(CORPUS)" corpus.json

interop: build ## other people's clients and validators; interop.json
	@$(WITH_DATA) tools/peers "$(ORACLES)" "$(CACHE)" $(GO) run ./cmd/internal/ci interop "$(ORACLES)" interop.json

chaos: ## kill module and gateway under load for CHAOSTIME; chaos.json
	@echo "Killing processes under load for $(CHAOSTIME), then reading what they recorded ..."
	@$(GO) test ./internal/e2e -count=1 -v -timeout 24h -run '^TestKilledProcesses' -chaos.duration $(CHAOSTIME) -chaos.out "$(CURDIR)/chaos.json"

fuzz: ## every fuzz target for FUZZTIME
	@GO="$(GO)" tools/fuzz $(FUZZTIME)

deb: BEST = 1
deb: assets ## the Debian package, in dist/
	@GO="$(GO)" deploy/build-deb dist

clean: ## what make made, the demo's state included
	@rm -rf bin dist .demo .test bench.json features.json controls.json corpus.json interop.json chaos.json

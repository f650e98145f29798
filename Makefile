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

# Tests run in the folders of their packages: they get absolute names, and only
# of what is there.
present = $(if $(wildcard $($(1))),$(1)=$(abspath $($(1))))
DATA    = $(foreach d,CORPUS FEATURES CONTROLS ORACLES,$(call present,$(d)))
WITH_DATA = env -u CORPUS -u FEATURES -u CONTROLS -u ORACLES $(DATA)

.DEFAULT_GOAL := help
.PHONY: help build demo test lint bench features controls corpus interop chaos fuzz clean

help: ## this list
	@sed -n 's/^\([a-z]*\):.*## \(.*\)/make \1\t\2/p' $(firstword $(MAKEFILE_LIST)) | expand -t 18

build: ## bin/countersign and bin/countersign-sam, without cgo
	@GO="$(GO)" tools/build bin '$(LDFLAGS)'

demo: build ## sign a PDF on this machine, everything included; FILE= OUT= NAME= KEEP=1
	@exec bin/countersign demo

test: ## the whole suite, with the race detector; installs what it needs
	@tools/need gcc:gcc /usr/include/grp.h:libc6-dev softhsm2-util:softhsm2 initdb:postgresql pdfsig:poppler-utils qpdf:qpdf openssl:openssl
	@tools/data CORPUS="$(CORPUS)" FEATURES="$(FEATURES)" CONTROLS="$(CONTROLS)"
	@$(WITH_DATA) tools/suite "$(ORACLES)" "$(CACHE)" $(GO) run ./cmd/internal/ci test -race -vet=off -count=1 -timeout 18m ./...

lint: ## linters, dependency rules, known vulnerabilities, go.mod and formatting
	@tools/lint "$(CACHE)" "$(VULNDB)" $(GOLANGCI_LINT_VERSION) $(GOVULNCHECK_VERSION)

bench: ## benchmarks, each beside its baseline; bench.json
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

clean: ## what make made, the demo's state included
	@rm -rf bin .demo .test bench.json features.json controls.json corpus.json interop.json chaos.json

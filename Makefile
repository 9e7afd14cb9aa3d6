# The commands of a developer. Each target first sets up what it needs.

BINARY := target/release/livecode

.PHONY: run build web test deb image chaos control-store faults soak neighbours siege siege-costs attacks test-vm fuzz bench lint fmt setup-build setup-run setup-web setup-package setup-test setup-vm setup-bench toolchains clean help

help: ## List the targets
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: setup-run build ## Start the server on http://127.0.0.1:8000
	$(BINARY) serve

build: setup-build ## Build everything into target/release/livecode
	cargo build --release --locked --package livecode

web: setup-web ## Build the browser's files into web/dist
	scripts/web build

test: setup-test ## Set up what the tests need, and run all tests
	scripts/test

deb: setup-package build ## Make the Debian package in target/debian
	scripts/deb

image: setup-package build ## Make a container image in target (as root); LANGUAGES=1 with the tools of all languages
	scripts/image $(if $(LANGUAGES),--languages)

toolchains: ## Install the toolchains of all languages
	scripts/setup run languages large-languages

SIEGE = cargo run --release --locked --quiet --package livecode-siege --
CHAOS = cargo run --release --locked --quiet --package livecode-chaos --

chaos: setup-run build ## Run 200 sessions under random faults (as root); SEED=n repeats a run
	$(CHAOS) run $(if $(SEED),--seed $(SEED))

control-store: setup-run build ## Kill the server 200 times while it changes tokens, shares and quotas; SEED=n repeats a run
	$(CHAOS) control-store $(if $(SEED),--seed $(SEED))

faults: setup-run build ## Inject one fault at a time, and print a table (as root)
	$(CHAOS) faults $$(scripts/older | sed 's/^/--older-binary=/')

soak: setup-run build ## Check that no resource grows within MINUTES=20 (as root)
	$(CHAOS) soak --minutes $(or $(MINUTES),20)

neighbours: setup-run build ## Measure small programs beside hostile ones (as root)
	$(CHAOS) neighbours

siege: setup-run build ## Attack the server beside a user whose times are measured (as root); SEED=n, ONLY=row,…
	$(SIEGE) $(if $(SEED),--seed $(SEED)) $(if $(ONLY),--only $(ONLY))

siege-costs: setup-run build ## Print what each thing that the server holds costs (as root)
	$(SIEGE) costs

attacks: setup-test build ## Run the known attacks against the release binary, and print tables
	scripts/attacks
	scripts/attacks --image

test-vm: setup-test setup-vm build ## Run the attacks in a virtual machine with cgroup v2
	scripts/test-vm

fuzz: setup-build ## Fuzz every parser of untrusted input, for FUZZ_SECONDS (60) each
	scripts/fuzz

bench: setup-bench build ## Measure into docs/performance.md; ONLY=row,… prints those rows; AGAINST=binary [ROUNDS=n] [TOKENS=1] compares
	cargo run --release --locked --quiet --package livecode-bench -- $(if $(ONLY),--only $(ONLY)) $(if $(AGAINST),--against $(AGAINST) $(if $(ROUNDS),--rounds $(ROUNDS)) $(if $(TOKENS),--tokens),$(if $(ONLY),,--write docs/performance.md))

lint: setup-build setup-web ## Check format, clippy, licences and the browser's files
	scripts/lint

fmt: ## Format the sources
	cargo fmt --all

setup-build:
	@scripts/setup build

setup-web:
	@scripts/setup web

setup-package:
	@scripts/setup build package

setup-run:
	@scripts/setup build run

setup-test:
	@scripts/setup build run test

setup-vm:
	@scripts/setup vm

setup-bench:
	@scripts/setup build run bench

clean: ## Remove all build results
	cargo clean

# What a newcomer types. Each target sets up what it needs first.

BINARY := target/release/livecode

.PHONY: run build web test chaos faults soak neighbours attacks test-vm fuzz bench lint fmt setup-build setup-run setup-web setup-test setup-vm setup-bench clean help

help: ## Say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: setup-run build ## Start the server on http://127.0.0.1:8000
	$(BINARY) serve

build: setup-build ## Build everything into target/release/livecode
	cargo build --release --locked --package livecode

web: setup-web ## Build the browser's files into web/dist
	scripts/web build

test: setup-test ## Set up what the tests need, and run them all
	scripts/test

CHAOS = cargo run --release --locked --quiet --package livecode-chaos --

chaos: setup-run build ## Cut 1,000 connections and kill the server 50 times under 200 sessions (as root); SEED=n repeats one
	$(CHAOS) run $(if $(SEED),--seed $(SEED))

faults: setup-run build ## One fault at a time, as a table (as root)
	$(CHAOS) faults --older-binary "$$(scripts/older)"

soak: setup-run build ## Sessions that come and go for MINUTES=20; nothing may grow (as root)
	$(CHAOS) soak --minutes $(or $(MINUTES),20)

neighbours: setup-run build ## Small programs beside a fork, a memory, a disk and an output bomb (as root)
	$(CHAOS) neighbours

attacks: setup-test build ## Run the known attacks against the release binary, and print a table
	scripts/attacks

test-vm: setup-test setup-vm build ## The same in a virtual machine with another kernel and cgroup v2
	scripts/test-vm

fuzz: setup-build ## Fuzz what parses strangers' bytes, FUZZ_SECONDS (60) each
	scripts/fuzz

bench: setup-bench build ## Measure into docs/performance.md; ONLY=row,… prints those rows; AGAINST=binary [ROUNDS=n] compares
	cargo run --release --locked --quiet --package livecode-bench -- $(if $(ONLY),--only $(ONLY)) $(if $(AGAINST),--against $(AGAINST) $(if $(ROUNDS),--rounds $(ROUNDS)),$(if $(ONLY),,--write docs/performance.md))

lint: setup-build setup-web ## What CI checks before the tests: format, clippy, licences, the browser's files
	scripts/lint

fmt: ## Format the sources
	cargo fmt --all

setup-build:
	@scripts/setup build

setup-web:
	@scripts/setup web

setup-run:
	@scripts/setup build run

setup-test:
	@scripts/setup build run test

setup-vm:
	@scripts/setup vm

setup-bench:
	@scripts/setup build run bench

clean: ## Remove what was built
	cargo clean

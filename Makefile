# What a newcomer types. Each target sets up what it needs first.

BINARY := target/release/livecode

.PHONY: run build test fuzz lint fmt setup-build setup-run setup-test clean help

help: ## Say what can be made
	@grep -E '^[a-z-]+:.*##' $(MAKEFILE_LIST) | sed 's/:.*## /\t/' | expand -t 12

run: setup-run build ## Start the server on http://127.0.0.1:8000
	$(BINARY) serve

build: setup-build ## Build everything into target/release/livecode
	cargo build --release --locked --package livecode

test: setup-test ## Set up what the tests need, and run them all
	scripts/test

fuzz: setup-build ## Fuzz what parses strangers' bytes, FUZZ_SECONDS (60) each
	scripts/fuzz

lint: setup-build ## What CI checks before the tests: format, clippy, licences
	scripts/lint

fmt: ## Format the sources
	cargo fmt --all

setup-build:
	@scripts/setup build

setup-run:
	@scripts/setup build run

setup-test:
	@scripts/setup build run test

clean: ## Remove what was built
	cargo clean

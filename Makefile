# rolegate: what a person types here. tests/setup gets what is missing on a bare Debian 12.

export CARGO_NET_RETRY ?= 10
export CARGO_TERM_COLOR ?= auto

# Tests, demo and build share the dev profile, and so most of what is compiled; what the judges of the
# tests (bergshamra) ask of shared crates is compiled for them once more.

.PHONY: help build demo test check bench coverage fuzz soak faults

help:
	@echo 'make demo    an IdP, the gateway, a sandbox STS and a job, all on loopback (ARGS=--once: run and exit)'
	@echo 'make test    every test, with real parts: SimpleSAMLphp, pysaml2, signxml, xmlsec1, AWS SDKs, PostgreSQL, Prometheus'
	@echo 'make check   format, lints, documentation, import rules, licences'
	@echo 'make bench   the figures that the README quotes'
	@echo 'make coverage  line coverage of saml/ and policy/, which may not be under 95 %'
	@echo 'make fuzz    each fuzz target for FUZZ_SECONDS (60): gate, attributes, metadata, logout'
	@echo 'make soak    SOAK_POSTS (100000) good and bad posts at a gateway whose memory must stay flat'
	@echo 'make faults  FAULTS_ROUNDS (100) kills, broken ways and more of each fault: nothing acknowledged may be lost'
	@echo 'make build   the program, in target/debug'

build:
	tests/setup build
	cargo build --locked

demo:
	tests/setup build
	cargo run --locked --quiet -- demo $(ARGS)

test:
	tests/setup test
	cargo test --locked
	tests/on_postgres cargo test --locked --lib -- store:: audit::

check:
	tests/setup check
	cargo fmt --check
	cargo clippy --locked --all-targets -- -D warnings
	RUSTDOCFLAGS='-D warnings' cargo doc --locked --no-deps --document-private-items
	cargo test --locked --quiet --test it -- architecture:: licences::

bench:
	tests/setup build
	cargo bench --locked

# Needs llvm-profdata and llvm-cov of the version that rustc is built with: rustup's llvm-tools, or
# Debian's llvm-N. tests/setup looks for both and gets one; cargo-llvm-cov it builds below target/.
coverage:
	tests/setup coverage
	tests/coverage

# Stable toolchain, no sanitizer: the crate has two lines of unsafe code, and panics and wrong answers
# are looked for. The corpus grows in target/; what crashes is left in target/fuzz-artifacts.
FUZZ_SECONDS ?= 60
fuzz:
	tests/setup fuzz
	tests/fuzz/run $(FUZZ_SECONDS)

SOAK_POSTS ?= 100000
soak:
	tests/setup build
	ROLEGATE_SOAK_POSTS=$(SOAK_POSTS) cargo test --locked --test it -- soak:: --nocapture

# Each fault prints the seed of its moments; ROLEGATE_FAULTS_SEED=N makes them the same again.
FAULTS_ROUNDS ?= 100
faults:
	tests/setup test
	FAULTS_ROUNDS=$(FAULTS_ROUNDS) cargo test --locked --test it -- faults:: --nocapture --test-threads=1

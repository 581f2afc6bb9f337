# What there is to run; `just` lists it.
default:
    @just --list

# Everything that CI runs.
check: fmt
    cargo clippy --workspace --all-targets
    .ci/test

# Formatting, as rustfmt.toml says.
fmt:
    cargo fmt --all --check

# One seed of the simulated world.
sim SEED:
    cargo run -q -p postrider-sim -- run {{SEED}}

# What many messages cost the release daemon, for docs/SCALE.md: queue, hole, letters, run (as root).
scale *WORDS:
    cargo build --release --bins
    target/release/scale {{WORDS}}

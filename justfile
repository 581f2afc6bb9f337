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

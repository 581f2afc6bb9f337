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

# Postrider beside Debian's Postfix (as root): `just bench`, or `just bench relay parse`. docs/PERFORMANCE.md tells of the rows.
bench *ROWS:
    cargo build --release -p postrider --bin postrider
    cargo run --release -p postrider-tests --bin bench -- {{ROWS}}

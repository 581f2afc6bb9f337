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

# Stories on all cores for so many minutes; Ctrl-C prints what was covered.
swarm MINUTES="1":
    cargo run -q --release -p postrider-sim -- swarm --minutes {{MINUTES}}

# The same with a program that was built by what stories do; built twice from nothing (docs/decisions/0053).
guided MINUTES="60" *OPTIONS:
    "$(sim/guided)" swarm --minutes {{MINUTES}} {{OPTIONS}}

# Plants bugs one at a time: the oracle must notice each.
canary:
    cargo run -q --release -p postrider-sim --features planted -- canary

# One seed of the simulated world.
sim SEED:
    cargo run -q -p postrider-sim -- run {{SEED}}

# Postrider beside Debian's Postfix (as root): `just bench`, or `just bench relay parse`. docs/PERFORMANCE.md tells of the rows.
bench *ROWS:
    cargo build --release -p postrider --bin postrider
    cargo run --release -p postrider-tests --bin bench -- {{ROWS}}

# libFuzzer on a target (a folder of corpus/fuzz), on stable Rust; it needs a C++ compiler. What it finds lies in target/fuzz/found.
fuzz TARGET MINUTES="10":
    mkdir -p target/fuzz/corpus/{{TARGET}} target/fuzz/found
    cd tests/fuzz && TARGET={{TARGET}} cargo run --release -- -max_total_time=$(( {{MINUTES}} * 60 )) -timeout=10 -max_len=4096 -print_final_stats=1 \
        -artifact_prefix=../../target/fuzz/found/{{TARGET}}- ../../target/fuzz/corpus/{{TARGET}} ../../corpus/fuzz/{{TARGET}}

# Keeps of what was found so far the least that reaches as much code, in corpus/fuzz.
fuzz-merge TARGET:
    cd tests/fuzz && TARGET={{TARGET}} cargo run --release -- -merge=1 -max_len=4096 ../../corpus/fuzz/{{TARGET}} ../../target/fuzz/corpus/{{TARGET}}

# The daemon is killed under load, 200 times.
kills:
    KILLS=200 cargo test -p postrider-tests --test crash what_was_accepted_survives_every_kill -- --nocapture

# What many messages cost the release daemon, for docs/SCALE.md: queue, hole, letters, run, sizes (as root).
scale *WORDS:
    cargo build --release --bins
    target/release/scale {{WORDS}}

# An operator's configuration against a scenario: `just rehearse /etc/postfix corpus/rehearsals/week.toml`. docs/REHEARSE.md
rehearse DIR SCENARIO *OPTIONS:
    cargo run -q --release -p postrider-sim -- rehearse -c {{DIR}} {{OPTIONS}} {{SCENARIO}}

# Every number and picture of docs/RESEARCH.md, into target/research and docs/research.
research:
    cargo build -q --release -p postrider-sim --bin postrider-sim
    docs/research/study target/release/postrider-sim

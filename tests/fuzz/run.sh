#!/bin/sh
# Builds the targets, seeds their corpora and runs one after the other: tests/fuzz/run.sh [seconds] [target…]
# PORTICO_SHARED: where the fixtures are. FUZZ_DIR: where corpora, logs and inputs that failed are kept.
set -eu
cd "$(dirname "$0")"
seconds=${1:-600}
[ $# -gt 0 ] && shift
[ $# -gt 0 ] || set -- lorawan conventions metrics envelopes video traffic broker files settings codec suggest
dir=${FUZZ_DIR:-$PWD}
python3 seed.py "$dir/corpus"
cargo +nightly fuzz build --fuzz-dir .
failed=0
for target in "$@"; do
    mkdir -p "$dir/artifacts/$target" "$dir/corpus/$target"
    nice -n 19 cargo +nightly fuzz run --fuzz-dir . "$target" "$dir/corpus/$target" -- -max_total_time="$seconds" -rss_limit_mb=1024 \
        -timeout=10 -max_len=65536 -print_final_stats=1 -artifact_prefix="$dir/artifacts/$target/" >"$dir/$target.log" 2>&1 || failed=1
    n=$(grep -o 'number_of_executed_units: *[0-9]*' "$dir/$target.log" | grep -o '[0-9]*$' || echo 0)
    edges=$(grep -o 'cov: [0-9]*' "$dir/$target.log" | tail -1)
    printf '%s: %s executions, %s, %s failures\n' "$target" "$n" "$edges" "$(ls "$dir/artifacts/$target" | wc -l)"
done
exit $failed

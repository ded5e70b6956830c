#!/usr/bin/env bash
# Finetune on real CSI 300 bars, backtest on CSI 500, and keep what was printed and measured in results/.
# In the activated environment: bash experiments/real_csi500_backtest/run.sh
set -euo pipefail
cd "$(dirname "$0")/../.."
kept=experiments/real_csi500_backtest/results
results=$(mktemp -d)  # kept at the end: until then the checkout is as committed, and the summaries say so

export OMP_NUM_THREADS=1  # small models on few cores are faster without more threads
market=(market=files market.name=csi800 market.bars=../shared/data/cn_csi800_day.parquet
        market.memberships=../shared/data/instruments market.indices=../shared/data/cn_index_day.csv.gz)

{
    set -x
    time python train.py "${market[@]}" universe=csi300 data.windows_per_epoch=20_000 trainer.max_epochs=1 \
        name=real_csi300
    time python backtest.py "${market[@]}" universe=csi500 checkpoint=real_csi300 forecast.paths=2 \
        backtest.start=2025-01-02 backtest.end=2025-04-30 name=real_csi500
} 2>&1 | sed "s#$PWD/##g" | tee "$results/printed.txt"

for kind in train/real_csi300 backtest/real_csi500; do
    sed "s#$PWD/##g; s#$PWD#.#g" "outputs/$kind/summary.json" > "$results/$(basename "$kind")_summary.json"
done
cp outputs/backtest/real_csi500/metrics.json "$results/"
mkdir -p "$kept"
mv "$results"/* "$kept/"

"""Import your own bars as a market and print what the checks found.

python finetune/prepare_market.py market.bars=bars.parquet market.memberships=instruments market.indices=index.csv

Everything `conf/market/files.yaml` lists can be set; `train.py` and `backtest.py` take the same settings with
`market=files`. Running it again with unchanged files only prints the report.
"""

import hydra
from omegaconf import DictConfig
from rich.console import Console

from kronos_lab.data.import_report import read_report, report_table
from kronos_lab.data.market import Market
from kronos_lab.runs.errors import one_line_errors
from kronos_lab.runs.folder import register_resolvers
from kronos_lab.runs.sweep_jobs import one_run_only

register_resolvers()


@one_line_errors
@one_run_only
@hydra.main(version_base="1.3", config_path="../conf", config_name="prepare_market")
def main(cfg: DictConfig) -> None:
    """Import the market, or open it where its sources are unchanged, and print its report."""
    market: Market = hydra.utils.instantiate(cfg.market)
    console = Console()
    console.print(report_table(read_report(market.store), market.store))
    console.print(f"market {market.name} is ready: {market.store}", soft_wrap=True)


if __name__ == "__main__":
    main()

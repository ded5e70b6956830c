"""A split by shares is days once the market is open, and stays them."""

from omegaconf import DictConfig, OmegaConf


def test_shares_become_days_that_later_readers_find(small_market, tmp_path):
    from kronos_lab.runs.folder import load_config
    from kronos_lab.runs.market import open_market

    shares = {"_target_": "kronos_lab.data.split.RatioSplit", "train": 0.5, "val": 0.3, "test": 0.2}
    market = {"_target_": "kronos_lab.data.market.Market", "store": str(small_market.store)}
    cfg = OmegaConf.create({"market": market, "split": shares, "backtest": {"start": "${split.test_start}"}})
    assert isinstance(cfg, DictConfig)
    OmegaConf.set_struct(cfg, True)  # as Hydra hands it over
    open_market(cfg, tmp_path)
    days = [f"{small_market.calendar[n]:%Y-%m-%d}" for n in (199, 200, 319, 320)]
    assert [cfg.split[name] for name in ("train_end", "val_start", "val_end", "test_start")] == days
    assert cfg.backtest.start == days[3]
    saved = load_config(tmp_path)
    assert saved.split == cfg.split

    saved.market.store = str(small_market.store)  # a run that is resumed: its days are those it began with
    again = tmp_path / "again"
    again.mkdir()
    open_market(saved, again)
    assert saved.split == cfg.split and not list(again.iterdir())

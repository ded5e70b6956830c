"""What the models are fed: normalised by the lookback, split by signal date, each window once."""

import numpy as np
import pandas as pd
import pytest

from kronos_lab.data.date_jitter import DateJitter
from kronos_lab.data.split import DateSplit, RatioSplit
from kronos_lab.data.time_features import time_features
from kronos_lab.errors import InputError

SPLIT = DateSplit(None, "2024-03-29", "2024-04-01", "2024-06-28", "2024-07-01", None)
LOOKBACK, HORIZON = 20, 4


def make_data(market, split=SPLIT, universe="csi300", **changes):
    from kronos_lab.data.datamodule import KLineDataModule

    settings = {
        "lookback": LOOKBACK, "horizon": HORIZON, "batch_size": 16, "windows_per_epoch": 1000, "val_windows": None,
        "max_gap": 5, "clip": 5.0, "rescale": False, "date_jitter": 0, "num_workers": 0, "seed": 3,
    } | changes  # fmt: skip
    return KLineDataModule(market, universe, split, **settings)


def all_rows(windows):
    return windows.signal_rows(np.arange(len(windows)))


def test_signal_days_lie_in_their_part_and_labels_do_not_leave_it(small_market):
    data, calendar = make_data(small_market), small_market.calendar
    last_label = {}
    for part in ("train", "val", "test"):
        windows = data.windows(part)
        signals = windows.stamps_of(all_rows(windows))
        labels = calendar[windows.gather_positions(all_rows(windows))[:, -1]]
        start, end = (None if day is None else pd.Timestamp(day) for day in SPLIT.days(part))
        assert start is None or signals.min() == start  # contexts reach back: the first day is not lost
        assert end is None or labels.max() == calendar[calendar <= end][-1]
        last_signal = calendar.get_loc(signals.max())
        assert last_signal == calendar.get_loc(labels.max()) - (HORIZON + 1)  # embargo
        last_label[part] = labels.max()
    assert last_label["train"] < pd.Timestamp(SPLIT.val_start) and last_label["val"] < pd.Timestamp(SPLIT.test_start)


def test_members_are_asked_on_the_signal_day_only(small_market):
    windows = make_data(small_market).windows("train")
    spans = small_market.spans("csi300")
    rows = all_rows(windows)
    symbols = [windows.bars.symbols[n] for n in windows.symbols_of(rows)]
    for symbol, day in zip(symbols, windows.stamps_of(rows), strict=True):
        own = spans[spans.symbol == symbol]
        assert ((own.start <= day) & (day <= own.end)).any()
    # A stock that joined has windows whose lookback reaches back before it did.
    joined = spans[spans.start > small_market.calendar[LOOKBACK]]
    assert len(joined)
    for symbol, start in zip(joined.symbol, joined.start, strict=True):
        first = windows.stamps_of(rows)[[s == symbol for s in symbols]].min() if symbol in symbols else None
        assert first is None or first == start


def test_batches_are_normalised_by_their_lookback_alone(small_market):
    data = make_data(small_market)
    windows = data.windows("val")
    dataset = data.val_dataloader().dataset
    numbers = np.arange(0, len(windows), 7)
    batch = dataset[numbers]
    raw = windows.gather_bars(windows.signal_rows(numbers)).astype(np.float64)
    mean, std = raw[:, :LOOKBACK].mean(1, keepdims=True), raw[:, :LOOKBACK].std(1, keepdims=True)
    expected = np.clip((raw - mean) / (std + 1e-5), -5, 5)
    np.testing.assert_allclose(batch.bars_BTF.numpy(), expected, atol=2e-3)
    assert batch.bars_BTF.shape[1:] == (LOOKBACK + HORIZON + 1, 6)
    days = small_market.calendar[windows.gather_positions(windows.signal_rows(numbers))[0]]
    assert batch.stamp_BT5[0, :, 3].tolist() == days.day.tolist()


def test_date_jitter_moves_each_training_window_by_whole_weeks_of_its_own(small_market):
    data = make_data(small_market, date_jitter=26)
    numbers = np.arange(len(data.windows("train")))
    true = make_data(small_market).train_dataloader().dataset[numbers]
    dataset = data.train_dataloader().dataset
    moved = dataset[numbers]
    assert moved.bars_BTF.equal(true.bars_BTF)
    minute_hour_weekday, day, month = slice(0, 3), 3, 4
    assert moved.stamp_BT5[..., minute_hour_weekday].equal(true.stamp_BT5[..., minute_hour_weekday])

    windows, chosen = data.windows("train"), range(0, len(numbers), 23)
    dates_BT = small_market.calendar.to_numpy()[windows.gather_positions(windows.signal_rows(numbers))]
    weeks = []
    for number in chosen:  # one move explains all dates of a window
        of_moves = {move: pd.DatetimeIndex(dates_BT[number]) + pd.Timedelta(weeks=move) for move in range(-26, 27)}
        dates = moved.stamp_BT5[number, :, [day, month]].tolist()
        weeks += [m for m, d in of_moves.items() if np.stack([d.day, d.month], 1).tolist() == dates]
    assert len(weeks) == len(chosen)
    assert min(weeks) < -20 and max(weeks) > 20 and abs(np.mean(weeks)) < 6 and len(set(weeks)) > 20
    # Neighbours, which share all but one of their dates, are told different ones.
    assert (moved.stamp_BT5[1:, 0, month] != moved.stamp_BT5[:-1, 0, month]).float().mean() > 0.8

    again = make_data(small_market, date_jitter=26).train_dataloader().dataset[numbers[5:9]]
    assert again.stamp_BT5.equal(moved.stamp_BT5[5:9])
    assert (
        not make_data(small_market, date_jitter=26, seed=4)
        .train_dataloader()
        .dataset[numbers]
        .stamp_BT5.equal(moved.stamp_BT5)
    )
    assert data.val_dataloader().dataset.date_jitter is None
    for weeks in (-1, 27):
        with pytest.raises(InputError, match=rf"data\.date_jitter={weeks} must be a whole number, from 0 to 26"):
            make_data(small_market, date_jitter=weeks)


@pytest.mark.parametrize("windows", [20, 5000])
def test_jittered_dates_of_minute_bars_keep_the_time_of_day_and_are_spread_evenly(windows):
    days = pd.bdate_range("2023-12-20", "2024-03-08")
    calendar = pd.DatetimeIndex(
        [day + pd.Timedelta(time) for day in days for time in ("09:35:00", "13:05:00", "15:00:00")]
    )
    positions_BT = np.arange(windows)[:, None] % (len(calendar) - 30) + np.arange(30)
    true_BT5 = time_features(calendar)[positions_BT]
    moved_BT5 = DateJitter(calendar, 2, seed=3).move(true_BT5, positions_BT, np.arange(windows))
    of_moves_WBT5 = np.stack(
        [time_features(calendar + pd.Timedelta(weeks=move))[positions_BT] for move in range(-2, 3)]
    )
    explains_WB = (of_moves_WBT5 == moved_BT5).all(axis=(2, 3))
    assert (explains_WB.sum(axis=0) == 1).all()  # the whole window, over the turn of a year too, moved by one of them
    assert explains_WB.mean(axis=1) == pytest.approx(0.2, abs=0.2 if windows == 20 else 0.02)


def test_jittered_windows_are_the_same_from_workers(small_market):
    from_here, from_workers = (
        next(iter(make_data(small_market, date_jitter=26, num_workers=workers).train_dataloader()))
        for workers in (0, 2)
    )
    assert all(here.equal(there) for here, there in zip(from_here, from_workers, strict=True))


def pass_of(data):
    """Batches of all epochs of a pass, which persistent workers outlive."""
    loader = data.train_dataloader()
    batches = []
    for epoch in range(loader.sampler.epochs_per_pass):
        loader.sampler.set_epoch(epoch)
        batches += [type(batch)(*(part.clone() for part in batch)) for batch in loader]
    return batches


def as_bytes(windows_BTF):
    return sorted(window.numpy().tobytes() for window in windows_BTF)


@pytest.mark.filterwarnings("ignore:This DataLoader will create")  # more than this machine has cores
@pytest.mark.parametrize("workers", [2, 8])
def test_workers_give_the_same_batches_in_the_same_order_and_each_window_once(small_market, workers):
    data = make_data(small_market, windows_per_epoch=800)
    alone, shared = pass_of(data), pass_of(make_data(small_market, windows_per_epoch=800, num_workers=workers))
    assert len(alone) == len(shared)
    for ours, theirs in zip(alone, shared, strict=True):
        assert ours.bars_BTF.equal(theirs.bars_BTF) and ours.stamp_BT5.equal(theirs.stamp_BT5)
    everything = data.train_dataloader().dataset[np.arange(len(data.windows("train")))].bars_BTF
    seen = [window for batch in shared for window in batch.bars_BTF]
    assert as_bytes(seen) == as_bytes(everything)


def test_ranks_with_workers_share_the_windows(small_market, monkeypatch):
    """Two ranks of two workers each: together every window of a pass, none twice."""
    from kronos_lab.data.datamodule import KLineDataModule

    seen = []
    monkeypatch.setattr(KLineDataModule, "_world_size", 2)
    for rank in (0, 1):
        monkeypatch.setattr(KLineDataModule, "_rank", rank)
        data = make_data(small_market, num_workers=2)
        seen += [window for batch in pass_of(data) for window in batch.bars_BTF]
    everything = data.train_dataloader().dataset[np.arange(len(data.windows("train")))].bars_BTF
    assert as_bytes(seen) == as_bytes(everything)


def test_a_spawned_worker_maps_the_bars_again(small_market):
    """Where workers are spawned, as on macOS, the dataset travels as bytes; not the bars, nor their windows."""
    import pickle

    dataset = make_data(small_market).train_dataloader().dataset
    bars = dataset.index.bars
    packed = pickle.dumps(dataset)
    assert len(packed) < bars.values_MF.nbytes / 10
    there = pickle.loads(packed)
    assert isinstance(there.index.bars.values_MF, np.memmap)
    assert there[np.arange(5)].bars_BTF.equal(dataset[np.arange(5)].bars_BTF)


def test_validation_is_the_same_every_time_and_limited(small_market):
    loader = make_data(small_market, val_windows=50).val_dataloader()
    first, second = ([batch.bars_BTF for batch in loader] for _ in range(2))
    assert sum(map(len, first)) == 50
    assert all(a.equal(b) for a, b in zip(first, second, strict=True))


def test_no_window_is_one_clear_line(small_market):
    future = DateSplit(None, "2029-12-31", "2030-01-01", "2030-06-30", "2030-07-01", None)
    with pytest.raises(InputError, match=r"no val window.*2030-01-01.*csi300.*market small has bars from 2023-07-03"):
        make_data(small_market, future).setup("fit")
    with pytest.raises(InputError, match="no universe 'csi9'"):
        make_data(small_market, universe="csi9").setup("fit")


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("lookback", 0), ("lookback", 1), ("horizon", 0), ("horizon", "foo"), ("batch_size", 0), ("batch_size", 2.5),
        ("windows_per_epoch", 0), ("val_windows", 0), ("max_gap", -1), ("num_workers", -1), ("clip", 0),
        ("clip", "foo"), ("rescale", "foo"),
    ],
)  # fmt: skip
def test_a_setting_that_makes_no_sense_is_refused_by_name(small_market, name, value):
    with pytest.raises(InputError, match=f"^data.{name}={value} must be"):
        make_data(small_market, **{name: value})


def test_the_split_refuses_what_makes_no_sense():
    with pytest.raises(InputError, match=r"split.val_start=2024-03-29 must come after split.train_end=2024-03-29"):
        DateSplit(None, "2024-03-29", "2024-03-29", "2024-06-28", "2024-07-01", None)
    with pytest.raises(InputError, match=r"split.test_end=2024-06-01 must come after"):
        DateSplit(None, "2024-03-29", "2024-04-01", "2024-06-28", "2024-07-01", "2024-06-01")
    with pytest.raises(InputError, match=r"split.train_end=yesterday-ish is no date"):
        DateSplit(None, "yesterday-ish", "2024-04-01", "2024-06-28", "2024-07-01", None)
    with pytest.raises(InputError, match=r"split.test_start=null is no date"):
        DateSplit(None, "2024-03-29", "2024-04-01", "2024-06-28", None, None)
    for no_day in (202403, 2024, True, "2024-13-01"):
        with pytest.raises(InputError, match=rf"split.train_end={no_day} is no date"):
            DateSplit(None, no_day, "2024-04-01", "2024-06-28", "2024-07-01", None)
    with pytest.raises(InputError, match=r"^split.train_end=2024-03-29T00:00Z has a time zone"):
        DateSplit(None, "2024-03-29T00:00Z", "2024-04-01", "2024-06-28", "2024-07-01", None)
    DateSplit("2024-01-02", "2024-01-02", "2024-01-03", "2024-01-03", "2024-01-04", "2024-01-04")


def test_a_day_typed_as_a_number_is_that_day(small_market):
    """`split.train_end=20240329` on the command line is a number; pandas would take it for nanoseconds since 1970."""
    numbers = DateSplit(20230901, 20240329, 20240401, 20240628, 20240701, 20241231)
    days = DateSplit("2023-09-01", "2024-03-29", "2024-04-01", "2024-06-28", "2024-07-01", "2024-12-31")
    assert numbers == days
    for part in ("train", "val", "test"):
        as_numbers, as_days = (all_rows(make_data(small_market, split).windows(part)) for split in (numbers, days))
        assert np.array_equal(as_numbers, as_days)


def test_shares_are_whole_days_in_order():
    minutes = pd.DatetimeIndex([day + pd.Timedelta(time) for day in pd.bdate_range("2024-06-18", periods=44)
                                for time in ("09:35:00", "11:30:00", "15:00:00")])  # fmt: skip
    days = pd.bdate_range("2024-06-18", periods=44).strftime("%Y-%m-%d").tolist()
    split = RatioSplit(0.7, 0.15, 0.15).days_of(minutes)
    assert split == DateSplit(None, days[30], days[31], days[36], days[37], None)  # 31, 6 and 7 days
    assert RatioSplit(0.5, 0.25, 0.25).days_of(minutes[:12]) == DateSplit(
        None, days[1], days[2], days[2], days[3], None
    )
    with pytest.raises(InputError, match=r"split.train=0.9, split.val=0.05 and split.test=0.05 of 6 days leave a part"):
        RatioSplit(0.9, 0.05, 0.05).days_of(minutes[:18])


@pytest.mark.parametrize(
    ("shares", "message"),
    [
        ((0.7, 0.5, 0.15), "split.train=0.7, split.val=0.5 and split.test=0.15 add up to 1.35, not to 1"),
        ((0.7, 0.15, 0.1), "add up to 0.95, not to 1"),
        ((70, 0.15, 0.15), "^split.train=70 must be a share of the days, between 0 and 1"),
        ((0.7, "half", 0.15), "^split.val=half must be a share"),
        ((0.7, 0.3, 0), "^split.test=0 must be a share"),
    ],
)
def test_shares_that_are_none_are_refused(shares, message):
    with pytest.raises(InputError, match=message):
        RatioSplit(*shares)
    assert RatioSplit(0.8, 0.1, 0.1)  # 0.8 + 0.1 + 0.1 is not 1 in floating point


def test_labels_of_a_split_by_shares_stay_in_their_part(small_market):
    split = RatioSplit(0.6, 0.2, 0.2).days_of(small_market.calendar)
    data = make_data(small_market, split)
    for part, end in (("train", 240), ("val", 320), ("test", 400)):
        positions = data.windows(part).gather_positions(all_rows(data.windows(part)))
        assert positions[:, -1].max() == end - 1
        assert positions[:, LOOKBACK - 1].max() == end - 1 - (HORIZON + 1)  # embargo
        assert positions[:, LOOKBACK - 1].min() == max(end - 80, LOOKBACK - 1) if part != "train" else LOOKBACK - 1

"""The data-frame API: any mix of lengths and stamps, and a ValueError that names what is wrong."""

from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch

from kronos_lab import Kronos, KronosPredictor, KronosTokenizer
from kronos_lab.forecasting.token_sampling import Sampling, series_uniforms

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
HORIZON = 4


@pytest.fixture(scope="module")
def api() -> KronosPredictor:
    return KronosPredictor(
        Kronos.from_pretrained(GOLDEN / "tiny" / "predictor"),
        KronosTokenizer.from_pretrained(GOLDEN / "tiny" / "tokenizer"),
        device="cpu",
        max_context=64,
    )


def make_bars(length: int, seed: int = 0) -> tuple[pd.DataFrame, pd.Series, pd.Series]:
    rng = np.random.default_rng(seed)
    close = 20 + rng.normal(size=length).cumsum() * 0.1
    frame = pd.DataFrame({"open": close, "high": close + 0.1, "low": close - 0.1, "close": close})
    frame["volume"] = rng.integers(100, 1000, length).astype(float)
    stamps = pd.Series(pd.date_range("2024-01-01 09:30", periods=length + HORIZON, freq="5min"))
    return frame, stamps[:length], stamps[length:]


def test_any_mix_of_lengths_equals_one_by_one(api: KronosPredictor) -> None:
    series = [make_bars(length, seed) for seed, length in enumerate((30, 12, 80, 30, 64))]
    frames, x, y = (list(column) for column in zip(*series, strict=True))
    together = api.predict_batch(frames, x, y, HORIZON, top_k=1, verbose=False)
    for one, result in zip(series, together, strict=True):
        alone = api.predict(*one, HORIZON, top_k=1, verbose=False)
        pd.testing.assert_frame_equal(result, alone, rtol=1e-4)


def test_paths_have_their_shape_and_average_to_predict(api: KronosPredictor) -> None:
    frame, x, y = make_bars(30)
    torch.manual_seed(7)
    paths = api.predict_paths([frame, frame], [x, x], [y, y], HORIZON, sample_count=3, verbose=False)
    assert paths.shape == (2, 3, HORIZON, 6)
    assert np.ptp(paths[..., 3], axis=1).max() > 0  # paths differ
    torch.manual_seed(7)
    mean = api.predict_batch([frame, frame], [x, x], [y, y], HORIZON, sample_count=3, verbose=False)
    np.testing.assert_allclose(mean[1].to_numpy(), paths[1].mean(0), rtol=1e-5)


def test_stamps_as_series_index_list_or_text(api: KronosPredictor) -> None:
    frame, x, y = make_bars(20)
    expected = api.predict(frame, x, y, HORIZON, top_k=1, verbose=False)
    assert isinstance(expected.index, pd.DatetimeIndex)
    assert list(expected.columns) == ["open", "high", "low", "close", "volume", "amount"]
    for kind in (pd.DatetimeIndex, list, lambda s: [str(stamp) for stamp in s]):
        pd.testing.assert_frame_equal(api.predict(frame, kind(x), kind(y), HORIZON, top_k=1, verbose=False), expected)


def test_amount_without_volume_is_not_used_and_says_so(api: KronosPredictor) -> None:
    frame, x, y = make_bars(20)
    prices = frame[["open", "high", "low", "close"]]
    with pytest.warns(UserWarning, match="series 0: amount is set to 0"):
        with_amount = api.predict(prices.assign(amount=5.0), x, y, HORIZON, top_k=1, verbose=False)
    pd.testing.assert_frame_equal(with_amount, api.predict(prices, x, y, HORIZON, top_k=1, verbose=False))


def broken(frame: pd.DataFrame, x: pd.Series, y: pd.Series, what: str) -> tuple:
    match what:
        case "nan":
            frame = frame.copy()
            frame.loc[3, "high"] = np.nan
        case "missing column":
            frame = frame.drop(columns="low")
        case "text column":
            frame = frame.assign(volume="many")
        case "unsorted":
            x = x.iloc[::-1]
        case "duplicate":
            x = pd.Series([x.iloc[0], *x.iloc[:-1]])
        case "short x":
            x = x.iloc[1:]
        case "short y":
            y = y.iloc[1:]
        case "overlap":
            y = x.iloc[-HORIZON:]
        case "no stamps":
            x = ["yesterday"] * len(x)
        case "empty":
            frame, x = frame.iloc[:0], x.iloc[:0]
    return frame, x, y


@pytest.mark.parametrize(
    ("what", "message"),
    [
        ("nan", "series 1: column high has nan in row 3"),
        ("missing column", "series 1: no column low"),
        ("text column", "series 1: column volume does not hold numbers"),
        ("unsorted", "series 1: x_timestamp is not in time order"),
        ("duplicate", "series 1: x_timestamp has 2024-01-01 09:30:00 twice"),
        ("short x", "series 1: x_timestamp has 19 stamps for 20 rows"),
        ("short y", "series 1: y_timestamp has 3 stamps for 4 pred_len"),
        ("overlap", "series 1: y_timestamp starts at .* not after the last bar"),
        ("no stamps", "series 1: x_timestamp cannot be read as stamps"),
        ("empty", "series 1: no bars to forecast from"),
    ],
)
def test_bad_series_are_named(api: KronosPredictor, what: str, message: str) -> None:
    good = make_bars(20)
    bad = broken(*good, what)
    with pytest.raises(ValueError, match=message):
        api.predict_batch(*([g, b] for g, b in zip(good, bad, strict=True)), HORIZON, verbose=False)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"T": 0.0}, "temperature=0.0 must be a number above 0"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"sample_count": 0}, "sample_count=0"),
        ({"pred_len": 0}, "pred_len=0 must be a whole number"),
        ({"pred_len": 65, "y": 65}, r"\(pred_len\) of 65 bars is more than max_context 64"),
    ],
)
def test_bad_options_are_named(api: KronosPredictor, options: dict, message: str) -> None:
    frame, x, y = make_bars(20)
    length = options.pop("y", HORIZON)
    y = pd.Series(pd.date_range(y.iloc[0], periods=length, freq="5min"))
    with pytest.raises(ValueError, match=message):
        api.predict(frame, x, y, **({"pred_len": HORIZON} | options), verbose=False)


def test_more_context_than_trained_is_never_silent(api: KronosPredictor) -> None:
    with pytest.warns(UserWarning, match="max_context 600 is more than the 512 bars"):
        KronosPredictor(api.forecaster.predictor, api.forecaster.tokenizer, device="cpu", max_context=600)


def test_draws_follow_the_probabilities_and_never_a_dropped_token() -> None:
    sampling = Sampling(temperature=1.0, top_p=0.7)
    logits = torch.tensor([[2.0, 0.0, 1.0, -1.0]])
    uniforms = (torch.arange(10_000) + 0.5) / 10_000
    tokens = sampling.draw(logits.expand(10_000, -1), uniforms)
    frequencies = torch.bincount(tokens, minlength=4) / 10_000
    torch.testing.assert_close(frequencies, sampling.probabilities(logits)[0], atol=2e-4, rtol=0)
    edges = torch.tensor([0.0, 1 - 2**-24])
    assert sampling.draw(logits.expand(2, -1), edges).tolist() == [0, 2]


def test_uniforms_belong_to_series_and_path_alone() -> None:
    few, many = (series_uniforms(1, "SH600000", "2024-07-01", paths, horizon) for paths, horizon in ((2, 5), (4, 9)))
    assert few.shape == (2, 5, 2)
    assert few.dtype == np.float32
    np.testing.assert_array_equal(few, many[:2, :5])
    assert (many >= 0).all() and (many < 1).all()
    for other in ((2, "SH600000", "2024-07-01"), (1, "SH600001", "2024-07-01"), (1, "SH600000", "2024-07-02")):
        assert not np.isclose(series_uniforms(*other, 2, 5), few).any()
    # pinned: a forecast repeated years later draws the same tokens
    pinned = [[[0.431779146194458, 0.8908259868621826]]]
    assert series_uniforms(0, "A", "2024-07-01", 1, 1).tolist() == pinned

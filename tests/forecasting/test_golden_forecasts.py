"""Forecasts equal the recorded greedy ones, inside the window and past it, and the data-frame API's CSV files."""

import json
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from kronos_lab import Kronos, KronosPredictor, KronosTokenizer
from kronos_lab.forecasting.decoding import generate
from kronos_lab.forecasting.token_sampling import Sampling

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
GREEDY = Sampling(temperature=1.0, top_k=1)
FIELDS = ["open", "high", "low", "close", "volume", "amount"]


def load_models(name: str) -> tuple[KronosTokenizer, Kronos]:
    folder = GOLDEN / name
    return KronosTokenizer.from_pretrained(folder / "tokenizer"), Kronos.from_pretrained(folder / "predictor")


@pytest.mark.parametrize("name", ["tiny", "bits10"])
@pytest.mark.parametrize("run", ["within", "slide", "short"])
def test_greedy_bars_and_tokens(name: str, run: str) -> None:
    tokenizer, predictor = load_models(name)
    expected = load_file(GOLDEN / name / "tensors.safetensors")
    max_context = int(expected[f"greedy_{run}_max_context"])
    bars = expected[f"greedy_{run}"]
    paths = 1 if run == "short" else json.loads((GOLDEN / name / "case.json").read_text())["sample_count"]

    with torch.inference_mode():
        s1, s2 = generate(
            predictor,
            expected["tok_s1"],
            expected["tok_s2"],
            expected["x_stamp"],
            expected["y_stamp"],
            torch.rand(len(bars), paths, expected["y_stamp"].shape[1], 2),
            GREEDY,
            max_context,
        )
        decoded = tokenizer.decode((s1[:, -max_context:], s2[:, -max_context:]), half=True)
    actual = decoded.unflatten(0, (-1, paths)).mean(dim=1)
    actual = actual[:, -bars.shape[1] :]
    assert (actual - bars).abs().max() <= 1e-5 * bars.abs().max()


def plain_greedy(
    predictor: Kronos, s1: Tensor, s2: Tensor, stamp: Tensor, steps: int, max_context: int
) -> tuple[Tensor, Tensor]:
    """Recompute the whole window for every bar, with the public `decode_s1` and `decode_s2` alone."""
    for _ in range(steps):
        length = s1.shape[1]
        window = slice(max(0, length - max_context), length)
        logits, hidden = predictor.decode_s1(s1[:, window], s2[:, window], stamp[:, window])
        next_s1 = logits[:, -1:].argmax(-1)
        next_s2 = predictor.decode_s2(hidden, next_s1)[:, -1:].argmax(-1)
        s1, s2 = torch.cat((s1, next_s1), dim=1), torch.cat((s2, next_s2), dim=1)
    return s1, s2


@pytest.mark.parametrize("max_context", [64, 28, 24, 10])
def test_cached_tokens_equal_plain_recomputation(max_context: int) -> None:
    _, predictor = load_models("tiny")
    expected = load_file(GOLDEN / "tiny" / "tensors.safetensors")
    s1, s2 = expected["tok_s1"][:, -max_context:], expected["tok_s2"][:, -max_context:]
    stamp = torch.cat((expected["x_stamp"][:, -max_context:], expected["y_stamp"]), dim=1)
    context, steps = s1.shape[1], expected["y_stamp"].shape[1]
    with torch.inference_mode():
        plain = plain_greedy(predictor, s1, s2, stamp, steps, max_context)
        cached = generate(
            predictor,
            s1,
            s2,
            stamp[:, :context],
            stamp[:, context:],
            torch.rand(len(s1), 1, steps, 2),
            GREEDY,
            max_context,
        )
    assert torch.equal(cached[0], plain[0])
    assert torch.equal(cached[1], plain[1])


def predictor_api(name: str, max_context: int) -> KronosPredictor:
    tokenizer, predictor = load_models(name)
    return KronosPredictor(predictor, tokenizer, device="cpu", max_context=max_context)


def assert_same_bars(actual: pd.DataFrame, expected: pd.DataFrame) -> None:
    assert list(actual.index) == list(expected["timestamps"])
    for field in FIELDS:
        scale = max(expected[field].abs().max(), 1.0)
        np.testing.assert_allclose(actual[field], expected[field], rtol=0, atol=1e-5 * scale, err_msg=field)


@pytest.fixture(params=["tiny", "bits10"])
def recorded(request: pytest.FixtureRequest) -> tuple[str, dict, dict[str, pd.DataFrame]]:
    folder = GOLDEN / request.param
    case = json.loads((folder / "case.json").read_text())
    series = dict(list(pd.read_csv(folder / "klines.csv", parse_dates=["timestamps"]).groupby("symbol")))
    return request.param, case, series


def test_predict_batch_equals_the_recorded_file(recorded: tuple[str, dict, dict[str, pd.DataFrame]]) -> None:
    name, case, series = recorded
    context, horizon = case["context"], case["pred_len"]
    results = predictor_api(name, case["max_context"]).predict_batch(
        [s[FIELDS].iloc[:context] for s in series.values()],
        [s["timestamps"].iloc[:context] for s in series.values()],
        [s["timestamps"].iloc[context : context + horizon] for s in series.values()],
        pred_len=horizon,
        top_k=1,
        verbose=False,
    )
    expected = pd.read_csv(GOLDEN / name / "predict_batch.csv", parse_dates=["timestamps"])
    for symbol, actual in zip(series, results, strict=True):
        assert_same_bars(actual, expected[expected["symbol"] == symbol])


@pytest.mark.parametrize(
    ("file", "columns"),
    [("predict_prices_only.csv", FIELDS[:4]), ("predict_no_amount.csv", FIELDS[:5])],
)
def test_predict_with_missing_columns_equals_the_recorded_file(
    recorded: tuple[str, dict, dict[str, pd.DataFrame]], file: str, columns: list[str]
) -> None:
    name, case, series = recorded
    context, horizon = case["context"], case["pred_len"]
    bars = series["S0"]
    actual = predictor_api(name, case["max_context"]).predict(
        bars[columns].iloc[:context],
        list(bars["timestamps"].iloc[:context]),
        pd.DatetimeIndex(bars["timestamps"].iloc[context : context + horizon]),
        pred_len=horizon,
        top_k=1,
        verbose=False,
    )
    assert_same_bars(actual, pd.read_csv(GOLDEN / name / file, parse_dates=["timestamps"]))


@pytest.mark.parametrize("max_context", [64, 24])
def test_clipped_bars_and_a_lookback_beyond_the_window(max_context: int) -> None:
    bars = pd.read_csv(GOLDEN / "edge" / "klines.csv", parse_dates=["timestamps"])
    actual = predictor_api("tiny", max_context).predict(
        bars[FIELDS].iloc[:40],
        bars["timestamps"].iloc[:40],
        bars["timestamps"].iloc[40:],
        pred_len=8,
        top_k=1,
        verbose=False,
    )
    file = GOLDEN / "edge" / f"predict_max_context_{max_context}.csv"
    assert_same_bars(actual, pd.read_csv(file, parse_dates=["timestamps"]))


def test_sampling_probabilities_equal_the_recorded_ones() -> None:
    recorded = load_file(GOLDEN / "edge" / "sampling.safetensors")
    logits = recorded.pop("logits")
    assert recorded
    for name, expected in recorded.items():
        temperature, top_k, top_p = (part[1:] for part in name.removeprefix("probs_").split("_"))
        actual = Sampling(float(temperature), float(top_p), int(top_k)).probabilities(logits)
        torch.testing.assert_close(actual, expected, rtol=1e-5, atol=1e-7, msg=name)

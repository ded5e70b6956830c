"""Forecasts equal the recorded greedy ones, inside the window and past it, and the data-frame API's CSV files."""

import json

import numpy as np
import pandas as pd
import pytest
import torch
from decoder_cases import GOLDEN, GREEDY, load_models
from recomputing_forecaster import RecomputingForecaster
from safetensors.torch import load_file

from kronos_lab import KronosPredictor
from kronos_lab.forecasting.decoding import Prompt, Window, generate
from kronos_lab.forecasting.detokenising import decode_paths
from kronos_lab.forecasting.token_sampling import Sampling

FIELDS = ["open", "high", "low", "close", "volume", "amount"]


@pytest.mark.parametrize("name", ["tiny", "bits10"])
@pytest.mark.parametrize("run", ["within", "slide", "short"])
@pytest.mark.parametrize("decoder", ["fast", "plain"])
def test_greedy_bars_and_tokens(name: str, run: str, decoder: str) -> None:
    tokenizer, predictor = load_models(name)
    expected = load_file(GOLDEN / name / "tensors.safetensors")
    max_context = int(expected[f"greedy_{run}_max_context"])
    bars = expected[f"greedy_{run}"]
    paths = 1 if run == "short" else json.loads((GOLDEN / name / "case.json").read_text())["sample_count"]
    s1, s2, stamp, future = (expected[key] for key in ("tok_s1", "tok_s2", "x_stamp", "y_stamp"))
    horizon = future.shape[1]
    uniforms = torch.rand(len(bars), paths, horizon, 2)

    with torch.inference_mode():
        if decoder == "fast":
            window = slice(-max_context, None)
            lengths = torch.full((len(s1),), min(s1.shape[1], max_context))
            prompt = Prompt(s1[:, window], s2[:, window], stamp[:, window], future, lengths)
            generated = generate(predictor, prompt, uniforms, GREEDY, Window(max_context))
            actual = decode_paths(tokenizer, (prompt.s1_BC, prompt.s2_BC), generated, lengths, max_context)
        else:
            rows = [part.repeat_interleave(paths, 0) for part in (s1, s2, torch.cat((stamp, future), 1))]
            plain = RecomputingForecaster(tokenizer, predictor, max_context)
            tokens = plain.generate(*rows, uniforms.flatten(0, 1), GREEDY)
            decoded = tokenizer.decode([part[:, -max_context:] for part in tokens], half=True)
            actual = decoded.unflatten(0, (-1, paths))
    known = min(bars.shape[1], actual.shape[2])  # the record also holds context, as the plain decoder returns it
    difference = actual.mean(dim=1)[:, -known:] - bars[:, -known:]
    assert difference.abs().max() <= 1e-5 * bars.abs().max()


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

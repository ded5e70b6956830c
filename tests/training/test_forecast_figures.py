"""The picture of forecasts that a finetune leaves: what is drawn, and that it is the same every time."""

import numpy as np
import pytest

from kronos_lab.errors import InputError


def figures(**changes):
    from kronos_lab.training.forecast_figures import ForecastFigures

    return ForecastFigures(
        **{"pairs": 4, "paths": 8, "temperature": 1.0, "top_p": 0.9, "top_k": 0, "anchor": False, "seed": 3} | changes
    )


def cases_of(finetune, **changes):
    from kronos_lab.forecasting.forecaster import Forecaster

    module, data = finetune.make_module("predictor"), finetune.make_data()
    return data, figures(**changes).cases(data, data.windows("test"), Forecaster(module.tokenizer, module.predictor))


def test_history_truth_and_stamps_are_those_of_the_market(finetune):
    data, cases = cases_of(finetune)
    assert len(cases) == 4
    for case in cases:
        symbol, day = case.title.split(", after ")
        assert f"{case.history.index[-1]:%Y-%m-%d}" == day >= "2024-07-01"
        assert len(case.history) == 20 and case.paths_PHF.shape == (8, 4, 6)
        position = data.market.calendar.get_loc(case.history.index[-1])
        assert list(case.stamps) == list(data.market.calendar[position + 1 : position + 5])
        close = data.market.wide(["close"], [symbol])["close"][symbol]
        for bars in (case.history, case.truth):
            np.testing.assert_allclose(bars["close"], close.reindex(bars.index), rtol=1e-6)


def test_another_seed_draws_other_paths_of_the_same_pairs(finetune):
    (_, cases), (_, again), (_, other) = cases_of(finetune), cases_of(finetune), cases_of(finetune, seed=4)
    assert [case.title for case in cases] == [case.title for case in other]
    for case, same, changed in zip(cases, again, other, strict=True):
        assert np.array_equal(case.paths_PHF, same.paths_PHF)
        assert not np.array_equal(case.paths_PHF, changed.paths_PHF)


def test_the_picture_is_in_the_run_folder_and_with_the_logger(finetune):
    from kronos_lab.runs.tracking import tensorboard_logger

    module, logger = finetune.make_module("predictor"), tensorboard_logger(str(finetune.folder))
    draw = (finetune.folder, finetune.make_data(), module.tokenizer, module.predictor, logger)
    figures(pairs=0).draw(*draw)
    assert not (finetune.folder / "figures").exists()
    figures(pairs=1, paths=1).draw(*draw)
    logger.finalize("success")
    assert (finetune.folder / "figures" / "forecast_test.png").read_bytes().startswith(b"\x89PNG")
    (events,) = (finetune.folder / "tensorboard").glob("events.*")
    assert b"forecast_test" in events.read_bytes()


@pytest.mark.parametrize(("change", "words"), [({"pairs": -1}, "figures.pairs=-1"), ({"paths": 0}, "figures.paths=0")])
def test_a_number_that_makes_no_sense_is_named(change, words):
    with pytest.raises(InputError, match=words):
        figures(**change)


def test_the_picture_is_anchored_as_forecasts_are(finetune):
    from kronos_lab.runs.tracking import csv_logger

    module = finetune.make_module("predictor")
    pictures = []
    for anchor in (False, True):
        folder = finetune.folder / str(anchor)
        logger = csv_logger(str(folder))
        figures(pairs=1, anchor=anchor).draw(folder, finetune.make_data(), module.tokenizer, module.predictor, logger)
        pictures.append((folder / "figures" / "forecast_test.png").read_bytes())
    assert pictures[0] != pictures[1]

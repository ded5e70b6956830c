"""Which metric picks the checkpoint, and in which direction."""

import pytest
from lightning.pytorch import Callback

from kronos_lab.errors import InputError
from kronos_lab.training.monitor import ValidationMetric, choose_monitor

LOSS, SKILL = ValidationMetric("val_loss"), ValidationMetric("val_skill", higher_is_better=True)


class Skill(Callback):
    """Adds a metric that is best in the second validation, where the loss is not."""

    values = (0.1, 0.9, 0.4)

    def __init__(self) -> None:
        self.validations = 0

    def validation_metrics(self, stage: str) -> tuple[ValidationMetric, ...]:
        return (SKILL,) if stage == "predictor" else ()

    def on_validation_epoch_end(self, trainer, pl_module) -> None:
        pl_module.log_validation("val_skill", self.values[self.validations])
        self.validations += 1


def test_one_name_for_all_stages_or_one_for_each():
    assert choose_monitor("val_loss", "tokenizer", (LOSS,), ()) is LOSS
    per_stage = {"tokenizer": "val_loss", "predictor": "val_skill"}
    assert choose_monitor(per_stage, "tokenizer", (LOSS,), (Skill(),)) is LOSS
    assert choose_monitor(per_stage, "predictor", (LOSS,), (Skill(), object())).mode == "max"


@pytest.mark.parametrize(
    ("monitor", "stage", "words"),
    [
        ("val_skil", "predictor", "^monitor=val_skil is no metric of the predictor stage; it has val_loss, val_skill$"),
        ("val_skill", "tokenizer", "^monitor=val_skill is no metric of the tokenizer stage; it has val_loss$"),
        ({"predictor": "val_loss"}, "tokenizer", "^monitor.tokenizer=None is no metric"),
    ],
)
def test_an_unknown_metric_is_refused_with_those_there_are(monitor, stage, words):
    with pytest.raises(InputError, match=words):
        choose_monitor(monitor, stage, (LOSS,), (Skill(),))


def test_a_metric_of_a_callback_picks_the_checkpoint_with_the_highest(finetune):
    _, outcome = finetune.changed(epochs=3, monitor="val_skill", callbacks=(Skill(),)).fit("predictor")
    assert outcome["predictor/val_skill"] == 0.9
    assert next(iter(outcome)) == "predictor/val_loss"

"""Where a finetune starts: random weights, a run of one's own, a model folder, or published weights."""

import logging
from pathlib import Path

from kronos_lab.errors import InputError
from kronos_lab.models.pair import check_pair
from kronos_lab.models.predictor import Kronos
from kronos_lab.models.tokenizer import KronosTokenizer
from kronos_lab.runs.checkpoint import find_checkpoint, find_tokenizer, split_revision

log = logging.getLogger(__name__)


STAGES = {"both": ("tokenizer", "predictor"), "tokenizer": ("tokenizer",), "predictor": ("predictor",)}


def stages_of(stage: str, pretrained: str | None, pretrained_tokenizer: str | None) -> tuple[str, ...]:
    """Stages that `stage=` asks for, in order.

    Raises:
        InputError: there is no such choice, or a predictor would be trained on the tokens of a random tokenizer.
    """
    if stage not in STAGES:
        raise InputError(f"stage={stage}: choose one of {', '.join(STAGES)}")
    if stage == "predictor" and pretrained is None and pretrained_tokenizer is None:
        raise InputError(
            "stage=predictor needs a trained tokenizer: give model.pretrained or model.pretrained_tokenizer"
        )
    return STAGES[stage]


def load_starting_weights(
    tokenizer: KronosTokenizer,
    predictor: Kronos,
    pretrained: str | int | None,
    pretrained_tokenizer: str | int | None,
    outputs: Path,
) -> list[str]:
    """Load the weights a finetune starts from into networks built by the configuration.

    The configuration says what the networks look like, dropout included; weights of another shape are refused.

    Args:
        tokenizer: with random weights, filled in place.
        predictor: the same.
        pretrained: run folder or name, predictor folder or Hub id (`id@revision`); None keeps the predictor random.
        pretrained_tokenizer: run folder or name, tokenizer folder or Hub id; None takes the one that belongs to
            `pretrained`, and keeps the tokenizer random where there is none either.
        outputs: folder of all runs.

    Returns:
        Folders or Hub ids of what was loaded; nothing where everything is random.

    Raises:
        InputError: nothing is there, or it does not fit the configuration.
    """
    check_pair(predictor, tokenizer)
    pretrained_tokenizer = find_tokenizer(pretrained_tokenizer, outputs)
    if pretrained is not None:
        checkpoint = find_checkpoint(pretrained, pretrained_tokenizer, outputs, market=None)
        loaded_tokenizer, loaded_predictor = checkpoint.load()
        _fill(predictor, loaded_predictor, str(pretrained))
        _fill(tokenizer, loaded_tokenizer, checkpoint.tokenizer)
        log.info("starting from %s", checkpoint.title)
        return [checkpoint.predictor, checkpoint.tokenizer]
    if pretrained_tokenizer is not None:
        loaded_tokenizer = KronosTokenizer.from_pretrained(*split_revision(pretrained_tokenizer))
        _fill(tokenizer, loaded_tokenizer, pretrained_tokenizer)
        log.info("starting from tokenizer %s and a random predictor", pretrained_tokenizer)
        return [pretrained_tokenizer]
    log.info("starting from random weights")
    return []


def _fill(model: KronosTokenizer | Kronos, weights: KronosTokenizer | Kronos, where: str) -> None:
    kind = type(model).__name__
    for name, wanted in model.config.items():
        found = weights.config[name]
        if found != wanted and not name.endswith("dropout_p"):
            raise InputError(f"{where} is another {kind} than model= describes: {name} is {found}, not {wanted}")
    model.load_state_dict(weights.state_dict())

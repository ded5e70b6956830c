"""Which weights of the predictor a finetune changes: all of them, the top blocks, or adapters that are merged later.

A `Tuning` prepares the network before there is an optimiser, and brings it back into the published format at the end.
In between the network keeps its interface: losses and forecasts are computed with it as with any other.
"""

import logging
from abc import ABC, abstractmethod
from collections.abc import Sequence
from dataclasses import dataclass
from typing import ClassVar

import torch
from torch import nn

from kronos_lab.data.settings import positive_number, sound_number, whole_number
from kronos_lab.errors import InputError
from kronos_lab.models.predictor import Kronos

log = logging.getLogger(__name__)


class Tuning(ABC):
    """A choice of what is trained; `name` is its option of the group `tuning`."""

    name: ClassVar[str]

    @abstractmethod
    def check(self, predictor: Kronos) -> None:
        """Refuse settings that do not suit this network, which is not changed; InputError."""

    @abstractmethod
    def prepare(self, predictor: Kronos, seed: int) -> None:
        """Freeze what is not trained and add what is, in place.

        Args:
            predictor: with the weights it starts from.
            seed: of new weights: the same on every rank, and again when a run is resumed.
        """

    @abstractmethod
    def merge(self, predictor: Kronos) -> None:
        """Bring a trained network back into the published format, in place: its own parameters under their names."""


class AllWeights(Tuning):
    """Every parameter is trained (but for fixed time tables)."""

    name = "all"

    def check(self, predictor: Kronos) -> None:
        """Suits every network."""

    def prepare(self, predictor: Kronos, seed: int) -> None:
        """Leave it as it is."""

    def merge(self, predictor: Kronos) -> None:
        """Leave it as it is."""


@dataclass(frozen=True)
class TopBlocks(Tuning):
    """The last transformer blocks are trained, with the final norm, the dependency layer and the heads.

    Attributes:
        blocks: how many blocks, from the top; 0 for only what follows them.
    """

    blocks: int

    name: ClassVar[str] = "top_blocks"

    def check(self, predictor: Kronos) -> None:
        """There must be as many blocks."""
        whole_number("tuning.blocks", self.blocks, least=0, most=len(predictor.transformer))

    def prepare(self, predictor: Kronos, seed: int) -> None:
        """Freeze what lies below."""
        self.check(predictor)
        predictor.requires_grad_(False)
        blocks = list(predictor.transformer)
        for module in (*blocks[len(blocks) - self.blocks :], predictor.norm, predictor.dep_layer, predictor.head):
            module.requires_grad_(True)

    def merge(self, predictor: Kronos) -> None:
        """Leave it as it is."""


@dataclass(frozen=True)
class Lora(Tuning):
    """Low-rank adapters beside linear layers are trained (Hu et al., arXiv:2106.09685), nothing else.

    Attributes:
        rank: inner width of an adapter.
        alpha: an adapter's product is multiplied by alpha / rank.
        dropout: probability, on what enters an adapter.
        targets: names of linear layers, the last parts of their full names: "q_proj", "self_attn.q_proj", ...
    """

    rank: int
    alpha: float
    dropout: float
    targets: Sequence[str]

    name: ClassVar[str] = "lora"

    def check(self, predictor: Kronos) -> None:
        """Numbers must be in their ranges, and each target must be the name of a linear layer."""
        whole_number("tuning.rank", self.rank, least=1)
        positive_number("tuning.alpha", self.alpha)
        sound_number("tuning.dropout", self.dropout, lambda p: 0 <= p < 1, "must be a probability, from 0 to below 1")
        layers = [name for name, layer in predictor.named_modules() if isinstance(layer, nn.Linear)]
        known = ", ".join(dict.fromkeys(name.rpartition(".")[2] for name in layers))
        if isinstance(self.targets, str) or not self.targets:
            raise InputError(f"tuning.targets={self.targets} must be a list of linear layers, of {known}")
        for target in self.targets:
            if not any(f".{name}".endswith(f".{target}") for name in layers):
                raise InputError(f"tuning.targets: the predictor has no linear layer {target}; it has {known}")

    def prepare(self, predictor: Kronos, seed: int) -> None:
        """Freeze the network and put an adapter beside each target."""
        from peft import LoraConfig, inject_adapter_in_model

        self.check(predictor)
        config = LoraConfig(
            r=self.rank,
            lora_alpha=self.alpha,  # type: ignore[arg-type]  # peft divides it by the rank: any number will do
            lora_dropout=self.dropout,
            target_modules=list(self.targets),
            bias="none",
        )
        predictor.requires_grad_(False)
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            inject_adapter_in_model(config, predictor)
        predictor.train(predictor.training)  # peft leaves the dropout of adapters as if in training

    def merge(self, predictor: Kronos) -> None:
        """Add each adapter to its layer, which takes its place again."""
        from peft.tuners.tuners_utils import BaseTunerLayer

        for name, layer in list(predictor.named_modules()):
            if isinstance(layer, BaseTunerLayer):
                layer.merge()
                predictor.set_submodule(name, layer.get_base_layer())
        del predictor.peft_config


def check_tuning(tuning: Tuning, predictor: Kronos, stages: Sequence[str], pretrained: str | None) -> None:
    """Refuse what cannot be, before anything is trained, and warn of what is hardly meant.

    Args:
        tuning: the choice.
        predictor: the network, as the configuration describes it.
        stages: those that are trained.
        pretrained: where its weights come from; None for random ones.

    Raises:
        InputError: the settings do not suit the network, or no predictor is trained.
    """
    if isinstance(tuning, AllWeights):
        return
    if "predictor" not in stages:
        raise InputError(
            f"tuning={tuning.name} is of the predictor, and stage={stages[0]} trains none: leave it out, the "
            "tokenizer is always trained whole"
        )
    tuning.check(predictor)
    if pretrained is None:
        log.warning("tuning=%s leaves most of a random predictor random: give model.pretrained=", tuning.name)

"""A run folder as a finetune of the tiny golden model leaves it, without the finetune."""

import json
from pathlib import Path

import torch
from omegaconf import OmegaConf

GOLDEN = Path(__file__).parent / "data" / "golden" / "tiny"


def finetuned_run(outputs: Path, name: str, pretrained: str | None = str(GOLDEN / "predictor"), **data: int) -> Path:
    """Leave `<outputs>/train/<name>`: weights a little apart from the golden ones, summary and configuration."""
    from kronos_lab import Kronos, KronosTokenizer

    folder = outputs / "train" / name
    predictor = Kronos.from_pretrained(GOLDEN / "predictor")
    torch.manual_seed(len(name))
    with torch.no_grad():
        for weight in predictor.parameters():
            weight.add_(0.1 * weight.std() * torch.randn_like(weight) if weight.numel() > 1 else 0.0)
    predictor.save_pretrained(folder / "predictor")
    KronosTokenizer.from_pretrained(GOLDEN / "tokenizer").save_pretrained(folder / "tokenizer")
    summary = {
        "kind": "train",
        "name": name,
        "finished": "2026-01-01T00:00:00+00:00",
        "market": {"name": "elsewhere", "fingerprint": "f"},
        "weights": {"predictor": "abc"},
        "seen_until": "2024-06-28",
        "comet": {"experiment": "abc", "url": "https://www.comet.com/their/page", "archive": None},
    }
    (folder / "summary.json").write_text(json.dumps(summary))
    config = {
        "data": {"lookback": 30, "horizon": 4, "max_gap": 20, "clip": 5.0, "rescale": False} | data,
        "split": {"val_end": "2024-06-28"},
        "stage": "predictor",
        "model": {"pretrained": pretrained, "pretrained_tokenizer": None},
        "seed": 1,
    }
    OmegaConf.save(OmegaConf.create(config), folder / "config.yaml")
    return folder

"""From a training checkpoint to a model folder in the published format, for everyone to load."""

import shutil
from pathlib import Path

from kronos_lab.models.hub import PublishedModel


def export_model(model: PublishedModel, folder: Path) -> Path:
    """Write `config.json` and `model.safetensors` to `folder`, complete or not at all; replaces an earlier export."""
    partial = folder.with_name(f"{folder.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    model.save_pretrained(partial)
    shutil.rmtree(folder, ignore_errors=True)
    return partial.replace(folder)

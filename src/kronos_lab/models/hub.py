"""Checkpoints in the published folder format (`config.json` + `model.safetensors`), on disk and on the Hub.

`config.json` holds the constructor arguments and nothing else. Hub downloads follow huggingface_hub's environment:
`HF_ENDPOINT` names a mirror, `HF_HUB_OFFLINE=1` uses the local cache alone, `HF_TOKEN` opens private repositories.
"""

import hashlib
import inspect
import json
import os
from pathlib import Path
from typing import Any, Self, cast

from huggingface_hub import ModelCard, PyTorchModelHubMixin, hf_hub_download
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    LocalEntryNotFoundError,
    RepositoryNotFoundError,
    RevisionNotFoundError,
)
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import nn, uint8

from kronos_lab.errors import InputError

CONFIG_FILE = "config.json"
WEIGHTS_FILE = "model.safetensors"


class PublishedModel(PyTorchModelHubMixin, library_name="kronos-lab", license="mit"):
    """Loads and saves a module in the published folder format; `push_to_hub` comes with the mixin.

    Loading is strict: a missing or unexpected key, a broken file or a pickle in place of safetensors is an error.
    """

    @property
    def config(self) -> dict[str, Any]:
        """The constructor arguments, as `config.json` holds them."""
        return cast(dict[str, Any], self._hub_mixin_config)

    # The mixin's has an argument for each choice of a download, too; the environment makes these choices here.
    @classmethod
    def from_pretrained(cls, path_or_id: str | Path, revision: str | None = None) -> Self:  # type: ignore[override]
        """Load a model folder, or a repository of the Hub.

        Args:
            path_or_id: a folder with `config.json` and `model.safetensors`, or a Hub id such as
                "NeoQuasar/Kronos-small".
            revision: branch, tag or commit of the Hub repository.

        Raises:
            InputError: the folder, repository or revision does not exist, the Hub cannot be reached, a file is
                broken, or it holds another kind of model.
        """
        config = _read_config(_locate(path_or_id, CONFIG_FILE, revision))
        what = f"a {cls.__name__}"
        known = inspect.signature(cls).parameters
        for problem, keys in (
            ("unknown", [k for k in config if k not in known]),
            ("missing", [k for k in known if k not in config]),
        ):
            if keys:
                raise InputError(f"{path_or_id}: {CONFIG_FILE} is not that of {what} ({problem}: {', '.join(keys)})")
        try:
            model = cls(**config)
        except (TypeError, ValueError) as error:
            raise InputError(f"{path_or_id}: {CONFIG_FILE} does not describe {what}: {error}") from error
        weights = _locate(path_or_id, WEIGHTS_FILE, revision)
        try:
            state = load_file(weights)
        except (SafetensorError, OSError) as error:
            raise InputError(f"{weights} is broken ({error}): delete it and fetch or export it again") from error
        assert isinstance(model, nn.Module)
        try:
            model.load_state_dict(state)
        except RuntimeError as error:
            first_problem = str(error).splitlines()[1].strip()
            raise InputError(f"{weights} does not hold the weights of {what}: {first_problem}") from error
        return model.eval()

    def generate_model_card(self, *args: Any, **kwargs: Any) -> ModelCard:
        """The README.md that `save_pretrained` puts beside the weights."""
        name = type(self).__name__
        return ModelCard(
            f"---\nlibrary_name: kronos-lab\nlicense: mit\ntags:\n- kronos\n- time-series\n---\n\n# {name}\n\n"
            f"A {name} in the published folder format. Load it with\n\n"
            f'```python\nfrom kronos_lab import {name}\n\nmodel = {name}.from_pretrained("<this folder>")\n```\n\n'
            "Architecture: Shi et al., *Kronos: A Foundation Model for the Language of Financial Markets*, "
            "arXiv:2508.02739.\n"
        )


def weights_fingerprint(module: nn.Module) -> str:
    """Hash of all parameters and buffers by name, dtype, shape and value: 16 hexadecimal digits."""
    digest = hashlib.sha256()
    for name, tensor in sorted(module.state_dict().items()):
        digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}\n".encode())
        digest.update(tensor.detach().cpu().contiguous().view(-1).view(uint8).numpy())
    return digest.hexdigest()[:16]


def _locate(path_or_id: str | Path, name: str, revision: str | None) -> Path:
    """Path of one file of a model folder or Hub repository (downloaded where needed)."""
    folder, text = Path(path_or_id).expanduser(), str(path_or_id)
    if folder.is_dir():
        if not (folder / name).is_file():
            raise InputError(f"no {name} in {folder}: give a model folder ({CONFIG_FILE} and {WEIGHTS_FILE})")
        return folder / name
    if text.startswith((".", "~", os.sep)) or text.count("/") != 1:
        raise InputError(
            f"no model folder {folder}: give an existing folder, or a Hub id such as NeoQuasar/Kronos-small"
        )
    where = text if revision is None else f"{text} at revision {revision}"
    try:
        return Path(hf_hub_download(text, name, revision=revision))
    except GatedRepoError as error:
        raise InputError(f"{where} is gated: accept its terms on the Hub and set HF_TOKEN") from error
    except RevisionNotFoundError as error:
        raise InputError(f"the Hub has no {where}: check the revision") from error
    except RepositoryNotFoundError as error:
        raise InputError(
            f"neither a folder {text} nor a repository {text} on the Hub: check the name, or set HF_TOKEN "
            "if it is private"
        ) from error
    except LocalEntryNotFoundError as error:
        if os.environ.get("HF_HUB_OFFLINE", "0").upper() in {"1", "ON", "YES", "TRUE"}:
            why = "HF_HUB_OFFLINE is set: unset it to download"
        else:
            endpoint = os.environ.get("HF_ENDPOINT")
            why = f"{endpoint or 'the Hub'} cannot be reached: check the network, set HF_ENDPOINT to a mirror"
        raise InputError(f"{name} of {where} is not in the local cache and {why}, or give a model folder") from error
    except EntryNotFoundError as error:
        raise InputError(f"{where} has no {name}: it is not a model in the published Kronos format") from error
    except (HfHubHTTPError, HFValidationError, OSError) as error:
        raise InputError(f"{name} of {where} cannot be downloaded: {str(error).splitlines()[0]}") from error


def _read_config(file: Path) -> dict[str, Any]:
    try:
        config = json.loads(file.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{file} cannot be read as JSON: {error}") from error
    if not isinstance(config, dict):
        raise InputError(f"{file} does not hold the constructor arguments of a model")
    return config

"""Checkpoints: the published shapes, round trips, and one clear line for each thing that can be wrong."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from huggingface_hub.errors import LocalEntryNotFoundError

from kronos_lab import Kronos, KronosTokenizer
from kronos_lab.errors import InputError
from kronos_lab.models import hub
from kronos_lab.models.pair import check_pair

GOLDEN = Path(__file__).parents[1] / "data" / "golden"
PUBLISHED: dict[str, dict[str, Any]] = json.loads((GOLDEN / "checkpoints.json").read_text())


@pytest.mark.parametrize("name", PUBLISHED)
def test_state_dict_of_the_published_checkpoint(name: str) -> None:
    published = PUBLISHED[name]
    build = KronosTokenizer if published["kind"] == "tokenizer" else Kronos
    with torch.device("meta"):
        model = build(**published["config"])
    state = {
        key: [str(tensor.dtype).removeprefix("torch."), list(tensor.shape)]
        for key, tensor in model.state_dict().items()
    }
    assert state == published["state_dict"]
    assert sum(p.numel() for p in model.parameters()) == published["parameters"]
    if published["kind"] == "tokenizer":
        assert model.max_context == (2048 if name.endswith("2k") else 512)


def on_meta(name: str) -> Any:
    published = PUBLISHED[name]
    with torch.device("meta"):
        return (KronosTokenizer if published["kind"] == "tokenizer" else Kronos)(**published["config"])


def test_published_pairs_are_accepted_and_mixed_ones_refused() -> None:
    for name, published in PUBLISHED.items():
        if published["kind"] == "predictor":
            check_pair(on_meta(name), on_meta(published["tokenizer"]))
    with pytest.raises(InputError, match=r"Kronos-Tokenizer-2k \(group_size 5\), this tokenizer has group_size 4"):
        check_pair(on_meta("NeoQuasar/Kronos-mini"), on_meta("NeoQuasar/Kronos-Tokenizer-base"))
    with pytest.raises(InputError, match="Kronos-Tokenizer-base"):
        check_pair(on_meta("NeoQuasar/Kronos-small"), on_meta("NeoQuasar/Kronos-Tokenizer-2k"))
    with pytest.raises(InputError, match=r"10\+10 \(predictor\) and 6\+6 \(tokenizer\)"):
        check_pair(on_meta("NeoQuasar/Kronos-small"), KronosTokenizer.from_pretrained(GOLDEN / "tiny" / "tokenizer"))


@pytest.mark.parametrize(("build", "part"), [(KronosTokenizer, "tokenizer"), (Kronos, "predictor")])
@pytest.mark.parametrize("name", ["tiny", "bits10"])
def test_save_and_load_again(build: Any, part: str, name: str, tmp_path: Path) -> None:
    folder = tmp_path / "a folder"
    model = build.from_pretrained(GOLDEN / name / part)
    model.save_pretrained(folder)
    again = build.from_pretrained(str(folder))
    assert hub.weights_fingerprint(again) == hub.weights_fingerprint(model)
    assert json.loads((folder / "config.json").read_text()) == json.loads(
        (GOLDEN / name / part / "config.json").read_text()
    )
    with torch.no_grad():
        next(model.parameters()).add_(1e-3)
    assert hub.weights_fingerprint(again) != hub.weights_fingerprint(model)


def copy_model(tmp_path: Path) -> Path:
    folder = tmp_path / "model"
    Kronos.from_pretrained(GOLDEN / "tiny" / "predictor").save_pretrained(folder)
    return folder


def test_broken_folders_give_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no model folder .*missing: give an existing folder"):
        Kronos.from_pretrained(tmp_path / "missing")

    folder = copy_model(tmp_path)
    weights = folder / "model.safetensors"
    complete = weights.read_bytes()
    for broken in (complete[: len(complete) // 2], b"", b"not safetensors at all"):
        weights.write_bytes(broken)
        with pytest.raises(InputError, match=r"model\.safetensors is broken .* export it again"):
            Kronos.from_pretrained(folder)

    weights.unlink()
    with pytest.raises(InputError, match=r"no model\.safetensors in"):
        Kronos.from_pretrained(folder)

    (folder / "config.json").write_text("{")
    with pytest.raises(InputError, match=r"config\.json cannot be read as JSON"):
        Kronos.from_pretrained(folder)


def test_other_kind_of_model_gives_one_line(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="not that of a KronosTokenizer"):
        KronosTokenizer.from_pretrained(GOLDEN / "tiny" / "predictor")
    folder = copy_model(tmp_path)
    config = json.loads((folder / "config.json").read_text())
    (folder / "config.json").write_text(json.dumps(config | {"n_layers": 4}))
    with pytest.raises(InputError, match=r"does not hold the weights of a Kronos: Missing key"):
        Kronos.from_pretrained(folder)
    (folder / "config.json").write_text(json.dumps(config | {"n_heads": 5}))
    with pytest.raises(InputError, match=r"d_model 32 is not a multiple of n_heads 5"):
        Kronos.from_pretrained(folder)


def test_hub_out_of_reach_gives_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    def unreachable(*args: Any, **kwargs: Any) -> str:
        raise LocalEntryNotFoundError("cannot find the file")

    monkeypatch.setattr(hub, "hf_hub_download", unreachable)
    monkeypatch.delenv("HF_ENDPOINT", raising=False)
    monkeypatch.setenv("HF_HUB_OFFLINE", "1")
    with pytest.raises(InputError, match=r"NeoQuasar/Kronos-mini is not in the local cache and HF_HUB_OFFLINE is set"):
        Kronos.from_pretrained("NeoQuasar/Kronos-mini")
    monkeypatch.delenv("HF_HUB_OFFLINE")
    with pytest.raises(InputError, match="the Hub cannot be reached: check the network, set HF_ENDPOINT to a mirror"):
        Kronos.from_pretrained("NeoQuasar/Kronos-mini")
    monkeypatch.setenv("HF_ENDPOINT", "https://mirror.invalid")
    with pytest.raises(InputError, match=r"at revision abc .*https://mirror\.invalid cannot be reached"):
        Kronos.from_pretrained("NeoQuasar/Kronos-mini", revision="abc")


def test_rotary_tables_survive_device_move_dtype_change_and_inference_mode() -> None:
    model = Kronos.from_pretrained(GOLDEN / "tiny" / "predictor")
    exact = model.transformer[0].self_attn.rotary.inv_freq.clone()
    s1 = torch.randint(64, (2, 12), generator=torch.Generator().manual_seed(0))
    stamp = torch.ones(2, 12, 5, dtype=torch.long)
    with torch.inference_mode():
        before, _ = model.decode_s1(s1, s1, stamp)

    model.to(torch.bfloat16).to(torch.float64).to(torch.float32)
    assert torch.equal(model.transformer[0].self_attn.rotary.inv_freq, exact)
    assert "transformer.0.self_attn.rotary.inv_freq" in model.state_dict()

    model = Kronos.from_pretrained(GOLDEN / "tiny" / "predictor")
    with torch.inference_mode():
        model.decode_s1(s1, s1, stamp)
    model.train().losses(s1, s1, stamp).mean().backward()  # fails on tables made under inference_mode
    model.eval()
    with torch.inference_mode():
        torch.testing.assert_close(model.decode_s1(s1, s1, stamp)[0], before)

    empty = Kronos(**model.config).to("meta").to_empty(device="cpu")
    empty.load_state_dict(model.state_dict())
    with torch.inference_mode():
        torch.testing.assert_close(empty.eval().decode_s1(s1, s1, stamp)[0], before)

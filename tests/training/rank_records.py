"""What each rank of a run saw and held, written to one file per rank and stage."""

import hashlib
import json
from pathlib import Path

from lightning.pytorch import Callback


class RankRecords(Callback):
    """A callback for `+callbacks.records._target_=rank_records.RankRecords`.

    Args:
        folder: where `<stage>-<rank>.json` is written: digests of the weights after each of the first five steps, and
            of the windows of each epoch.
    """

    def __init__(self, folder):
        self.folder, self.weights, self.windows = Path(folder), [], {}

    def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx):
        seen = self.windows.setdefault(trainer.current_epoch, [])
        seen += [hashlib.sha1(window.numpy().tobytes()).hexdigest() for window in batch.bars_BTF]
        if len(self.weights) < 5:
            digest = hashlib.sha1()
            for value in pl_module.state_dict().values():
                digest.update(value.numpy().tobytes())
            self.weights.append(digest.hexdigest())

    def on_train_end(self, trainer, pl_module):
        self.folder.mkdir(exist_ok=True)
        file = self.folder / f"{pl_module.stage}-{trainer.global_rank}.json"
        file.write_text(json.dumps({"weights": self.weights, "windows": list(self.windows.values())}))


def check_records(folder, ranks):
    """Equal weights after each of the first five steps, no window twice in an epoch; one rank as many as another."""
    for stage in ("tokenizer", "predictor"):
        files = sorted(folder.glob(f"{stage}-*.json"))
        assert len(files) == ranks
        records = [json.loads(file.read_text()) for file in files]
        assert len(set(records[0]["weights"])) == 5
        assert all(record["weights"] == records[0]["weights"] for record in records)
        for epoch in zip(*(record["windows"] for record in records), strict=True):
            together = [window for of_rank in epoch for window in of_rank]
            assert len(set(together)) == len(together) >= 100

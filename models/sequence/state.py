"""All that changes while a network learns, and its checkpoints: written whole or not at all."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass
from pathlib import Path

import torch
from torch import Tensor

from models.sequence.networks import RiskNetwork
from models.sequence.tensors import Stays


@dataclass(frozen=True)
class Progress:
    """After an epoch: mean training loss, validation log loss (None without rows), seconds so far and still to go."""

    epoch: int
    epochs: int
    loss: float
    validation: float | None
    seconds: float
    left: float


@dataclass
class State:
    """A training between two epochs. `best` are the averaged weights to keep, of the epoch `best_epoch`."""

    network: RiskNetwork
    average: RiskNetwork
    optimiser: torch.optim.Optimizer
    history: list[Progress]
    best: dict[str, Tensor]
    best_epoch: int = 0
    seconds: float = 0.0

    @property
    def epoch(self) -> int:
        """Epochs done."""
        return len(self.history)

    def write(self, path: Path, identity: str, device: torch.device) -> None:
        """Replaces the checkpoint at `path`; a kill at any moment leaves the old one or the new one."""
        content = {
            "identity": identity,
            "network": self.network.state_dict(),
            "average": self.average.state_dict(),
            "optimiser": self.optimiser.state_dict(),
            "history": [asdict(one) for one in self.history],
            "best": self.best,
            "best_epoch": self.best_epoch,
            "seconds": self.seconds,
            "random": torch.get_rng_state(),
            "random_device": torch.cuda.get_rng_state(device) if device.type == "cuda" else None,
        }
        path.parent.mkdir(parents=True, exist_ok=True)
        unfinished = path.with_name(path.name + ".part")
        torch.save(content, unfinished)
        unfinished.replace(path)

    def resume(self, path: Path, identity: str, device: torch.device) -> bool:
        """Goes on where the checkpoint ended, random numbers included; False where there is none of this identity."""
        if not path.exists():
            return False
        content = torch.load(path, map_location=device, weights_only=True)
        if content["identity"] != identity:
            return False
        self.network.load_state_dict(content["network"])
        self.average.load_state_dict(content["average"])
        self.optimiser.load_state_dict(content["optimiser"])
        self.history[:] = [Progress(**one) for one in content["history"]]
        self.best, self.best_epoch, self.seconds = content["best"], content["best_epoch"], content["seconds"]
        torch.set_rng_state(content["random"].cpu())
        if device.type == "cuda":
            torch.cuda.set_rng_state(content["random_device"].cpu(), device)
        return True


def identity_of(stays: Stays, arrays: list[Tensor], settings: object) -> str:
    """A digest of stays, arrays (labels, rows) and plain settings: no other training's checkpoint is resumed."""
    digest = hashlib.blake2b(stays.digest.encode(), digest_size=16)
    for array in arrays:
        digest.update(f"{tuple(array.shape)}{array.dtype}".encode())
        digest.update(array.detach().cpu().contiguous().numpy().tobytes())
    digest.update(json.dumps([settings, torch.__version__], sort_keys=True).encode())
    return digest.hexdigest()

"""A training as it stands after some steps, as bytes: what goes on from there comes to the same end."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass

import torch
from safetensors import SafetensorError
from safetensors.torch import load, save

from memos_core.errors import FormatError


@dataclass(slots=True, kw_only=True)
class Standing:
    """How far it is: the step, the best look so far, and how many looks have not been better since."""

    job: str  # digest of what is trained, on what, how
    step: int = 0
    best: float = float("inf")
    worse: int = 0
    seconds: float = 0.0


def packed(standing: Standing, tensors: Mapping[str, torch.Tensor]) -> bytes:
    """Return the state as one safetensors file."""
    plain = {name: each.detach().cpu().contiguous() for name, each in tensors.items()}
    return save(plain, metadata={"standing": json.dumps(asdict(standing))})


def unpacked(data: bytes, *, job: str) -> tuple[Standing, dict[str, torch.Tensor]]:
    """Read a state; FormatError where it is damaged or of another job."""
    try:
        length = int.from_bytes(data[:8], "little")
        facts = json.loads(data[8 : 8 + length])["__metadata__"]["standing"]
        standing, tensors = Standing(**json.loads(facts)), load(data)
    except (ValueError, KeyError, TypeError, OverflowError, SafetensorError) as exc:
        raise FormatError(f"this state of a training is damaged ({exc}): begin the training anew") from exc
    if standing.job != job:
        raise FormatError("this is the state of another training: begin this one anew")
    return standing, tensors

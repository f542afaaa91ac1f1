"""Named tensors in one file of the safetensors format: no code in it, exact to the last bit, readable by any tool.

The format (huggingface/safetensors): eight bytes of header length, little endian; a JSON header naming each tensor's
dtype, shape and place; the bytes.
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

DTYPES: dict[str, np.dtype[Any]] = {"F32": np.dtype("<f4"), "F64": np.dtype("<f8"), "I64": np.dtype("<i8")}
NAMES = {dtype: name for name, dtype in DTYPES.items()}
LONGEST_HEADER = 100_000_000  # the format's own limit


def save(path: Path, tensors: Mapping[str, Tensor]) -> None:
    """Writes float32, float64 and int64 tensors; KeyError for another type."""
    arrays = {name: tensors[name].detach().cpu().contiguous().numpy() for name in sorted(tensors)}
    header: dict[str, Any] = {}
    place = 0
    for name, array in arrays.items():
        end = place + array.nbytes
        header[name] = {"dtype": NAMES[array.dtype], "shape": list(array.shape), "data_offsets": [place, end]}
        place = end
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    path.write_bytes(b"".join([struct.pack("<Q", len(text)), text, *(array.tobytes() for array in arrays.values())]))


def load(path: Path) -> dict[str, Tensor]:
    """The tensors of a file. Raises ValueError, naming the file, where it is not one of these or was cut short."""
    content = path.read_bytes()
    size = struct.unpack("<Q", content[:8])[0] if len(content) >= 8 else LONGEST_HEADER
    if size >= min(LONGEST_HEADER, len(content)):
        raise ValueError(f"{path}: not a file of tensors")
    header = json.loads(content[8 : 8 + size])
    body = memoryview(content)[8 + size :]
    tensors = {}
    for name, entry in header.items():
        if name == "__metadata__":
            continue
        dtype, shape, (start, end) = DTYPES[entry["dtype"]], entry["shape"], entry["data_offsets"]
        if end - start != prod(shape) * dtype.itemsize or not 0 <= start <= end <= len(body):
            raise ValueError(f"{path}: {name} is cut short or misplaced")
        tensors[name] = torch.from_numpy(np.frombuffer(body[start:end], dtype).reshape(shape).copy())
    return tensors

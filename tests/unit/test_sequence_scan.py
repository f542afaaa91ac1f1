"""The state-space scan against the slow recurrence: values, gradients, gaps, padding, both methods."""

import pytest
import torch
from torch import Tensor

from models.sequence import reference
from models.sequence.scan import scan, zero_order_hold

LENGTHS = (1, 2, 3, 7, 48, 215)
WAYS = ("sequential", "parallel")
GAPS = ("one", "equal", "by step", "irregular", "padded")
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-4}


def made_up(length: int, gaps: str, real: torch.dtype, seed: int = 0) -> tuple[Tensor, Tensor, Tensor]:
    """Rates (2, 5), gaps as named, drives (length, 3, 2, 5): three stays, two directions, five states."""
    g = torch.Generator().manual_seed(seed)
    rate = torch.complex(-torch.rand(2, 5, generator=g) - 0.01, 3 * torch.randn(2, 5, generator=g))
    drive = torch.complex(torch.randn(length, 3, 2, 5, generator=g), torch.randn(length, 3, 2, 5, generator=g))
    irregular = -2 * torch.log(torch.rand(length, 3, 2, 1, generator=g))
    padding = torch.arange(length)[:, None, None, None] >= torch.tensor([length, 1, 0])[:, None, None]
    gap = {
        "one": torch.tensor(1.0),
        "equal": torch.full((1, 1, 1, 1), 0.7),
        "by step": irregular[:, :1, :1],
        "irregular": irregular,
        "padded": irregular.masked_fill(padding, 0.0),
    }[gaps]
    kind = torch.complex128 if real == torch.float64 else torch.complex64
    return rate.to(kind), gap.to(real), drive.to(kind)


def close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    """Relative to the largest value of the tensor."""
    error = (found - expected).abs().max() / expected.abs().max().clamp(min=1e-9)
    assert error < tolerance, float(error)


@pytest.mark.parametrize("real", TOLERANCE)
@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("method", WAYS)
@pytest.mark.parametrize("length", LENGTHS)
def test_values_and_gradients_are_those_of_the_recurrence(
    length: int, method: str, gaps: str, real: torch.dtype
) -> None:
    given = [x.requires_grad_() for x in made_up(length, gaps, real)]
    slow, fast = reference.scan(*given), scan(*given, method=method)
    assert fast.shape == slow.shape and fast.dtype == slow.dtype
    close(fast, slow, TOLERANCE[real])
    upstream = torch.randn(slow.shape, dtype=slow.dtype, generator=torch.Generator().manual_seed(1))
    expected = torch.autograd.grad(slow, given, upstream)
    found = torch.autograd.grad(fast, given, upstream)
    for one, other in zip(found, expected, strict=True):
        assert one.shape == other.shape
        close(one, other, TOLERANCE[real])


@pytest.mark.parametrize("gaps", ("one", "irregular", "padded"))
@pytest.mark.parametrize("method", WAYS)
def test_gradcheck(method: str, gaps: str) -> None:
    rate, gap, drive = made_up(4, gaps, torch.float64)
    few = (rate[:, :2], gap[:, :2] if gap.ndim else gap, drive[:, :2, :, :2])  # it differentiates number by number
    given = [x.clone().requires_grad_() for x in few]
    assert torch.autograd.gradcheck(lambda *x: scan(*x, method=method), given)


@pytest.mark.parametrize("method", WAYS)
def test_the_other_direction_is_the_flipped_sequence(method: str) -> None:
    rate, gap, drive = made_up(9, "irregular", torch.float64)
    both = scan(rate, gap.flip(0), drive.flip(0), method=method).flip(0)
    close(both, reference.scan(rate, gap.flip(0), drive.flip(0)).flip(0), 1e-12)
    close(both[-1], scan(rate, gap[-1:], drive[-1:])[0], 1e-12)


@pytest.mark.parametrize("method", WAYS)
def test_a_gap_of_zero_keeps_the_state_to_the_last_bit(method: str) -> None:
    rate, gap, drive = made_up(8, "irregular", torch.float32)
    longer = torch.cat([gap, torch.zeros(5, *gap.shape[1:])])
    states = scan(rate, longer, torch.cat([drive, torch.full_like(drive[:5], 1e6)]), method=method)
    assert torch.equal(states[7:], states[7:8].expand(6, -1, -1, -1))
    assert torch.equal(states[:8], scan(rate, gap, drive, method="sequential")) or method == "parallel"


def test_one_long_gap_is_many_short_ones_under_a_held_drive() -> None:
    rate, _, drive = made_up(1, "one", torch.float64)
    once = scan(rate, torch.tensor(6.0, dtype=torch.float64), drive)[-1]
    often = scan(rate, torch.tensor(0.5, dtype=torch.float64), drive.expand(12, -1, -1, -1))[-1]
    close(often, once, 1e-12)


def test_a_constant_drive_settles_where_the_equation_says() -> None:
    rate, _, drive = made_up(1, "one", torch.float64)
    settled = scan(rate, torch.tensor(5000.0, dtype=torch.float64), drive)[0]
    close(settled, -drive[0] / rate, 1e-12)


def test_the_hold_does_not_cancel_at_tiny_gaps() -> None:
    rate = torch.tensor([complex(-1e-3, 1e-4)], dtype=torch.complex64)
    _, weight = zero_order_hold(rate, torch.tensor(1e-3))
    assert abs(weight.item() - 1e-3) < 1e-9


def test_an_unknown_method_is_refused() -> None:
    with pytest.raises(ValueError, match="none of auto, sequential, parallel"):
        scan(*made_up(2, "one", torch.float32), method="fast")

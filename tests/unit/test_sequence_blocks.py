"""The state space block by block against the slow recurrence between two matrix products: values and gradients."""

import pytest
import torch
from torch import Tensor

from models.sequence import blocks, reference
from models.sequence.blocks import mix
from models.sequence.layers import StateSpace, in_blocks, in_one

LENGTHS = (1, 2, 3, 7, 48, 215)
GAPS = ("equal", "irregular", "padded")
TOLERANCE = {torch.float64: 1e-12, torch.float32: 1e-4}
SIZE, WIDTH, STATES, OUT = 3, 4, 5, 6


def made_up(length: int, gaps: str, real: torch.dtype, seed: int = 0) -> list[Tensor]:
    """Rates (5,), gaps as named, inputs (length, 3, 4), the matrices before and after the states."""
    g = torch.Generator().manual_seed(seed)
    rate = torch.complex(-torch.rand(STATES, generator=g) - 0.05, 3 * torch.randn(STATES, generator=g))
    irregular = 0.1 + 2 * torch.rand(length, SIZE, 1, generator=g)
    padding = torch.arange(length)[:, None, None] >= torch.tensor([length, 1, 0])[:, None]
    gap = {
        "equal": torch.full((1, 1, 1), 0.7),
        "irregular": irregular,
        "padded": irregular.masked_fill(padding, 0.0),
    }[gaps]
    shapes = (length, SIZE, WIDTH), (WIDTH, 2 * STATES), (2 * STATES, OUT)
    others = [gap, *(torch.randn(shape, generator=g) for shape in shapes)]
    complex_kind = torch.complex128 if real == torch.float64 else torch.complex64
    return [one.requires_grad_() for one in (rate.to(complex_kind), *(other.to(real) for other in others))]


def slow(rate: Tensor, gap: Tensor, x: Tensor, into: Tensor, out: Tensor, reverse: bool) -> Tensor:
    """The same by the recurrence of the papers, the other direction by reversing all."""
    drive = torch.view_as_complex((x @ into).unflatten(-1, (-1, 2)))
    if not reverse:
        return torch.view_as_real(reference.scan(rate, gap, drive)).flatten(-2) @ out
    return torch.view_as_real(reference.scan(rate, gap.flip(0), drive.flip(0)).flip(0)).flatten(-2) @ out


@pytest.fixture(params=(1, 7, 1024), ids=lambda rows: f"{rows} rows a block")
def _block_size(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blocks, "ROWS", request.param)


@pytest.mark.usefixtures("_block_size")
@pytest.mark.parametrize("real", TOLERANCE)
@pytest.mark.parametrize("reverse", (False, True))
@pytest.mark.parametrize("gaps", GAPS)
@pytest.mark.parametrize("length", LENGTHS)
def test_values_and_gradients_are_those_of_the_recurrence(
    length: int, gaps: str, reverse: bool, real: torch.dtype
) -> None:
    given = made_up(length, gaps, real)
    expected, found = slow(*given, reverse=reverse), mix(*given, reverse=reverse)  # type: ignore[misc]
    upstream = torch.randn(expected.shape, dtype=real, generator=torch.Generator().manual_seed(1))
    both = [[values, *torch.autograd.grad(values, given, upstream)] for values in (found, expected)]
    for one, other in zip(*both, strict=True):
        assert one.shape == other.shape and one.dtype == other.dtype
        error = (one - other).abs().max() / other.abs().max().clamp(min=1e-9)
        # A gap that all steps share has one gradient, a sum of terms that nearly cancel.
        assert error < TOLERANCE[real] * (10 if one.numel() == 1 else 1), float(error)


@pytest.mark.usefixtures("_block_size")
@pytest.mark.parametrize("reverse", (False, True))
@pytest.mark.parametrize("gaps", GAPS)
def test_gradcheck(gaps: str, reverse: bool) -> None:
    assert torch.autograd.gradcheck(lambda *given: mix(*given, reverse=reverse), made_up(4, gaps, torch.float64))


@pytest.mark.parametrize("gaps", GAPS)
def test_a_gradient_of_the_inputs_alone_is_the_same(gaps: str) -> None:
    given = made_up(9, gaps, torch.float64)
    alone = [one if i == 2 else one.detach() for i, one in enumerate(given)]
    (expected,), (found,) = (torch.autograd.grad(mix(*each).sum(), [given[2]]) for each in (given, alone))  # type: ignore[misc]
    assert torch.equal(found, expected)


def test_a_gap_of_zero_keeps_the_state_to_the_last_bit() -> None:
    rate, gap, x, into, _ = made_up(8, "irregular", torch.float32)
    itself = torch.eye(2 * STATES)
    longer, more = torch.cat([gap, torch.zeros(5, SIZE, 1)]), torch.cat([x, torch.full_like(x[:5], 1e6)])
    y, back = (mix(rate, longer, more, into, itself, reverse) for reverse in (False, True))
    assert torch.equal(y[7:], y[7:8].expand(6, -1, -1)) and not back[8:].any()
    torch.testing.assert_close(y[:8], mix(rate, gap, x, into, itself))
    torch.testing.assert_close(back[:8], mix(rate, gap, x, into, itself, reverse=True))


@pytest.mark.parametrize("gaps", ("equal", "irregular", "padded"))
@pytest.mark.parametrize("length", (1, 2, 48))
def test_a_cpu_and_a_gpu_run_the_same_layer(length: int, gaps: str) -> None:
    """Step after step, or all steps of both directions at once."""
    torch.manual_seed(0)
    layer = StateSpace(WIDTH, STATES).double()
    decay = torch.exp(layer.log_decay)
    gap = made_up(length, gaps, torch.float64)[1].detach().squeeze(-1)
    x = torch.randn(length, SIZE, WIDTH, dtype=torch.float64, requires_grad=True)
    given = torch.complex(-decay, layer.frequency), gap, x, layer.B.flatten(2), layer.C
    one, other = in_blocks(*given), in_one(*given)
    torch.testing.assert_close(one, other, rtol=1e-12, atol=1e-12)
    wanted = [x, layer.log_decay, layer.frequency, layer.B, layer.C]
    for a, b in zip(
        *(torch.autograd.grad(y.square().sum(), wanted, retain_graph=True) for y in (one, other)), strict=True
    ):
        torch.testing.assert_close(a, b, rtol=1e-11, atol=1e-11)

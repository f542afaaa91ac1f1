"""A diagonal state space in one direction, with its projections, block of steps by block: what a CPU runs.

    y_t = [Re h_t, Im h_t] out,   h_t = decay_t * h_{t-1} + weight_t * (x_t into)

It is `scan` between two matrix products. Between them lie the states, the largest arrays of a network: in blocks small
enough for a core's cache they are made, used and, going back, differentiated before they leave it, and decays of
irregular gaps exist for one block at a time. Nothing is reversed, shifted or stacked: the backward direction walks the
blocks, and the steps within, from the end. The tests compare values and gradients with `reference.py`.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

from models.sequence.scan import hold_gradients, zero_order_hold

ROWS = 1024  # steps times stays of a block: with 64 channels a quarter of a megabyte each of inputs, states and outputs


def mix(rate: Tensor, gap: Tensor, x: Tensor, into: Tensor, out: Tensor, reverse: bool = False) -> Tensor:
    """y (L, B, K) of x (L, B, H), real; the state before the first step (after the last, if `reverse`) is zero.

    `rate` (N,) complex, with a negative real part; `gap` (L, B, 1) the time since the step before in that direction, 0
    where padded, or (1, 1, 1) where all are equal; `into` (H, 2 N) and `out` (2 N, K) real, each state's real part and
    imaginary part in turn.
    """
    return _Mix.apply(rate, gap, x, into, out, reverse)


class _Mix(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rate: Tensor, gap: Tensor, x: Tensor, into: Tensor, out: Tensor, reverse: bool) -> Tensor:
        x = x.contiguous()
        length, size, _ = x.shape
        states = x.new_empty(length, size, into.shape[1])
        y = x.new_empty(length, size, out.shape[1])
        equal = gap.numel() == 1
        held = {0: zero_order_hold(rate, gap)} if equal else {}
        weighted = _real(_complex(into) * held[0][1][0]) if equal else into
        before = torch.zeros_like(_complex(states[0]))
        for part in _blocks(length, size, reverse):
            torch.mm(_rows(x[part]), weighted, out=_rows(states[part]))
            block = _complex(states[part])
            if not equal:
                held[part.start] = zero_order_hold(rate, gap[part])
                block *= held[part.start][1]
            before = _advance(held[0 if equal else part.start][0].expand_as(block).unbind(0), block, before, reverse)
            torch.mm(_rows(states[part]), out, out=_rows(y[part]))
        ctx.save_for_backward(rate, gap, x, into, out, states)
        ctx.reverse, ctx.held = reverse, held
        return y

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, of_y: Tensor) -> tuple[Tensor | None, ...]:
        # All gradients of complex numbers are conjugates here, as are the matrices that they meet: a change of sign of
        # small matrices at both ends instead of conjugates of large arrays.
        rate, gap, x, into, out, states = ctx.saved_tensors
        of_parameters = any(ctx.needs_input_grad[i] for i in (0, 1, 3, 4))  # whoever explains a risk asks for x alone
        of_y = of_y.contiguous()
        length, size, _ = x.shape
        equal = gap.numel() == 1
        if equal:
            decay, weight = ctx.held[0]
            of_decay = torch.zeros_like(decay)
        weighted = _real(_complex(into) * weight[0]) if equal else into
        from_y, to_x = _conjugate(out.T), _conjugate(weighted).T.contiguous()
        of_x = torch.empty_like(x)
        of_into, of_out = torch.zeros_like(into), torch.zeros_like(out)
        of_rate, of_gap = torch.zeros_like(rate), torch.zeros_like(gap)
        after = border = torch.zeros_like(_complex(states[0]))  # the adjoint of the step that follows, and its decay
        for part in _blocks(length, size, not ctx.reverse):
            adjoint = torch.mm(_rows(of_y[part]), from_y).view(*states[part].shape)
            block = _complex(adjoint)
            if not equal:
                decay, weight = ctx.held[part.start]
            decays = decay.expand_as(block).unbind(0)
            following = [border, *decays[:-1]] if ctx.reverse else [*decays[1:], border]
            after = _advance(following, block, after, not ctx.reverse)
            border = decays[-1 if ctx.reverse else 0]
            if of_parameters:
                torch.addmm(of_out, _rows(states[part]).T, _rows(of_y[part]), out=of_out)
                followed, preceding = _with_predecessor(part, length, ctx.reverse)
                products = block[followed] * _complex(states[preceding])
                if equal:
                    of_decay += products.sum(dim=(0, 1))
                else:
                    of_decays = torch.zeros_like(block)
                    of_decays[followed] = products
                    of_weights = block * _complex(torch.mm(_rows(x[part]), into).view(*adjoint.shape))
                    found = hold_gradients(rate, gap[part], decay, weight, of_decays, of_weights)
                    of_rate += found[0]
                    of_gap[part] = found[1]
            if not equal:
                adjoint = _real(block * weight)
            if of_parameters:
                torch.addmm(of_into, _rows(x[part]).T, _rows(adjoint), out=of_into)
            torch.mm(_rows(adjoint), to_x, out=_rows(of_x[part]))
        if not of_parameters:
            return None, None, of_x, None, None, None
        if equal:
            of_weight = (_complex(of_into) * _complex(into)).sum(dim=0)
            of_rate, of_gap = hold_gradients(rate, gap, decay, weight, of_decay, of_weight.expand_as(decay))
            of_into = _real(_complex(of_into) * weight[0])
        return of_rate.conj().resolve_conj(), of_gap, of_x, _conjugate(of_into), of_out, None


def _blocks(length: int, size: int, reverse: bool) -> Iterable[slice]:
    steps = max(ROWS // size, 1)
    starts = range(0, length, steps)
    return [slice(start, min(start + steps, length)) for start in (reversed(starts) if reverse else starts)]


def _advance(factors: Sequence[Tensor], states: Tensor, before: Tensor, reverse: bool) -> Tensor:
    """Adds to each state, in place, its factor times the state before it; the last state reached."""
    pairs = list(zip(factors, states.unbind(0), strict=True))
    for factor, state in reversed(pairs) if reverse else pairs:
        before = torch.addcmul(state, factor, before, out=state)
    return before


def _with_predecessor(part: slice, length: int, reverse: bool) -> tuple[slice, slice]:
    """Those steps of a block (counted from its start) that follow another, and those others (of the whole)."""
    if reverse:
        stop = min(part.stop, length - 1)
        return slice(0, stop - part.start), slice(part.start + 1, stop + 1)
    start = max(part.start, 1)
    return slice(start - part.start, part.stop - part.start), slice(start - 1, part.stop - 1)


def _rows(x: Tensor) -> Tensor:
    return x.view(-1, x.shape[-1])


def _complex(x: Tensor) -> Tensor:
    """(..., 2 N) as complex (..., N), of the same memory."""
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)))


def _real(x: Tensor) -> Tensor:
    return torch.view_as_real(x).flatten(-2)


def _conjugate(x: Tensor) -> Tensor:
    """Real and imaginary parts in turn, the latter negated."""
    return x * x.new_tensor([1.0, -1.0]).repeat(x.shape[-1] // 2)

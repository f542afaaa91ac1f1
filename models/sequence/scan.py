"""The diagonal complex state-space scan with each step's real time gap, and its hand-written backward.

A continuous state x' = rate * x + drive, held constant over each gap (zero-order hold; Gu et al., S4D, NeurIPS 2022;
Smith et al., S5, ICLR 2023):

    h_t = decay_t * h_{t-1} + weight_t * drive_t,   decay_t = exp(rate * gap_t),   weight_t = (decay_t - 1) / rate

A gap of zero leaves the state as it was (decay 1, weight 0): that is how padding is told. `reference.py` is the same,
slowly; the tests compare them. Exponentials and divisions are done in real arithmetic, which on a CPU is an order of
magnitude faster than PyTorch's complex ones; the recurrence itself is one complex multiply-add a step.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.autograd.function import once_differentiable

METHODS = ("auto", "sequential", "parallel")


def scan(rate: Tensor, gap: Tensor, drive: Tensor, method: str = "auto") -> Tensor:
    """The states h (L, ..., N), complex, of a drive (L, ..., N), complex; h before the first step is zero.

    `rate` (complex, broadcasts against (..., N)) has a negative real part, per unit of time; `gap` (real, broadcasts
    against (L, ..., N)) is the time since the step before. Equal gaps given as a single number cost nothing.
    `method`: sequential (L short operations), parallel (log L deep, linear work), auto (by device).
    Raises ValueError for another method.
    """
    if method not in METHODS:
        raise ValueError(f"method {method!r} is none of {', '.join(METHODS)}")
    parallel = drive.is_cuda if method == "auto" else method == "parallel"
    return _Scan.apply(rate, gap, drive, parallel)


def zero_order_hold(rate: Tensor, gap: Tensor) -> tuple[Tensor, Tensor]:
    """decay exp(rate * gap) and weight (decay - 1) / rate, complex, of the shape that rate and gap broadcast to."""
    grown = torch.exp(rate.real * gap)
    half = rate.imag * gap / 2
    sine, cosine = torch.sin(half), torch.cos(half)
    turned = -2 * sine.square()  # cos - 1, without cancellation near zero
    imaginary = 2 * grown * sine * cosine
    decay = torch.complex(grown * (1 + turned), imaginary)
    less = torch.complex(torch.expm1(rate.real * gap) * (1 + turned) + turned, imaginary)
    return decay, less * rate.reciprocal()


def hold_gradients(
    rate: Tensor, gap: Tensor, decay: Tensor, weight: Tensor, of_decay: Tensor, of_weight: Tensor
) -> tuple[Tensor, Tensor]:
    """Gradients of the rate and of the gap from those of `zero_order_hold`'s two results. Those of complex numbers, the
    rate's too, are conjugates of PyTorch's."""
    grown = gap * decay
    of_rate = (grown * of_decay).sum_to_size(rate.shape)
    of_rate += ((grown - weight) * of_weight).sum_to_size(rate.shape) / rate
    return of_rate, (decay * (rate * of_decay + of_weight)).real.sum_to_size(gap.shape)


class _Scan(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, rate: Tensor, gap: Tensor, drive: Tensor, parallel: bool) -> Tensor:
        decay, weight = zero_order_hold(rate, gap)
        decay = decay.expand(torch.broadcast_shapes(decay.shape, (1,) * drive.ndim))
        states = _recur(decay, weight * drive, parallel)
        ctx.save_for_backward(rate, gap, drive, decay, weight, states)
        ctx.parallel = parallel
        return states

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        rate, gap, drive, decay, weight, states = ctx.saved_tensors
        # The adjoint g_t = grad_t + conj(decay_{t+1}) g_{t+1} is the same recurrence from the end; conjugated, it needs
        # no conjugate of anything but its input and its results (resolved: a compiler views them as real).
        ahead = decay if len(decay) == 1 else torch.cat([decay[:1], decay[1:].flip(0)])
        adjoint = _recur(ahead, grad.conj().flip(0).resolve_conj(), ctx.parallel).flip(0)
        of_rate = of_gap = of_drive = None
        if ctx.needs_input_grad[2]:
            of_drive = (adjoint * weight).conj().resolve_conj()
        if ctx.needs_input_grad[0] or ctx.needs_input_grad[1]:
            products = adjoint.new_zeros(adjoint.shape)
            torch.mul(adjoint[1:], states[:-1], out=products[1:])
            of_decay, of_weight = products.sum_to_size(decay.shape), (adjoint * drive).sum_to_size(decay.shape)
            of_rate, of_gap = hold_gradients(rate, gap, decay, weight, of_decay, of_weight)
            of_rate = of_rate.conj().resolve_conj()
        return of_rate, of_gap, of_drive, None


def _recur(decay: Tensor, inputs: Tensor, parallel: bool) -> Tensor:
    """h_t = decay_t h_{t-1} + inputs_t over the first axis; `decay` may have length 1 there."""
    return _parallel(decay.expand(len(inputs), *decay.shape[1:]), inputs) if parallel else _sequential(decay, inputs)


def _sequential(decay: Tensor, inputs: Tensor) -> Tensor:
    states = torch.empty_like(inputs, memory_format=torch.preserve_format)
    states[0] = inputs[0]
    steps, given, factors = states.unbind(0), inputs.unbind(0), decay.expand(len(inputs), *decay.shape[1:]).unbind(0)
    for t in range(1, len(inputs)):
        torch.addcmul(given[t], factors[t], steps[t - 1], out=steps[t])
    return states


def _parallel(decay: Tensor, inputs: Tensor) -> Tensor:
    """Odd-even reduction (Blelloch 1990): pairs of steps are joined into one, half as many are solved, the rest filled
    in. 2 log2(L) dependent operations, about 3 L multiply-adds."""
    length = len(inputs)
    if length == 1:
        return inputs.clone()
    even, odd = slice(0, length // 2 * 2, 2), slice(1, None, 2)
    solved = _parallel(decay[odd] * decay[even], torch.addcmul(inputs[odd], decay[odd], inputs[even]))
    states = torch.empty_like(inputs, memory_format=torch.preserve_format)
    states[0], states[odd] = inputs[0], solved
    rest = slice(2, None, 2)
    states[rest] = torch.addcmul(inputs[rest], decay[rest], solved[: (length - 1) // 2])
    return states

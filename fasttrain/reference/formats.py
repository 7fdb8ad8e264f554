"""Numbers of 16 and 8 bits in plain NumPy: what the optimizers' narrow state and parameters mean, bit for bit.

bfloat16 is the upper half of a float32.  A code of 8 bits stands for a number in units of its block of 256::

    unsigned:  number = (z - 2^-31) unit    z the float32 with the bits (96 << 23) + (code << 20)
    signed:    number = (z - 2^-15) unit    z the float32 with the bits (112 << 23) + ((code & 127) << 20)

The number of a signed code of 128 and above is negative.

Rounding is stochastic: random bits are added below the last that is kept.  Those of a block are 256 numbers from a
place in a table, combined with one more number, both from a hash of the step, the parameter's place and the block; all
roundings of one element in a step take bits of the same number.

The twins of a kernel's step are decode, the float32 step of :mod:`fasttrain.reference.optim`, and encode; that of
Adam is :func:`adam_step`.  CPU levels with a fused multiply-add round once where the others round twice; ``fused`` says
which.
"""
import math

import numpy as np

from fasttrain.reference.optim import Flushed, flush

BLOCK = 256
MASK = 2**64 - 1
UNSIGNED_BASE, SIGNED_BASE = 96 << 23, 112 << 23  # bits of 2^-31 and of 2^-15
CODE_TOP = np.float32(1.87)  # the largest number in units; 1.875 would be the code after the last
SMALLEST = np.finfo(np.float32).smallest_normal


def multiply_add(a, b, c, fused):
    """a * b + c of float32, flushed; fused: rounded once."""
    a, b, c = (np.asarray(x, np.float32).view(Flushed) for x in (a, b, c))
    if not fused:
        return np.asarray(a * b + c)
    with np.errstate(all="ignore"):
        product, c = (flush(np.asarray(x)).astype(np.float64) for x in (a, c))
        product = product * flush(np.asarray(b))  # exact: 48 bits
        total = product + c
        moved = total - product
        error = (product - (total - moved)) + (c - moved)  # total + error is exact
        # rounded to an odd last bit where it is not exact, so that rounding to float32 is as if from the exact sum
        odd = np.nextafter(total, np.where(error > 0, np.inf, -np.inf))
        even = total.view(np.int64) & 1 == 0
        total = np.where(even & (error != 0) & np.isfinite(error), odd, total)
        return flush(total.astype(np.float32))


# ---- random bits -------------------------------------------------------------------------------------------------

def _table():
    """Upper 20 bits of a linear congruential sequence."""
    numbers, number = np.empty(2 * BLOCK, np.uint32), 2891336453
    for i in range(2 * BLOCK):
        numbers[i] = number >> 12
        number = (number * 747796405 + 2891336453) & 0xFFFFFFFF
    return numbers


TABLE = _table()


def random_numbers(step, target, n_blocks):
    """20 bits for each element of every block, (n_blocks, BLOCK) of uint32, at a step that counts from 1."""
    key = (step * 0x9E3779B97F4A7C15 & MASK) ^ ((target + 1) * 0xD1B54A32D192ED03 & MASK)
    x = np.uint64(key) + np.arange(n_blocks, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    places = (x >> np.uint64(32) & np.uint64(BLOCK - 1)).astype(np.intp)
    masks = (x >> np.uint64(44)).astype(np.uint32)
    return TABLE[places[:, None] + np.arange(BLOCK)] ^ masks[:, None]


# ---- 16 bits -----------------------------------------------------------------------------------------------------

def from_bfloat16(bits):
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def to_bfloat16(x, random):
    """Stochastically rounded by the lower 16 random bits each; NaN stays NaN."""
    bits = x.view(np.uint32)
    bits = np.where(np.isnan(x), bits | np.uint32(0x400000), bits + (random.astype(np.uint32) & np.uint32(0xFFFF)))
    return (bits >> np.uint32(16)).astype(np.uint16)


def to_nearest_bfloat16(x):
    """Rounded to the nearest, ties to even."""
    return to_bfloat16(x, np.uint32(0x7FFF) + (x.view(np.uint32) >> np.uint32(16) & np.uint32(1)))


# ---- 8 bits ------------------------------------------------------------------------------------------------------

def bound(factors, codes, unit, largest, unsigned):
    """What no number of a block is larger than after a step.

    factors: of the largest number before it, of the largest magnitude of the gradients, of its square, a constant, and
    the most that the second is taken for.  codes: of the block; unit: of the block; largest: that magnitude, a float32.
    """
    base = np.uint32(UNSIGNED_BASE if unsigned else SIGNED_BASE)
    top = np.max(codes & np.uint8(0xFF if unsigned else 0x7F)).astype(np.uint32) << np.uint32(20)
    z, small, largest, unit = (np.asarray(x, np.float32).view(Flushed) for x in (
        (base + top).view(np.float32), base.view(np.float32), largest, unit))
    of_state, of_grad, of_square, constant, most = map(float, factors)
    first = of_grad * largest
    first = np.where(first > np.float32(most), np.float32(most), first).view(Flushed)
    from_grad = first + (of_square * largest) * largest + constant
    return np.float32((z - small) * (of_state * unit) + from_grad)


def next_unit(decayed, top):
    """The unit of a block of numbers of at most `top`: that of the last step, decayed, or a power of two times it."""
    with np.errstate(all="ignore"):
        full, old = np.float32(flush(CODE_TOP * decayed)), int(np.float32(decayed).view(np.int32)) >> 23
        binades = ((int(np.float32(top).view(np.int32)) - int(full.view(np.int32))) >> 23) + 1
        if top > 0 and np.isfinite(top) and 2 <= old < 252 and 2 <= old + binades < 252:
            return np.float32(float(decayed) * 2.0**binades)
        # the old unit is 0, or what fits is next to the ends of the range, where 1 / unit must be a normal number, too
        unit = flush(top / (np.float32(0.75) * CODE_TOP)) if top > 0 else decayed
        if not np.isfinite(top) or not unit <= 2.0**125:
            return np.float32(np.nan)
        return np.maximum(unit, SMALLEST) if top > 0 else unit


def z_of(codes, unsigned):
    """The floats z of the codes, with the sign of signed ones."""
    codes = codes.astype(np.uint32)
    if unsigned:
        return (codes << np.uint32(20) | np.uint32(UNSIGNED_BASE)).view(np.float32)
    sign = (codes & np.uint32(0x80)) << np.uint32(24)
    return ((codes & np.uint32(0x7F)) << np.uint32(20) | np.uint32(SIGNED_BASE) | sign).view(np.float32)


def small_of(codes, scale, unsigned):
    """What is subtracted from z times the scale, with the sign of signed codes."""
    small = np.uint32(UNSIGNED_BASE if unsigned else SIGNED_BASE).view(np.float32)  # 2^-31 or 2^-15
    small = flush(flush(scale) * small) * np.ones(codes.shape, np.float32)
    return small if unsigned else np.copysign(small, z_of(codes, unsigned))


def decode(codes, unit, unsigned, fused):
    """Numbers of the codes (n_blocks, BLOCK) in their units (n_blocks,)."""
    unit = unit[:, None]
    return multiply_add(z_of(codes, unsigned), unit, -small_of(codes, unit, unsigned), fused)


def encode(values, unit, random, unsigned, fused):
    """Codes of the values (n_blocks, BLOCK) in their units (n_blocks,), rounded by 20 random bits each.

    Values of unsigned codes are at least 0; none is rounded to zero, since it stands below a division.
    """
    base = np.uint32(UNSIGNED_BASE if unsigned else SIGNED_BASE)
    with np.errstate(all="ignore"):
        inverse = np.where(unit > 0, flush(np.float32(1) / unit), np.float32(0))[:, None]
    z = multiply_add(values, inverse, np.copysign(base.view(np.float32), values), fused)
    codes = (z.view(np.uint32) + random) >> np.uint32(20)
    if unsigned:
        return np.maximum(codes - (base >> np.uint32(20)), np.uint32(1)).astype(np.uint8)
    return (codes & np.uint32(0x7F) | codes >> np.uint32(4) & np.uint32(0x80)).astype(np.uint8)


# ---- Adam --------------------------------------------------------------------------------------------------------

def adam_step(param, grad, mean, square, *, beta1, beta2, step_size, eps, fused):
    """The step of Adam on narrow state: (parameter, means of the gradients and of their squares) of float32.

    param: after the decay; grad: as the rule gets it.  mean and square are (state, scale, offset): a state of bfloat16
    is itself, to be scaled by beta; codes are floats z, to be scaled by beta unit, of which an offset is subtracted.
    The parameter is exact here, where kernels may be off by 2^-10 of a step.
    """
    root = math.sqrt(1.0 - beta2)
    grad = np.float32(root) * grad.view(Flushed)
    of_grad = multiply_add(np.float32((1.0 - beta1) / root), grad, -mean[2], fused)
    m = multiply_add(mean[0], mean[1], of_grad, fused)
    v = multiply_add(square[0], square[1], multiply_add(grad, grad, -square[2], fused), fused)
    with np.errstate(all="ignore"):
        change = float(step_size) * m.view(Flushed) / (np.sqrt(v.view(Flushed)) + float(eps))
        return np.asarray(param.view(Flushed) - change), m, v

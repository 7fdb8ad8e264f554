"""Numbers of 16 and 8 bits in plain NumPy: what the optimizers' narrow state and parameters mean, bit for bit.

bfloat16 is the upper half of a float32.  A code of 8 bits stands for a number in units of its block of 256::

    unsigned:  number = (z - 2^-31) unit    z the float32 with the bits (96 << 23) + (code << 20)
    signed:    number = (z - 2^-15) unit    z the float32 with the bits (112 << 23) + ((code & 127) << 20)

The number of a signed code below 128 is negative.

Rounding is stochastic: random bits are added below the last that is kept.  Those of a block are a linear
congruential sequence from a hash of the step, the parameter's place and the block.

The twins of a kernel's step are decode, the float32 step of :mod:`fasttrain.reference.optim`, and encode.  CPU levels
with a fused multiply-add round once where the others round twice; ``fused`` says which.
"""
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

def random_numbers(step, target, n_blocks):
    """One number for each element of every block, (n_blocks, BLOCK) of uint32, at a step that counts from 1."""
    key = (step * 0x9E3779B97F4A7C15 & MASK) ^ ((target + 1) * 0xD1B54A32D192ED03 & MASK)
    x = np.uint64(key) + np.arange(n_blocks, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15)
    x = (x ^ x >> np.uint64(30)) * np.uint64(0xBF58476D1CE4E5B9)
    x = (x ^ x >> np.uint64(27)) * np.uint64(0x94D049BB133111EB)
    numbers = np.empty((n_blocks, BLOCK), np.uint32)
    number = (x >> np.uint64(32)).astype(np.uint32)
    for i in range(BLOCK):
        numbers[:, i] = number
        number = number * np.uint32(747796405) + np.uint32(2891336453)
    return numbers


def bits_20(numbers, use):
    """20 bits of each number for one of its uses: the states in their order."""
    return (numbers >> np.uint32(12), numbers & np.uint32(0xFFFFF), numbers >> np.uint32(6) & np.uint32(0xFFFFF))[use]


def bits_16(numbers, use):
    """16 bits of each number; a parameter's are those of the first state."""
    return bits_20(numbers, use) >> np.uint32(4)


# ---- 16 bits -----------------------------------------------------------------------------------------------------

def from_bfloat16(bits):
    return (bits.astype(np.uint32) << np.uint32(16)).view(np.float32)


def to_bfloat16(x, random):
    """Stochastically rounded by 16 random bits each; NaN stays NaN."""
    bits = x.view(np.uint32)
    bits = np.where(np.isnan(x), bits | np.uint32(0x400000), bits + random.astype(np.uint32))
    return (bits >> np.uint32(16)).astype(np.uint16)


def to_nearest_bfloat16(x):
    """Rounded to the nearest, ties to even."""
    return to_bfloat16(x, np.uint32(0x7FFF) + (x.view(np.uint32) >> np.uint32(16) & np.uint32(1)))


# ---- 8 bits ------------------------------------------------------------------------------------------------------

def next_unit(decayed, values):
    """The unit of a block that holds the values: that of the last step, decayed, or a power of two times it."""
    with np.errstate(all="ignore"):
        top = np.max(np.abs(values), initial=np.float32(0))
        ratio = flush(top / flush(CODE_TOP * decayed))
        if 2.0**-100 < ratio < 2.0**100:
            unit = flush(decayed * np.float32(2.0 ** np.frexp(ratio)[1]))
        elif not np.isfinite(top):
            return np.float32(np.nan)
        elif top == 0.0:
            return decayed
        else:  # the old unit is 0 or far away
            unit = flush(top / (np.float32(0.75) * CODE_TOP))
        return np.maximum(unit, SMALLEST)


def decode(codes, unit, unsigned, fused):
    """Numbers of the codes (n_blocks, BLOCK) in their units (n_blocks,)."""
    base, unit = UNSIGNED_BASE if unsigned else SIGNED_BASE, unit[:, None]
    small = np.uint32(base).view(np.float32)  # 2^-31 or 2^-15
    low = codes.astype(np.uint32) & np.uint32(0xFF if unsigned else 0x7F)
    z = (low << np.uint32(20) | np.uint32(base)).view(np.float32)
    number = multiply_add(z, unit, np.asarray(-unit.view(Flushed) * small), fused)
    if unsigned:
        return number
    sign = (~codes.astype(np.uint32) & np.uint32(0x80)) << np.uint32(24)
    return (number.view(np.uint32) | sign).view(np.float32)


def encode(values, unit, random, unsigned, fused):
    """Codes of the values (n_blocks, BLOCK) in their units (n_blocks,), rounded by 20 random bits each.

    Values of unsigned codes are at least 0; none is rounded to zero, since it stands below a division.
    """
    base = UNSIGNED_BASE if unsigned else SIGNED_BASE
    with np.errstate(all="ignore"):
        inverse = np.where(unit > 0, flush(np.float32(1) / unit), np.float32(0))[:, None]
    z = multiply_add(np.abs(values), inverse, np.uint32(base).view(np.float32), fused)
    codes = (z.view(np.uint32) + random) >> np.uint32(20)
    if unsigned:
        return np.maximum(codes, np.uint32((base >> 20) + 1)).astype(np.uint8)
    return (codes & np.uint32(0x7F) | ~values.view(np.uint32) >> np.uint32(24) & np.uint32(0x80)).astype(np.uint8)

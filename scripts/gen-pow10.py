#!/usr/bin/env python3
"""Writes the constant tables of sdk/lib.

pow10.c: for every e in -342 .. 324 the 128 leading bits of 10^e, rounded down. The number reader
needs them rounded down, the shortest-float writer rounded up; both agree where 10^e has at most 128
bits (0 <= e <= 55), elsewhere rounding up is one more in the last place, which the script checks to
be free of a carry.
crc32c_table.c: the eight tables of the CRC-32C slicing method.

Usage: scripts/gen-pow10.py (writes sdk/lib/pow10.c and sdk/lib/crc32c_table.c beside it)
"""
import os

LOW, HIGH = -342, 324
LIB = os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "sdk", "lib")


def pow10_128(e):
    """Upper 128 bits of 10^e, rounded down, and whether that is exact."""
    num, den = (10 ** e, 1) if e >= 0 else (1, 10 ** -e)
    shift = 128 - (num.bit_length() - den.bit_length())
    for s in (shift - 1, shift, shift + 1):
        q, r = divmod(num << s, den) if s >= 0 else divmod(num, den << -s)
        if q.bit_length() == 128:
            return q, r == 0
    raise AssertionError(e)


def write_pow10():
    rows = []
    for e in range(LOW, HIGH + 1):
        q, exact = pow10_128(e)
        assert exact == (0 <= e <= 55)
        assert q & (2 ** 64 - 1) != 2 ** 64 - 1
        hi, lo = q >> 64, q & (2 ** 64 - 1)
        rows.append("    {0x%016xu, 0x%016xu}, /* %d */\n" % (hi, lo, e))
    with open(os.path.join(LIB, "pow10.c"), "w") as f:
        f.write("/* Written by scripts/gen-pow10.py: the leading 128 bits of powers of ten. */\n"
                '#include "priv.h"\n\n'
                "/* clang-format off */\n"
                "const uint64_t sx__pow10[SX__POW10_MAX - SX__POW10_MIN + 1][2] = {\n")
        f.writelines(rows)
        f.write("};\n")


def write_crc():
    table = [[0] * 256 for _ in range(8)]
    for i in range(256):
        c = i
        for _ in range(8):
            c = (c >> 1) ^ (0x82F63B78 if c & 1 else 0)
        table[0][i] = c
    for k in range(1, 8):
        for i in range(256):
            p = table[k - 1][i]
            table[k][i] = (p >> 8) ^ table[0][p & 255]
    with open(os.path.join(LIB, "crc32c_table.c"), "w") as f:
        f.write("/* Written by scripts/gen-pow10.py: CRC-32C, slicing by 8. */\n"
                '#include "priv.h"\n\n'
                "/* clang-format off */\n"
                "const uint32_t sx__crc32c[8][256] = {\n")
        for row in table:
            f.write("    {\n")
            for i in range(0, 256, 6):
                f.write("        " + " ".join("0x%08xu," % v for v in row[i:i + 6]) + "\n")
            f.write("    },\n")
        f.write("};\n")


write_pow10()
write_crc()

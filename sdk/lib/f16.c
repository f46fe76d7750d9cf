/* Half precision (IEEE 754 binary16) in software, for single values.
 *
 * Kernels over whole vectors use the processor's conversion; both round to nearest even and agree
 * on every input, including subnormals. NaN keeps its sign and the top of its payload, and becomes
 * quiet. Thread: any. */
#include "priv.h"

uint16_t sx_f16_from_f32(float v)
{
    uint32_t bits, sign, mant, half, rest, mid;
    int32_t e;

    memcpy(&bits, &v, 4);
    sign = bits >> 16 & 0x8000u;
    e = (int32_t)(bits >> 23 & 255) - 127;
    mant = bits & 0x7fffffu;
    if (e == 128)
        return (uint16_t)(sign | 0x7c00u | (mant != 0 ? 0x200u | mant >> 13 : 0));
    if (e > 15)
        return (uint16_t)(sign | 0x7c00u);
    if (e < -25)
        return (uint16_t)sign;
    if (e >= -14) {
        half = (uint32_t)(e + 15) << 10 | mant >> 13;
        rest = mant & 0x1fffu;
        mid = 0x1000u;
    } else {
        uint32_t shift = (uint32_t)(-e - 1); /* 14 .. 24 */

        mant |= 0x800000u;
        half = mant >> shift;
        rest = mant & ((1u << shift) - 1);
        mid = 1u << (shift - 1);
    }
    /* A carry out of the mantissa moves into the exponent, up to infinity, as it should. */
    if (rest > mid || (rest == mid && (half & 1) != 0))
        half++;
    return (uint16_t)(sign | half);
}

float sx_f16_to_f32(uint16_t v)
{
    uint32_t sign = (uint32_t)(v & 0x8000u) << 16, e = v >> 10 & 31u, mant = v & 0x3ffu, bits;
    float out;

    if (e == 31) {
        bits = sign | 0x7f800000u | mant << 13 | (mant != 0 ? 0x400000u : 0);
    } else if (e != 0) {
        bits = sign | (e + 112) << 23 | mant << 13;
    } else if (mant == 0) {
        bits = sign;
    } else {
        uint32_t shift = (uint32_t)__builtin_clz(mant) - 21; /* until bit 10 is set */

        bits = sign | (113 - shift) << 23 | (mant << shift & 0x3ffu) << 13;
    }
    memcpy(&out, &bits, 4);
    return out;
}

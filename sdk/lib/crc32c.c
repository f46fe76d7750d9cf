/* CRC-32C (Castagnoli).
 *
 * Two ways to the same number: the processor's own instruction on x86-64 (three streams at once on
 * long input, because the instruction has a latency of three cycles but can start every cycle) and
 * eight table look-ups per 8 bytes elsewhere. The choice is made per call from a value the
 * compiler's runtime read at program start; no state of ours. Thread: any. */
#include "priv.h"

#if defined(__x86_64__) && defined(__GNUC__)
#define CRC_HW 1
#include <cpuid.h>
#include <nmmintrin.h>
#endif

static uint32_t crc_table(uint32_t crc, const uint8_t *p, uint64_t n)
{
    while (n >= 8) {
        uint32_t a = sx__load32(p) ^ crc, b = sx__load32(p + 4);

        crc = sx__crc32c[7][a & 255] ^ sx__crc32c[6][a >> 8 & 255] ^ sx__crc32c[5][a >> 16 & 255] ^
              sx__crc32c[4][a >> 24] ^ sx__crc32c[3][b & 255] ^ sx__crc32c[2][b >> 8 & 255] ^
              sx__crc32c[1][b >> 16 & 255] ^ sx__crc32c[0][b >> 24];
        p += 8;
        n -= 8;
    }
    while (n-- > 0)
        crc = crc >> 8 ^ sx__crc32c[0][(crc ^ *p++) & 255];
    return crc;
}

#ifdef CRC_HW
#define CRC_LANE 1024u /* bytes per stream and round */

/* a * b modulo the polynomial, both bit-reflected (bit 31 is x^0). */
static uint32_t crc_mul(uint32_t a, uint32_t b)
{
    uint32_t r = 0;

    for (int i = 0; i < 32; i++) {
        r ^= b & (0u - (a >> 31));
        a <<= 1;
        b = b >> 1 ^ (0x82f63b78u & (0u - (b & 1)));
    }
    return r;
}

/* x^(8 * n) modulo the polynomial: appending n zero bytes is a product with it. */
static uint32_t crc_power(uint32_t n)
{
    uint32_t base = 0x00800000u, r = 0x80000000u; /* x^8, x^0 */

    for (; n != 0; n >>= 1) {
        if (n & 1)
            r = crc_mul(r, base);
        base = crc_mul(base, base);
    }
    return r;
}

__attribute__((__target__("sse4.2"))) static uint32_t
crc_hw(uint32_t crc32, const uint8_t *p, uint64_t n)
{
    uint64_t crc = crc32;

    if (n >= 12 * CRC_LANE) {
        uint32_t one = crc_power(CRC_LANE), two = crc_mul(one, one);

        while (n >= 3 * CRC_LANE) {
            uint64_t a = crc, b = 0, c = 0;

            for (uint32_t i = 0; i < CRC_LANE; i += 8) {
                a = _mm_crc32_u64(a, sx__load64(p + i));
                b = _mm_crc32_u64(b, sx__load64(p + CRC_LANE + i));
                c = _mm_crc32_u64(c, sx__load64(p + 2 * CRC_LANE + i));
            }
            crc = crc_mul((uint32_t)a, two) ^ crc_mul((uint32_t)b, one) ^ (uint32_t)c;
            p += 3 * CRC_LANE;
            n -= 3 * CRC_LANE;
        }
    }
    for (; n >= 8; n -= 8, p += 8)
        crc = _mm_crc32_u64(crc, sx__load64(p));
    crc32 = (uint32_t)crc;
    while (n-- > 0)
        crc32 = _mm_crc32_u8(crc32, *p++);
    return crc32;
}
#endif

#ifdef CRC_HW
/* The library's one word of state, against its own rule: whether the CPU has the instruction, asked
 * once. CPUID costs a microsecond or more in a virtual machine, and __builtin_cpu_supports() would
 * bring a constructor into every module. Threads that race here store the same value. */
static uint32_t crc_has_hw; /* 0 not asked, 1 no, 2 yes */

static int has_hw(void)
{
    uint32_t have = __atomic_load_n(&crc_has_hw, __ATOMIC_RELAXED), a, b, c = 0, d;
    if (have == 0) {
        have = __get_cpuid(1, &a, &b, &c, &d) && (c & bit_SSE4_2) ? 2 : 1;
        __atomic_store_n(&crc_has_hw, have, __ATOMIC_RELAXED);
    }
    return have == 2;
}
#endif

uint32_t sx_crc32c(uint32_t crc, const void *p, uint64_t n)
{
#ifdef CRC_HW
    if (has_hw())
        return ~crc_hw(~crc, p, n);
#endif
    return ~crc_table(~crc, p, n);
}

uint32_t sx__crc32c_portable(uint32_t crc, const void *p, uint64_t n)
{
    return ~crc_table(~crc, p, n);
}

/* "sx.crypto": comparison in constant time and random bytes of the system. Hashes and signatures
 * belong to the modules that bring a crypto library. */
#include <errno.h>
#include <sys/random.h>

#include "cpu.h"

/* Touches every byte whatever the outcome. The volatile accumulator keeps the compiler from turning
 * the loop into an early exit. Lengths are not secret: callers compare them first. */
static int crypto_equal(const void *a, const void *b, uint64_t n)
{
    const unsigned char *x = a, *y = b;
    volatile unsigned char diff = 0;

    for (uint64_t i = 0; i < n; i++)
        diff = (unsigned char)(diff | (x[i] ^ y[i]));
    return diff == 0;
}

/* 0, or SX_EIO when the kernel has no random numbers to give (no /dev/urandom fallback: a system
 * without getrandom() is older than anything this server runs on). */
static int crypto_random(void *p, uint64_t n)
{
    char *at = p;

    while (n > 0) {
        ssize_t got = getrandom(at, n > 256 ? 256 : (size_t)n, 0);
        if (got < 0) {
            if (errno == EINTR)
                continue;
            return SX_EIO;
        }
        at += got;
        n -= (uint64_t)got;
    }
    return 0;
}

static const struct sx_crypto table = {
    .size = (uint32_t)sizeof(struct sx_crypto),
    .equal = crypto_equal,
    .random = crypto_random,
};

const struct sx_crypto *sx_crypto_table(void)
{
    return &table;
}

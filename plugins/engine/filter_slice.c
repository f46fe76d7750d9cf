/* SipHash-2-4 of ids (Aumasson, Bernstein), key zero: which slice of the id space a point is in.
 * The bytes are those of the id: 8 of a number, little endian, 16 of a uuid. */
#include "filter.h"

#include "sextant/sx_ban.h"

struct sip {
    uint64_t a, b, c, d;
};

static uint64_t rotate(uint64_t v, int by)
{
    return v << by | v >> (64 - by);
}

static void rounds(struct sip *s, int n)
{
    while (n-- > 0) {
        s->a += s->b;
        s->c += s->d;
        s->b = rotate(s->b, 13) ^ s->a;
        s->d = rotate(s->d, 16) ^ s->c;
        s->a = rotate(s->a, 32);
        s->c += s->b;
        s->a += s->d;
        s->b = rotate(s->b, 17) ^ s->c;
        s->d = rotate(s->d, 21) ^ s->a;
        s->c = rotate(s->c, 32);
    }
}

static void absorb(struct sip *s, uint64_t word)
{
    s->d ^= word;
    rounds(s, 2);
    s->a ^= word;
}

uint64_t eng_slice_hash(const struct sx_id *id)
{
    struct sip s = {0x736f6d6570736575u, 0x646f72616e646f6du, 0x6c7967656e657261u,
                    0x7465646279746573u};

    if (id->kind == SX_ID_NUM) {
        absorb(&s, id->lo);
        absorb(&s, UINT64_C(8) << 56);
    } else {
        absorb(&s, __builtin_bswap64(id->hi));
        absorb(&s, __builtin_bswap64(id->lo));
        absorb(&s, UINT64_C(16) << 56);
    }
    s.c ^= 0xff;
    rounds(&s, 4);
    return s.a ^ s.b ^ s.c ^ s.d;
}

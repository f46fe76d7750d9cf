/* What the files of the library share with each other and with nobody else. */
#ifndef SX_LIB_PRIV_H
#define SX_LIB_PRIV_H

#include <string.h>

#include "sextant/sx_doc.h"
#include "sextant/sx_json.h"
#include "sextant/sx_mem.h"
#include "sextant/sx_text.h"

/* Unaligned little-endian access. The library is for little-endian machines, as the formats are;
 * memcpy of a known size compiles to one load. */
static inline uint64_t sx__load64(const void *p)
{
    uint64_t v;

    memcpy(&v, p, 8);
    return v;
}

static inline uint32_t sx__load32(const void *p)
{
    uint32_t v;

    memcpy(&v, p, 4);
    return v;
}

static inline void sx__store32(void *p, uint32_t v)
{
    memcpy(p, &v, 4);
}

static inline void sx__store64(void *p, uint64_t v)
{
    memcpy(p, &v, 8);
}

static inline double sx__bits_f64(uint64_t bits)
{
    double v;

    memcpy(&v, &bits, 8);
    return v;
}

static inline uint64_t sx__f64_bits(double v)
{
    uint64_t bits;

    memcpy(&bits, &v, 8);
    return bits;
}

static inline int sx__is_digit(char c)
{
    return (unsigned char)(c - '0') < 10;
}

/* sx_buf_reserve() for hot writers: the usual case without a call. */
static inline char *sx__buf_room(struct sx_buf *b, uint64_t n)
{
    if (SX_LIKELY(n <= b->cap - b->n && !b->failed))
        return b->p + b->n;
    return sx_buf_reserve(b, n);
}

/* arena.c: 1 when p (old_n bytes) is the newest allocation and now has new_n bytes in place. */
int sx__arena_extend(struct sx_arena *a, void *p, uint64_t old_n, uint64_t new_n);

/* pow10.c, generated: the upper 128 bits of 10^e, first bit set, rounded down; {hi, lo}. */
#define SX__POW10_MIN (-342)
#define SX__POW10_MAX 324
extern const uint64_t sx__pow10[SX__POW10_MAX - SX__POW10_MIN + 1][2];
/* crc32c_table.c, generated: slicing by 8. */
extern const uint32_t sx__crc32c[8][256];
/* crc32c.c: the table way on any machine, for the test that compares both. */
uint32_t sx__crc32c_portable(uint32_t crc, const void *p, uint64_t n);

/* A number token taken apart: (-1)^neg * m * 10^e10, m the first 19 significant digits. */
struct sx__num {
    uint64_t m;
    int64_t e10;
    uint8_t neg, is_int; /* is_int: no fraction, no exponent */
    uint8_t cut;         /* digits were left out of m, or an integer does not fit it */
    uint8_t bad;         /* see sx__num_scan() */
    const char *end;     /* behind the token, or where it broke */
};
enum {
    SX__NUM_OK = 0,
    SX__NUM_EOF,  /* the text ends inside the token */
    SX__NUM_AT,   /* the byte at `end` cannot stand there */
    SX__NUM_RANGE /* the exponent leaves 32 bits upwards; `end` is behind the digit that did it */
};
/* Splits the number token at p (a '-' or a digit). Returns bad. */
int sx__num_scan(const char *p, const char *end, struct sx__num *out);
/* Correctly rounded value of a scanned token (tok .. out->end); infinity on overflow. */
double sx__num_value(const struct sx__num *num, const char *tok);

/* json_read.c: shared by the walkers. Position arguments point at the byte the column names; one
 * behind the last byte of the text is allowed and means the column of the last byte. */
int sx__json_syntax(struct sx_json *j, const char *at, const char *text);
int sx__json_enomem(struct sx_json *j);
/* Parses the literal ("null", ...) whose first letter is at j->p. 0 or SX_EFORMAT. */
int sx__json_word(struct sx_json *j, const char *word, uint32_t n);
int sx__json_number(struct sx_json *j, struct sx_doc_num *out);
/* json_string.c: parses the string whose quote is at j->p. With out NULL only checks. */
int sx__json_string(struct sx_json *j, struct sx_str *out);

static inline int sx__is_space(char c)
{
    return c == ' ' || c == '\n' || c == '\r' || c == '\t';
}

static inline const char *sx__skip_space(const char *p, const char *end)
{
    while (p < end && sx__is_space(*p))
        p++;
    return p;
}

#endif

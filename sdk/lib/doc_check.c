/* The one check that makes bytes from disk or network an sx_doc.
 *
 * Accepts exactly what the builder can produce, so that a value has one encoding: children follow
 * each other without gaps and in the order of the offset table, padding and spare bits are zero,
 * U64 holds only what I64 cannot, an array of only I64 or only F64 is packed. Because children are
 * contiguous and each is visited once, the work is linear in the length whatever the offsets say.
 * Duplicate keys are allowed: a builder without SX_DOCB_LAST_WINS makes them. Any F64 bits are
 * allowed too; texts never hold a non-finite one, but other codecs might.
 *
 * Recursion is bounded by SX_DOC_MAX_DEPTH containers. Thread: any. */
#include "priv.h"

/* Checks the value at p (left bytes remain, maybe more than it needs); returns its length or 0. */
static uint32_t check_value(const uint8_t *p, uint32_t left, uint32_t depth);

static uint32_t check_str(const uint8_t *p, uint32_t left)
{
    uint32_t n, padded;

    if (left < 8 || sx__load32(p) != SX_DOC_STR)
        return 0;
    n = sx__load32(p + 4);
    if (n > left - 8)
        return 0;
    padded = (n + 3) & ~3u;
    if (padded < n || padded > left - 8)
        return 0;
    for (uint32_t i = n; i < padded; i++) {
        if (p[8 + i] != 0)
            return 0;
    }
    return sx_utf8_valid((const char *)p + 8, n) ? 8 + padded : 0;
}

static uint32_t check_packed(const uint8_t *p, uint32_t left)
{
    uint32_t n;

    if (left < 8)
        return 0;
    n = sx__load32(p + 4);
    if (n == 0 || n > (left - 8) / 8)
        return 0;
    return 8 + 8 * n;
}

/* Total size and count of an array or object; `width` bytes of offsets per entry. Returns the
 * position where the children must end (= where the offsets start), or 0. */
static uint32_t check_head(const uint8_t *p, uint32_t left, uint32_t width)
{
    uint32_t total, n;

    if (left < 12)
        return 0;
    total = sx__load32(p + 4);
    n = sx__load32(p + 8);
    if (total < 12 || total > left || total % 4 != 0 || n > (total - 12) / width)
        return 0;
    return total - n * width;
}

static uint32_t check_array(const uint8_t *p, uint32_t left, uint32_t depth)
{
    uint32_t ints = 0, floats = 0, n, at = 12, end = check_head(p, left, 4);

    if (end == 0 || depth == 0)
        return 0;
    n = sx__load32(p + 8);
    for (uint32_t i = 0; i < n; i++) {
        uint32_t size;

        if (sx__load32(p + end + 4 * (size_t)i) != at)
            return 0;
        size = check_value(p + at, end - at, depth - 1);
        if (size == 0)
            return 0;
        ints += p[at] == SX_DOC_I64;
        floats += p[at] == SX_DOC_F64;
        at += size;
    }
    if (n != 0 && (ints == n || floats == n))
        return 0;
    return at == end ? sx__load32(p + 4) : 0;
}

static uint32_t check_object(const uint8_t *p, uint32_t left, uint32_t depth)
{
    uint32_t n, at = 12, end = check_head(p, left, 8);

    if (end == 0 || depth == 0)
        return 0;
    n = sx__load32(p + 8);
    for (uint32_t i = 0; i < n; i++) {
        const uint8_t *offs = p + end + 8 * (size_t)i;
        uint32_t size;

        if (sx__load32(offs) != at)
            return 0;
        size = check_str(p + at, end - at);
        if (size == 0)
            return 0;
        at += size;
        if (sx__load32(offs + 4) != at)
            return 0;
        size = check_value(p + at, end - at, depth - 1);
        if (size == 0)
            return 0;
        at += size;
    }
    return at == end ? sx__load32(p + 4) : 0;
}

static uint32_t check_value(const uint8_t *p, uint32_t left, uint32_t depth)
{
    if (left < 4)
        return 0;
    switch (sx__load32(p)) {
    case SX_DOC_NULL:
    case SX_DOC_FALSE:
    case SX_DOC_TRUE:
        return 4;
    case SX_DOC_I64:
    case SX_DOC_F64:
        return left >= 12 ? 12 : 0;
    case SX_DOC_U64:
        return left >= 12 && sx__load64(p + 4) > INT64_MAX ? 12 : 0;
    case SX_DOC_STR:
        return check_str(p, left);
    case SX_DOC_ARR:
        return check_array(p, left, depth);
    case SX_DOC_OBJ:
        return check_object(p, left, depth);
    case SX_DOC_ARR_I64:
    case SX_DOC_ARR_F64:
        return depth != 0 ? check_packed(p, left) : 0;
    default:
        return 0;
    }
}

int sx_doc_check(const void *p, uint32_t n)
{
    if (p == NULL || n == 0 || check_value(p, n, SX_DOC_MAX_DEPTH) != n)
        return SX_ECORRUPT;
    return SX_OK;
}

/* Building sx_doc values.
 *
 * The document grows in one buffer; the offsets of the containers still open lie on a stack in a
 * second one and are copied behind the children when their container closes:
 *
 *   out   | OBJ ? ? | key val key | ARR ? ? | elem elem ...
 *   offs  | k v k | e e                 frame[0].entries = 0, frame[1].entries = 3
 *
 * Closing an array decides its form: children that are all I64 (or all F64) stand 12 bytes apart,
 * so packing them is one pass of moves in place. Closing an object looks for duplicate keys when
 * the builder was asked to (SX_DOCB_LAST_WINS): pairwise for the usual few, by a merge sort of
 * indices beyond that, because a hostile object of a million keys must not cost a million squared.
 *
 * This is the way of every payload into the server (410 bytes of text with 15 keys: 1.2 us, reading
 * included). One owner at a time;
 * the buffers belong to the builder until sx_docb_fini(). Errors are sticky, see the header. */
#include "priv.h"

#define DOCB_PAIRWISE 16u
#define DOCB_MIXED    0x100u /* in frame.kind of an array: not packable any more */

static void docb_fail(struct sx_docb *b)
{
    b->failed = 1;
}

void sx_docb_init(struct sx_docb *b, const struct sx_mem *mem, uint32_t flags)
{
    sx_buf_init(&b->out, mem);
    sx_buf_init(&b->offs, mem);
    b->flags = flags;
    b->depth = b->key_at = b->failed = 0;
}

void sx_docb_fini(struct sx_docb *b)
{
    sx_buf_fini(&b->out);
    sx_buf_fini(&b->offs);
}

void sx_docb_reset(struct sx_docb *b)
{
    b->out.n = b->offs.n = 0;
    b->out.failed = b->offs.failed = 0;
    b->depth = b->key_at = b->failed = 0;
}

static void push_offset(struct sx_docb *b, uint32_t v)
{
    char *at = sx__buf_room(&b->offs, 4);

    if (SX_UNLIKELY(at == NULL)) {
        docb_fail(b);
        return;
    }
    sx__store32(at, v);
    b->offs.n += 4;
}

/* Registers a value of the given type with the innermost container and returns room for n bytes
 * of it, already counted; NULL after an error. */
static char *begin_value(struct sx_docb *b, uint32_t type, uint64_t n)
{
    char *at;

    if (SX_UNLIKELY(b->failed))
        return NULL;
    if (SX_UNLIKELY(n > UINT32_MAX || b->out.n + n > UINT32_MAX)) {
        docb_fail(b);
        return NULL;
    }
    if (b->depth != 0) {
        struct sx_docb_frame *f = &b->frame[b->depth - 1];

        if (f->kind == SX_DOC_OBJ) {
            if (SX_UNLIKELY(!b->key_at)) {
                docb_fail(b);
                return NULL;
            }
            b->key_at = 0;
        } else if (f->n == 0) {
            /* kind of an open array: ARR | type of its numbers << 16, or MIXED */
            f->kind |= type == SX_DOC_I64 || type == SX_DOC_F64 ? type << 16 : DOCB_MIXED;
        } else if (f->kind >> 16 != type) {
            f->kind |= DOCB_MIXED;
        }
        f->n++;
        push_offset(b, (uint32_t)b->out.n - f->start);
    } else if (SX_UNLIKELY(b->out.n != 0)) {
        docb_fail(b);
        return NULL;
    }
    at = sx__buf_room(&b->out, n);
    if (SX_UNLIKELY(at == NULL)) {
        docb_fail(b);
        return NULL;
    }
    b->out.n += n;
    return at;
}

void sx_docb_null(struct sx_docb *b)
{
    char *at = begin_value(b, SX_DOC_NULL, 4);

    if (at != NULL)
        sx__store32(at, SX_DOC_NULL);
}

void sx_docb_bool(struct sx_docb *b, int v)
{
    uint32_t type = v ? SX_DOC_TRUE : SX_DOC_FALSE;
    char *at = begin_value(b, type, 4);

    if (at != NULL)
        sx__store32(at, type);
}

static void put_number(struct sx_docb *b, uint32_t type, uint64_t bits)
{
    char *at = begin_value(b, type, 12);

    if (at == NULL)
        return;
    sx__store32(at, type);
    sx__store64(at + 4, bits);
}

void sx_docb_i64(struct sx_docb *b, int64_t v)
{
    put_number(b, SX_DOC_I64, (uint64_t)v);
}

void sx_docb_u64(struct sx_docb *b, uint64_t v)
{
    put_number(b, v > INT64_MAX ? SX_DOC_U64 : SX_DOC_I64, v);
}

void sx_docb_f64(struct sx_docb *b, double v)
{
    put_number(b, SX_DOC_F64, sx__f64_bits(v));
}

static void put_str(char *at, const char *s, uint32_t n)
{
    uint32_t padded = (n + 3) & ~3u;

    sx__store32(at, SX_DOC_STR);
    sx__store32(at + 4, n);
    if (n == 0)
        return;
    sx__store32(at + 8 + padded - 4, 0);
    memcpy(at + 8, s, n);
}

void sx_docb_str(struct sx_docb *b, const char *s, uint32_t n)
{
    char *at = begin_value(b, SX_DOC_STR, 8 + (((uint64_t)n + 3) & ~(uint64_t)3));

    if (at != NULL)
        put_str(at, s, n);
}

void sx_docb_cstr(struct sx_docb *b, const char *s)
{
    size_t n = strlen(s);

    if (n > UINT32_MAX - 16)
        docb_fail(b);
    else
        sx_docb_str(b, s, (uint32_t)n);
}

void sx_docb_key(struct sx_docb *b, const char *s, uint32_t n)
{
    uint64_t size = 8 + (((uint64_t)n + 3) & ~(uint64_t)3);
    struct sx_docb_frame *f;
    char *at;

    if (SX_UNLIKELY(b->failed))
        return;
    if (SX_UNLIKELY(b->depth == 0 || b->key_at || b->out.n + size > UINT32_MAX)) {
        docb_fail(b);
        return;
    }
    f = &b->frame[b->depth - 1];
    at = sx__buf_room(&b->out, size);
    if (SX_UNLIKELY(at == NULL || f->kind != SX_DOC_OBJ)) {
        docb_fail(b);
        return;
    }
    push_offset(b, (uint32_t)b->out.n - f->start);
    put_str(at, s, n);
    b->out.n += size;
    b->key_at = 1;
}

void sx_docb_ckey(struct sx_docb *b, const char *s)
{
    size_t n = strlen(s);

    if (n > UINT32_MAX - 16)
        docb_fail(b);
    else
        sx_docb_key(b, s, (uint32_t)n);
}

/* Containers on the deepest path of v, but no more than `limit` + 1 are looked at. */
static uint32_t doc_depth(struct sx_doc v, uint32_t limit)
{
    uint32_t type = sx_doc_type(v), deepest = 0, n;

    if (type == SX_DOC_ARR_I64 || type == SX_DOC_ARR_F64)
        return 1;
    if (type != SX_DOC_ARR && type != SX_DOC_OBJ)
        return 0;
    n = limit != 0 ? sx_doc_count(v) : 0;
    for (uint32_t i = 0; i < n && deepest < limit; i++) {
        struct sx_doc c = type == SX_DOC_ARR ? sx_doc_elem(v, i) : sx_doc_member(v, i, NULL);
        uint32_t d = doc_depth(c, limit - 1);

        if (d > deepest)
            deepest = d;
    }
    return deepest + 1;
}

void sx_docb_doc(struct sx_docb *b, struct sx_doc v)
{
    char *at;

    if (v.p == NULL) {
        sx_docb_null(b);
        return;
    }
    if (b->depth != 0 && doc_depth(v, SX_DOC_MAX_DEPTH - b->depth) > SX_DOC_MAX_DEPTH - b->depth) {
        docb_fail(b);
        return;
    }
    at = begin_value(b, sx_doc_type(v), v.n);
    if (at != NULL)
        memcpy(at, v.p, v.n);
}

static void open_container(struct sx_docb *b, uint32_t type)
{
    struct sx_docb_frame *f;
    uint32_t start = (uint32_t)b->out.n;
    char *at;

    if (b->depth >= SX_DOC_MAX_DEPTH) {
        docb_fail(b);
        return;
    }
    at = begin_value(b, type, 12);
    if (at == NULL)
        return;
    sx__store32(at, type);
    f = &b->frame[b->depth++];
    f->start = start;
    f->entries = (uint32_t)(b->offs.n / 4);
    f->n = 0;
    f->kind = type;
}

void sx_docb_obj(struct sx_docb *b)
{
    open_container(b, SX_DOC_OBJ);
}

void sx_docb_arr(struct sx_docb *b)
{
    open_container(b, SX_DOC_ARR);
}

/* Turns n children of 12 bytes (word, 8 bytes) into n * 8 packed bytes behind a shorter head. */
static void pack_array(struct sx_docb *b, const struct sx_docb_frame *f, uint32_t type)
{
    char *p = b->out.p + f->start;

    sx__store32(p, type == SX_DOC_I64 ? SX_DOC_ARR_I64 : SX_DOC_ARR_F64);
    sx__store32(p + 4, f->n);
    for (size_t i = 0; i < f->n; i++)
        sx__store64(p + 8 + 8 * i, sx__load64(p + 16 + 12 * i));
    b->out.n = f->start + 8 + 8 * (uint64_t)f->n;
}

/* Duplicate keys. `pairs` are the {key, value} offsets of the object, relative to its start. */

static int key_cmp(const char *obj, const uint32_t *pairs, uint32_t a, uint32_t b)
{
    const char *ka = obj + pairs[2 * (size_t)a], *kb = obj + pairs[2 * (size_t)b];
    uint32_t na = sx__load32(ka + 4), nb = sx__load32(kb + 4);

    if (na != nb)
        return na < nb ? -1 : 1;
    return memcmp(ka + 8, kb + 8, na);
}

/* Stable bottom-up merge sort of the indices idx[0..n), tmp as long. Returns where the result is.
 */
static uint32_t *
sort_keys(const char *obj, const uint32_t *pairs, uint32_t *idx, uint32_t *tmp, uint32_t n)
{
    for (uint64_t width = 1; width < n; width *= 2) {
        uint32_t *swap = idx;

        for (uint64_t lo = 0; lo < n; lo += 2 * width) {
            uint64_t mid = lo + width < n ? lo + width : n, hi = mid + width < n ? mid + width : n;
            uint64_t i = lo, k = mid;

            for (uint64_t at = lo; at < hi; at++) {
                if (i < mid && (k >= hi || key_cmp(obj, pairs, idx[i], idx[k]) <= 0))
                    tmp[at] = idx[i++];
                else
                    tmp[at] = idx[k++];
            }
        }
        idx = tmp;
        tmp = swap;
    }
    return idx;
}

/* Fills last[i] with the member whose value member i takes: its own, that of its last duplicate
 * when it is the first of several, UINT32_MAX when it goes away. Returns the number that go. */
static uint32_t
find_duplicates(const char *obj, const uint32_t *pairs, uint32_t n, uint32_t *last, uint32_t *work)
{
    uint32_t gone = 0, *order;

    for (uint32_t i = 0; i < n; i++)
        last[i] = work[i] = i;
    order = sort_keys(obj, pairs, work, work + n, n);
    for (uint32_t i = 0; i + 1 < n;) {
        uint32_t k = i + 1;

        while (k < n && key_cmp(obj, pairs, order[i], order[k]) == 0) {
            last[order[k]] = UINT32_MAX;
            last[order[i]] = order[k];
            gone++;
            k++;
        }
        i = k;
    }
    return gone;
}

/* 0 when no key can be there twice. Up to DOCB_PAIRWISE keys: each sets one of 64 bits chosen by
 * its length, its first bytes and its last ones; only when that bit was set before are keys
 * compared. */
static int has_duplicates(const char *obj, const uint32_t *pairs, uint32_t n)
{
    uint64_t seen = 0;

    if (n > DOCB_PAIRWISE)
        return 1;
    for (uint32_t i = 0; i < n; i++) {
        const char *key = obj + pairs[2 * (size_t)i];
        uint32_t len = sx__load32(key + 4), h = len * 0x9e3779b1u;
        uint64_t bit;

        if (len != 0) /* zero padding makes whole words of it */
            h = (h ^ sx__load32(key + 8) ^ sx__load32(key + 8 + ((len - 1) & ~3u)) * 0x85ebca77u) *
                0xc2b2ae3du;
        bit = (uint64_t)1 << (h >> 26);
        for (uint32_t k = 0; (seen & bit) != 0 && k < i; k++) {
            if (key_cmp(obj, pairs, i, k) == 0)
                return 1;
        }
        seen |= bit;
    }
    return 0;
}

/* Writes the surviving members behind the object, then moves them over it. */
static void drop_duplicates(struct sx_docb *b, struct sx_docb_frame *f)
{
    uint64_t size = b->out.n - f->start - 12;
    uint32_t n = f->n, gone, kept = 0, *pairs, *last;
    char *obj, *to, *at;

    /* Scratch of 3 n words on top of the offset stack. */
    if (sx_buf_reserve(&b->offs, 12 * (uint64_t)n) == NULL ||
        sx_buf_reserve(&b->out, size) == NULL) {
        docb_fail(b);
        return;
    }
    obj = b->out.p + f->start;
    pairs = (uint32_t *)(void *)b->offs.p + f->entries;
    last = (uint32_t *)(void *)(b->offs.p + b->offs.n);
    gone = find_duplicates(obj, pairs, n, last, last + n);
    if (gone == 0)
        return;
    to = at = obj + 12 + size;
    for (uint32_t i = 0; i < n; i++) {
        uint32_t from = last[i], key, val, key_n, val_n;

        if (from == UINT32_MAX)
            continue;
        key = pairs[2 * (size_t)i];
        key_n = pairs[2 * (size_t)i + 1] - key;
        val = pairs[2 * (size_t)from + 1];
        val_n = (from + 1 < n ? pairs[2 * (size_t)from + 2] : 12 + (uint32_t)size) - val;
        memcpy(at, obj + key, key_n);
        memcpy(at + key_n, obj + val, val_n);
        /* In place: kept <= i, and later members only look at pairs behind i (from >= i). */
        pairs[2 * (size_t)kept] = 12 + (uint32_t)(at - to);
        pairs[2 * (size_t)kept + 1] = 12 + (uint32_t)(at - to) + key_n;
        kept++;
        at += key_n + val_n;
    }
    memmove(obj + 12, to, (size_t)(at - to));
    b->out.n = f->start + 12 + (uint64_t)(at - to);
    f->n = kept;
    b->offs.n = 4 * ((uint64_t)f->entries + 2 * (uint64_t)kept);
}

void sx_docb_close(struct sx_docb *b)
{
    struct sx_docb_frame *f;
    uint64_t words, total;
    char *at;

    if (b->failed)
        return;
    if (b->depth == 0 || b->key_at) {
        docb_fail(b);
        return;
    }
    f = &b->frame[b->depth - 1];
    if (f->kind == SX_DOC_OBJ) {
        if ((b->flags & SX_DOCB_LAST_WINS) != 0 && f->n > 1 &&
            has_duplicates(b->out.p + f->start, (uint32_t *)(void *)b->offs.p + f->entries, f->n))
            drop_duplicates(b, f);
    } else if (f->n != 0 && (f->kind & DOCB_MIXED) == 0) {
        pack_array(b, f, f->kind >> 16);
        b->offs.n = 4 * (uint64_t)f->entries;
        b->depth--;
        return;
    }
    words = b->offs.n / 4 - f->entries;
    total = b->out.n - f->start + 4 * words;
    at = total <= UINT32_MAX ? sx__buf_room(&b->out, 4 * words) : NULL;
    if (at == NULL || b->failed) {
        docb_fail(b);
        return;
    }
    if (words != 0)
        memcpy(at, b->offs.p + 4 * (uint64_t)f->entries, 4 * words);
    b->out.n += 4 * words;
    sx__store32(b->out.p + f->start + 4, (uint32_t)total);
    sx__store32(b->out.p + f->start + 8, f->n);
    b->offs.n = 4 * (uint64_t)f->entries;
    b->depth--;
}

struct sx_doc sx_docb_end(struct sx_docb *b)
{
    if (b->failed || b->depth != 0 || b->out.n == 0 || b->out.n > UINT32_MAX)
        return (struct sx_doc){NULL, 0, 0};
    return (struct sx_doc){(const uint8_t *)b->out.p, (uint32_t)b->out.n, 0};
}

struct sx_doc sx_docb_end_arena(struct sx_docb *b, struct sx_arena *a)
{
    struct sx_doc v = sx_docb_end(b);
    uint8_t *p;

    if (v.p == NULL)
        return v;
    p = sx_arena_alloc(a, v.n);
    if (p == NULL)
        return (struct sx_doc){NULL, 0, 0};
    memcpy(p, v.p, v.n);
    v.p = p;
    return v;
}

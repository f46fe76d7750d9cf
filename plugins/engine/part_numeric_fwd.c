/* Values of the newest rows in arrival order; see part_numeric_fwd.h. */
#include "part_numeric_fwd.h"

#include <string.h>

#include "sextant/sx_ban.h"

void eng_fwd_init(struct eng_fwd *f, const struct eng *e, uint32_t width)
{
    memset(f, 0, sizeof(*f));
    f->eng = e;
    f->val.width = width;
    f->rows.width = sizeof(uint16_t);
}

void eng_fwd_fini(struct eng_fwd *f)
{
    eng_grow_fini(&f->val, f->eng);
    eng_grow_fini(&f->rows, f->eng);
}

/* --- writing ----------------------------------------------------------------------------- */

static uint32_t count(const struct eng_fwd *f)
{
    return atomic_load_explicit(&f->n, memory_order_relaxed);
}

static uint16_t *row_block(const struct eng_fwd *f)
{
    return (uint16_t *)eng_grow_read(&f->rows);
}

int eng_fwd_push(struct eng_fwd *f, const void *value)
{
    uint64_t at = (uint64_t)count(f) + f->pending;
    char *block;

    if (at >= UINT32_MAX || eng_grow_room(&f->val, f->eng, (uint32_t)at + 1) != 0) {
        f->pending = 0;
        return SX_ENOMEM;
    }
    block = eng_grow_read(&f->val);
    memcpy(block + at * f->val.width, value, f->val.width);
    f->pending++;
    return SX_OK;
}

void *eng_fwd_pending(const struct eng_fwd *f)
{
    char *block = eng_grow_read(&f->val);

    return block + (uint64_t)count(f) * f->val.width;
}

/* Rows are read by searching readers while staged ones are written: relaxed, for a torn order of
 * two stores does not matter, all of them lie beyond the reader's last row. */
static void put_rows(struct eng_fwd *f, uint32_t from, uint32_t n, uint32_t row, uint32_t step)
{
    uint16_t *rows = row_block(f);

    for (uint32_t i = 0; i < n; i++)
        __atomic_store_n(&rows[from + i], (uint16_t)(row + i * step), __ATOMIC_RELAXED);
}

/* Is the next row one that needs no row number? */
static int fits_dense(const struct eng_fwd *f, uint32_t offset, uint32_t n)
{
    uint32_t base = atomic_load_explicit(&f->base, memory_order_relaxed);

    return f->pending == 1 && (n == 0 || offset == base + n);
}

int eng_fwd_row(struct eng_fwd *f, uint32_t offset)
{
    uint32_t n = count(f), more = f->pending;
    int is_listed = (int)atomic_load_explicit(&f->is_listed, memory_order_relaxed);

    if (more == 0)
        return SX_OK;
    if (is_listed || !fits_dense(f, offset, n)) {
        if (eng_grow_room(&f->rows, f->eng, n + more) != 0) {
            f->pending = 0;
            return SX_ENOMEM;
        }
        if (!is_listed)
            put_rows(f, 0, n, atomic_load_explicit(&f->base, memory_order_relaxed), 1);
        put_rows(f, n, more, offset, 0);
        /* Pairs with eng_fwd_read(): who sees the flag sees the rows of all entries. */
        atomic_store_explicit(&f->is_listed, 1, memory_order_release);
    } else if (n == 0) {
        atomic_store_explicit(&f->base, offset, memory_order_relaxed);
    }
    f->pending = 0;
    /* Pairs with eng_fwd_read(): who sees the count sees blocks that hold so many. */
    atomic_store_explicit(&f->n, n + more, memory_order_release);
    return SX_OK;
}

/* First of n entries whose row is at or above `row`. */
static uint32_t search_rows(const uint16_t *rows, uint32_t n, uint32_t row)
{
    uint32_t lo = 0;

    while (n > 0) {
        uint32_t half = n / 2;

        if (__atomic_load_n(&rows[lo + half], __ATOMIC_RELAXED) < row) {
            lo += half + 1;
            n -= half + 1;
        } else {
            n = half;
        }
    }
    return lo;
}

static uint32_t dense_end(uint32_t base, uint32_t n, uint32_t row)
{
    uint32_t end = row > base ? row - base : 0;

    return end < n ? end : n;
}

void eng_fwd_cut(struct eng_fwd *f, uint32_t offset)
{
    uint32_t n = count(f);

    f->pending = 0;
    if (atomic_load_explicit(&f->is_listed, memory_order_relaxed))
        n = search_rows(row_block(f), n, offset);
    else
        n = dense_end(atomic_load_explicit(&f->base, memory_order_relaxed), n, offset);
    atomic_store_explicit(&f->n, n, memory_order_release);
}

uint64_t eng_fwd_bytes(const struct eng_fwd *f)
{
    return (uint64_t)f->val.cap * f->val.width + (uint64_t)f->rows.cap * f->rows.width;
}

/* --- reading ----------------------------------------------------------------------------- */

void eng_fwd_read(const struct eng_fwd *f, uint32_t lo, uint32_t hi, struct eng_fwd_view *v)
{
    uint32_t n = atomic_load_explicit(&f->n, memory_order_acquire);

    memset(v, 0, sizeof(*v));
    if (n == 0)
        return;
    if (atomic_load_explicit(&f->is_listed, memory_order_acquire)) {
        v->rows = row_block(f);
        v->from = search_rows(v->rows, n, lo);
        v->to = search_rows(v->rows, n, hi);
    } else {
        /* Changes only while there are no entries below any reader's last row: whichever of its
         * values we see, nothing of what lies below hi is missed or invented. */
        v->base = atomic_load_explicit(&f->base, memory_order_relaxed);
        v->from = dense_end(v->base, n, lo);
        v->to = dense_end(v->base, n, hi);
    }
    if (v->to < v->from)
        v->to = v->from;
    v->val = eng_grow_read(&f->val);
}

uint32_t eng_fwd_points(const struct eng_fwd_view *v)
{
    uint32_t n = 0;

    if (v->rows == NULL)
        return v->to - v->from;
    for (uint32_t i = v->from; i < v->to; i++)
        n += i == v->from || v->rows[i] != v->rows[i - 1];
    return n;
}

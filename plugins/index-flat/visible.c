/* index-flat: which nodes of a block a reader may be given.
 *
 * A node stands for a row. A row below its chunk's fill is judged by its bits (not dead, and
 * allowed if there is a filter); one at or beyond the fill is newer than the view and is handed
 * back unjudged. Where node and row are the same number, 64 nodes are judged by three word
 * operations; otherwise each node's row number is looked up. Bits and row numbers change while they
 * are read: every load is a relaxed atomic one, and either value is a right answer for a search
 * that runs at the same time as the change. */
#include "flat.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

static uint64_t load_word(const uint64_t *p)
{
    return __atomic_load_n(p, __ATOMIC_RELAXED);
}

static uint32_t load_row(const void *p)
{
    return __atomic_load_n((const uint32_t *)p, __ATOMIC_RELAXED);
}

static int is_absent(const struct sx_rows *rows, uint32_t i)
{
    return rows->chunks[i >> rows->shift] == NULL;
}

/* Bits of rows [row, row + 64) that are visible or unjudged; row is a multiple of 64. */
static uint64_t word_at(const struct sx_view *view, uint32_t row)
{
    uint32_t chunk = row >> SX_CHUNK_SHIFT, off = row & (SX_CHUNK_ROWS - 1);
    uint32_t fill = chunk < view->n_chunks ? view->fill[chunk] : 0;
    if (off >= fill)
        return ~0ull;
    uint64_t w = ~0ull;
    if (view->dead != NULL && view->dead[chunk] != NULL)
        w = ~load_word(view->dead[chunk] + off / 64);
    if (view->allowed != NULL)
        w &= view->allowed[chunk] != NULL ? load_word(view->allowed[chunk] + off / 64) : 0;
    if (fill - off < 64)
        w |= ~0ull << (fill - off);
    return w;
}

static int is_row_visible(const struct sx_view *view, uint32_t row)
{
    return (word_at(view, row & ~63u) >> (row & 63u)) & 1;
}

/* Nodes that are rows. */
static uint32_t visible_direct(const struct sx_view *view,
                               const struct sx_rows *present,
                               uint32_t first,
                               uint32_t n,
                               uint32_t *out)
{
    uint32_t m = 0;
    for (uint32_t i = 0; i < n; i += 64) {
        uint64_t w = word_at(view, first + i);
        if (n - i < 64)
            w &= ~(~0ull << (n - i));
        if (w == ~0ull && present->shift >= 6 && !is_absent(present, first + i)) {
            for (uint32_t j = 0; j < 64; j++)
                out[m++] = first + i + j;
            continue;
        }
        for (; w != 0; w &= w - 1) {
            uint32_t node = first + i + (uint32_t)__builtin_ctzll(w);
            if (!is_absent(present, node))
                out[m++] = node;
        }
    }
    return m;
}

/* Nodes that have a row number of their own. */
static uint32_t visible_mapped(const struct sx_view *view,
                               const struct sx_rows *present,
                               uint32_t first,
                               uint32_t n,
                               uint32_t *out)
{
    uint32_t m = 0;
    for (uint32_t node = first; n > 0; node++, n--) {
        if (is_absent(present, node) || is_absent(view->row_of, node))
            continue;
        uint32_t row = load_row(sx_rows_at(view->row_of, node));
        if (row != UINT32_MAX && is_row_visible(view, row)) /* UINT32_MAX: nobody's vector */
            out[m++] = node;
    }
    return m;
}

uint32_t flat_visible(const struct sx_view *view,
                      const struct sx_rows *present,
                      uint32_t first,
                      uint32_t n,
                      uint32_t *out)
{
    if (view->row_of != NULL)
        return visible_mapped(view, present, first, n, out);
    return visible_direct(view, present, first, n, out);
}

/* Values of the newest rows in arrival order: the open form of numbers and points.
 *
 * Entries (one value of one row each) lie in one array. As long as every row since the first one
 * has exactly one value, entry i belongs to row base + i and nothing else is kept ("dense"); with
 * the first row that has none or several, a second array takes the row of each entry ("listed") and
 * stays. Offsets per row would do as well, but they would not tell a scan whose entry it has found.
 *
 * Threads. One writer; readers at any time, told up to which row they may look. They load the
 * number of entries first, then whether rows are listed, then the blocks: each was published no
 * later than what was loaded before it, so a reader never runs past a block. Entries at and above
 * a reader's last row may be written, forgotten and written again meanwhile; of those a reader sees
 * only row numbers, all of them beyond its last row. */
#ifndef ENG_PART_NUMERIC_FWD_H
#define ENG_PART_NUMERIC_FWD_H

#include "field_part.h"

struct eng_fwd {
    const struct eng *eng;
    struct eng_grow val, rows;  /* rows: u16, offsets in the chunk */
    _Atomic uint32_t n;         /* entries, those of a staged operation included */
    _Atomic uint32_t base;      /* row of entry 0 while dense */
    _Atomic uint32_t is_listed; /* rows[] holds the row of each entry */
    uint32_t pending;           /* S: entries of the row that is being added */
};

/* width: bytes of a value. */
void eng_fwd_init(struct eng_fwd *f, const struct eng *e, uint32_t width);
void eng_fwd_fini(struct eng_fwd *f);

/* [S] One row: any number of pushes, then row(), or row() with nothing pushed. 0 or SX_ENOMEM;
 * after a failure the entries pushed are forgotten and nothing has changed. */
int eng_fwd_push(struct eng_fwd *f, const void *value);
/* The values pushed so far; the caller may rearrange them and lower f->pending. */
void *eng_fwd_pending(const struct eng_fwd *f);
int eng_fwd_row(struct eng_fwd *f, uint32_t offset);
void eng_fwd_cut(struct eng_fwd *f, uint32_t offset); /* [S] forgets rows at and above offset */
uint64_t eng_fwd_bytes(const struct eng_fwd *f);      /* [S] */

/* [A] The entries of rows [lo, hi): val[from .. to), borrowed until the epoch is left. */
struct eng_fwd_view {
    const void *val;
    const uint16_t *rows; /* NULL while dense */
    uint32_t from, to;
    uint32_t base, pad;
};
void eng_fwd_read(const struct eng_fwd *f, uint32_t lo, uint32_t hi, struct eng_fwd_view *v);

static inline uint32_t eng_fwd_row_of(const struct eng_fwd_view *v, uint32_t i)
{
    return v->rows != NULL ? v->rows[i] : v->base + i;
}

/* Sets the rows of entries i .. i + 63 whose bit is set; bits of entries past v->to are 0. */
static inline void
eng_fwd_emit(const struct eng_fwd_view *v, uint32_t i, uint64_t bits, struct eng_bits *out)
{
    uint32_t row;

    if (v->rows != NULL) {
        for (; bits != 0; bits &= bits - 1)
            eng_bits_set(out, v->rows[i + (uint32_t)__builtin_ctzll(bits)]);
        return;
    }
    if (bits == 0)
        return;
    row = v->base + i;
    out->w[row >> 6] |= bits << (row & 63);
    if ((row & 63) != 0 && bits >> (64 - (row & 63)) != 0)
        out->w[(row >> 6) + 1] |= bits >> (64 - (row & 63));
}

/* Rows among the entries of the view, each counted once. */
uint32_t eng_fwd_points(const struct eng_fwd_view *v);

#endif

/* The kind "bool": two sets of rows, those with a true and those with a false (a row of an array
 * may be in both). Open and sealed they are what presence is: a byte of flags a row, sets of rows.
 */
#include <string.h>

#include "field_priv.h"

#include "sextant/sx_ban.h"

enum { HAS_FALSE = 1, HAS_TRUE = 2 };

struct bool_open {
    const struct eng *eng;
    const struct sx_path *path;
    struct eng_presence rows;
};

static void *open_create(const struct eng_field_conf *conf, const struct eng_field_schema *s)
{
    struct bool_open *o = conf->eng->mem->zalloc(conf->eng->mem, sizeof(*o));

    if (o == NULL)
        return NULL;
    o->eng = conf->eng;
    o->path = &s->path;
    eng_presence_init(&o->rows, 0);
    return o;
}

static void open_destroy(void *open)
{
    struct bool_open *o = open;
    const struct sx_mem *mem = o->eng->mem;

    eng_presence_fini(&o->rows, o->eng);
    mem->release(mem, o);
}

static int add_value(void *arg, const struct sx_value *v)
{
    uint32_t *flags = arg;
    int yes;

    if (eng_value_bool(v, &yes))
        *flags |= yes ? HAS_TRUE : HAS_FALSE;
    return 0;
}

static int open_add(void *open, uint32_t offset, struct sx_doc payload)
{
    struct bool_open *o = open;
    uint32_t flags = 0;

    (void)eng_path_each(o->path, payload, add_value, &flags);
    if (flags == 0)
        return 0;
    if (o->rows.n == 0)
        o->rows.first = offset; /* nothing is committed, so nobody looks */
    return eng_presence_add(&o->rows, o->eng, offset, flags) == SX_OK ? 1 : SX_ENOMEM;
}

static void open_cut(void *open, uint32_t offset)
{
    eng_presence_cut(&((struct bool_open *)open)->rows, offset);
}

static void open_commit(void *open)
{
    eng_presence_commit(&((struct bool_open *)open)->rows);
}

static uint64_t open_bytes(const void *open)
{
    const struct bool_open *o = open;

    return sizeof(*o) + o->rows.flags.cap;
}

static int open_is_full(const void *open SX_UNUSED)
{
    return 0;
}

static uint32_t flag_of(const struct eng_leaf *leaf)
{
    return leaf->cond->match.i != 0 ? HAS_TRUE : HAS_FALSE;
}

static void open_mask(const void *open,
                      const struct eng_leaf *leaf,
                      uint32_t lo,
                      uint32_t hi,
                      struct eng_bits *yes,
                      struct eng_bits *maybe SX_UNUSED)
{
    eng_presence_bits(&((const struct bool_open *)open)->rows, flag_of(leaf), lo, hi, yes);
}

static int seal(const void *open, uint32_t lo, uint32_t hi, struct sx_buf *out)
{
    eng_presence_seal(&((const struct bool_open *)open)->rows, lo, hi, out);
    return out->failed ? SX_ENOMEM : SX_OK;
}

static int check(const struct eng_field_schema *s SX_UNUSED, const uint8_t *p, uint64_t n)
{
    return n != 0 && eng_presence_check(p, n) == n ? SX_OK : SX_ECORRUPT;
}

static void mask(const struct eng_field_schema *s SX_UNUSED,
                 const uint8_t *p,
                 const struct eng_leaf *leaf,
                 struct eng_bits *yes,
                 struct eng_bits *maybe SX_UNUSED)
{
    eng_set_or(eng_presence_set(p, flag_of(leaf)), yes);
}

/* Rows with the flag, all or those in bits. */
static uint32_t count_flag(const uint8_t *sealed,
                           const void *open,
                           uint32_t open_hi,
                           uint32_t flag,
                           const struct eng_bits *bits)
{
    struct eng_bits b = {{0}};

    if (sealed != NULL && bits == NULL)
        return eng_set_count(eng_presence_set(sealed, flag));
    if (sealed != NULL)
        return eng_set_count_in(eng_presence_set(sealed, flag), bits);
    eng_presence_bits(&((const struct bool_open *)open)->rows, flag, 0, open_hi, &b);
    for (uint32_t i = 0; bits != NULL && i < ENG_BITS_WORDS; i++)
        b.w[i] &= bits->w[i];
    return eng_bits_count(&b, 0, SX_CHUNK_ROWS);
}

static void tally(const struct eng_field_schema *s SX_UNUSED,
                  const uint8_t *sealed,
                  const void *open,
                  uint32_t open_hi,
                  const struct eng_leaf *leaf,
                  struct eng_tally *out)
{
    uint32_t n[2];

    for (uint32_t i = 0; i < 2; i++) {
        n[i] = count_flag(sealed, open, open_hi, i != 0 ? HAS_TRUE : HAS_FALSE, NULL);
        out->values += n[i];
        out->distinct += n[i] != 0;
    }
    if (leaf->kind == ENG_LEAF_MATCH && out->n == 1)
        out->len[0] += n[leaf->cond->match.i != 0];
}

static int facet(struct eng_facet *k,
                 const uint8_t *sealed,
                 const void *open,
                 uint32_t open_hi,
                 const struct eng_bits *bits)
{
    int rc = eng_facet_add_bool(k, 0, count_flag(sealed, open, open_hi, HAS_FALSE, bits));

    return rc != SX_OK
               ? rc
               : eng_facet_add_bool(k, 1, count_flag(sealed, open, open_hi, HAS_TRUE, bits));
}

static int answers(const struct eng_field_schema *s SX_UNUSED, const struct eng_leaf *leaf)
{
    return leaf->kind == ENG_LEAF_MATCH && leaf->cond != NULL &&
           leaf->cond->match.kind == SX_MATCH_BOOL;
}

const struct eng_part_ops eng_part_bool = {
    .name = "bool",
    .open_create = open_create,
    .open_destroy = open_destroy,
    .open_add = open_add,
    .open_cut = open_cut,
    .open_commit = open_commit,
    .open_mask = open_mask,
    .open_bytes = open_bytes,
    .open_is_full = open_is_full,
    .seal = seal,
    .check = check,
    .mask = mask,
    .tally = tally,
    .facet = facet,
    .answers = answers,
};

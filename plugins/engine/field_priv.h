/* What the files of the framework of payload indexes share.
 *
 *   field.c          life of an index: create, stage, commit, abort, the list readers see
 *   field_read.c     masks, points, gaps: what a filter asks
 *   field_estimate.c the estimator's figures of one leaf
 *   field_order.c    merging the parts' sorted entries
 *   field_job.c      sealing, building, saving
 *   field_file.c     names, files and images of sealed parts
 *   field_open.c     the files at open
 *   field_schema.c   what an index was asked to be
 *   field_value.c    which values each type accepts
 *   facet.c          counts by value: the accumulator of a request
 *   field_facet.c    counting along the parts of an index
 *   part_presence.c  has a value, is null, is empty; sets of rows as bytes
 *   grow.c           arrays of one writer and many readers
 *
 * An image is a sealed part as it lies in memory and in its file, byte for byte:
 *
 *   | head, 128 bytes | sets of presence | padding to 64 | sealed form of the kind |
 *
 * Lock-free throughout: the writer publishes lists of parts, readers follow them inside an epoch.
 */
#ifndef ENG_FIELD_PRIV_H
#define ENG_FIELD_PRIV_H

#include "field_part.h"

#define FIELD_FILE_VERSION 1u

/* --- presence ---------------------------------------------------------------------------------
 * What is known of every row, whatever the type of the index. */
enum {
    PRESENT_VALUE = 1,  /* the index accepts at least one value */
    PRESENT_NULL = 2,   /* some value is null */
    PRESENT_EMPTY = 4,  /* plain: every value is null or [] (or there is none);
                           nested: some element (object) lacks the field in that sense */
    PRESENT_FULL = 8,   /* nested only: some element has the field */
    PRESENT_CLEAR = 16, /* nested only: some element has no null there */
    PRESENT_SETS = 5
};
/* Of an open part: one byte a row, for bits of neighbouring rows in one word would be written by
 * the writer while readers look at them. */
struct eng_presence {
    struct eng_grow flags; /* u8, from row `first` */
    uint32_t first;        /* offset in the chunk; fixed before any reader looks */
    uint32_t n;            /* S: rows, staged ones included */
    _Atomic uint32_t seen; /* rows that readers may look at */
};
void eng_presence_init(struct eng_presence *p, uint32_t first);
void eng_presence_fini(struct eng_presence *p, const struct eng *e);
/* What the document says of the field, without PRESENT_VALUE. */
uint32_t eng_presence_of(const struct eng_field_schema *s, struct sx_doc payload);
int eng_presence_add(struct eng_presence *p, const struct eng *e, uint32_t offset, uint32_t flags);
void eng_presence_cut(struct eng_presence *p, uint32_t offset);
void eng_presence_commit(struct eng_presence *p);
/* Rows of [lo, hi) that have the flag. */
void eng_presence_bits(
    const struct eng_presence *p, uint32_t flag, uint32_t lo, uint32_t hi, struct eng_bits *out);
/* A set for each flag, as part of an image. check: bytes used, or 0. */
void eng_presence_seal(const struct eng_presence *p, uint32_t lo, uint32_t hi, struct sx_buf *out);
uint64_t eng_presence_check(const uint8_t *p, uint64_t n);
const uint8_t *eng_presence_set(const uint8_t *p, uint32_t flag);

/* --- parts ------------------------------------------------------------------------------------ */

struct field_head {
    struct sx_file_head file; /* number: chunk */
    uint32_t lo, hi;          /* rows */
    uint64_t bytes;           /* of the image */
    uint64_t stamp;
    uint64_t kind_at; /* where the kind's bytes begin */
    uint32_t field, type;
    uint32_t nested; /* nested_steps of the schema */
    uint32_t body_crc;
    uint8_t zero[16];
    uint32_t pad;
    uint32_t crc; /* of the bytes before */
};
_Static_assert(sizeof(struct field_head) == 128, "heads of parts are a file format");

enum { PART_UNCHECKED = 0, PART_GOOD, PART_DAMAGED };

struct facet_map;

struct field_part {
    /* never changes once the part is published */
    const struct eng *eng;
    const struct eng_part_ops *ops;
    uint32_t lo, hi; /* rows; hi of an open part: what a list says */
    void *open;      /* of the kind; NULL = sealed */
    const uint8_t *image;
    uint64_t bytes;
    void *block; /* what image lies in: anonymous memory, or NULL */
    void *map;   /* or a mapping of a file */

    struct eng_presence presence;      /* of an open part */
    _Atomic uint32_t state;            /* PART_*; any thread */
    _Atomic(struct facet_map *) codes; /* any thread: numbers of the values, see field_facet.c */
};

/* What readers see: parts by lo, replaced as a whole. */
struct field_list {
    const struct sx_mem *mem;
    struct field_part *tail; /* one of them: the open part that takes new rows; NULL = none yet */
    uint32_t n, cap;
    struct field_ref {
        struct field_part *part;
        uint32_t lo, hi;
    } at[];
};

/* A file that is in the way: to be unlinked, durably, before anything new is saved. */
struct field_trash {
    struct field_trash *next;
    uint32_t lo, pad;
};

struct facet_dict;

struct eng_field {
    /* never changes */
    const struct eng *eng;
    struct eng_field_conf conf;
    const struct eng_field_schema *schema;
    const struct eng_part_ops *ops;

    /* any thread */
    _Atomic(struct field_list *) list;
    _Atomic uint64_t disk, ram, open_ram;
    _Atomic(struct facet_dict *) dict;

    /* writer only */
    struct {
        uint32_t active, end, n_parts, pad;
        struct field_part **parts; /* new open parts, in order; room for cap_parts */
        uint32_t cap_parts, pad2;
        struct field_list *list; /* to be published when there are any */
    } staged;
    uint32_t end;  /* behind the last committed row of the tail */
    uint32_t busy; /* a job is out, on rows [busy_lo, busy_hi) */
    uint32_t busy_lo, busy_hi;
    uint32_t saves_held;
    uint32_t lost;                    /* files are in the way that `trash` had no memory for */
    uint32_t save_wait, save_penalty; /* calls of next() to wait after a failed save */
    struct field_trash *trash;
};

/* field.c */
struct field_list *eng_field_list(const struct eng_field *f); /* [A] acquire */
/* An empty list with the tail of the present one. */
struct field_list *eng_field_list_new(const struct eng_field *f, uint32_t cap);
/* [S] Publishes l; the list before is retired, parts that l leaves out too. */
void eng_field_publish(struct eng_field *f, struct field_list *l);
/* An empty open part, or NULL. */
struct field_part *eng_field_part_open(const struct eng_field *f, uint32_t lo);
void eng_field_part_destroy(void *part);
/* One row into an open part. */
int eng_field_part_add(const struct eng_field *f,
                       struct field_part *p,
                       uint32_t row,
                       struct sx_doc payload);
void eng_field_part_commit(struct field_part *p);
/* Sums of disk and memory after the list has changed. */
void eng_field_count(struct eng_field *f); /* [S] */

/* field_file.c */
#define FIELD_NAME_BYTES 64u
void eng_field_part_name(const struct eng_field *f, uint32_t lo, const char *suffix, char *out);
/* Does the head say that these are `bytes` bytes of a part of this index? */
int eng_field_head_check(const struct eng_field *f,
                         const struct field_head *h,
                         uint64_t bytes,
                         struct sx_err *err);
/* A sealed part without its image. */
struct field_part *eng_field_part_sealed(const struct eng_field *f, uint32_t lo, uint32_t hi);
/* 1 when the part may be used: a sealed part out of a file is checked the first time. */
int eng_field_part_good(const struct eng_field *f, struct field_part *p);
/* [W] The sealed form of rows [lo, hi), all in the open part. */
int eng_field_seal(const struct eng_field *f,
                   const struct field_part *open,
                   uint32_t lo,
                   uint32_t hi,
                   struct field_part **out,
                   struct sx_err *err);
/* [blocking] Writes the image of a part to its file, durable but for the directory, and maps it. */
int eng_field_save(const struct eng_field *f,
                   const struct field_part *p,
                   struct field_part **out,
                   struct sx_err *err);
int eng_field_unlink(const struct eng_field *f, uint32_t lo, struct sx_err *err); /* [blocking] */
/* field_open.c */
/* [blocking] The files that may be used, in order, in a list with room for one more. */
int eng_field_scan(struct eng_field *f,
                   struct eng_fills rows,
                   struct field_list **out,
                   struct sx_err *err);
/* [blocking] No file of this index's number is there any more, durably. */
int eng_field_clear_files(const struct eng_field *f, struct sx_err *err);
/* [blocking] Removes every file of the index, or those of one chunk (UINT32_MAX = all). */
int eng_field_remove_files(const struct eng_field *f, uint32_t chunk, struct sx_err *err);

static inline const uint8_t *field_presence(const struct field_part *p)
{
    return p->image + sizeof(struct field_head);
}
static inline const uint8_t *field_kind(const struct field_part *p)
{
    return p->image + ((const struct field_head *)(const void *)p->image)->kind_at;
}
/* Behind the last row of the part that readers may look at. */
static inline uint32_t field_end(const struct field_list *l, const struct field_ref *r)
{
    const struct eng_presence *p = &r->part->presence;
    if (r->part != l->tail)
        return r->hi;
    /* pairs with the release in eng_presence_commit(); `first` is fixed from the first row on */
    uint32_t n = atomic_load_explicit(&p->seen, memory_order_acquire);
    return n ? (r->lo & ~(SX_CHUNK_ROWS - 1)) + p->first + n : r->lo;
}
/* Where the part's range meets the chunk's rows below fill, as offsets; 0 when it does not. */
static inline int
field_meets(const struct field_ref *r, uint32_t chunk, uint32_t fill, uint32_t *lo, uint32_t *hi)
{
    uint64_t base = (uint64_t)chunk << SX_CHUNK_SHIFT, end = base + fill;

    if (r->hi <= base || r->lo >= end)
        return 0;
    *lo = (uint32_t)(r->lo - base);
    *hi = (uint32_t)((r->hi < end ? r->hi : end) - base);
    return *lo < *hi;
}
/* field_read.c */
/* The first part of the list whose rows may lie in the chunk. */
uint32_t eng_field_first(const struct field_list *l, uint32_t chunk);
/* Rows that no part covers, a range in one chunk at a time; 0 at the end. f: parts are checked, and
 * damaged ones cover nothing; NULL: all count. Zero `i` and `at` at first. */
struct field_gaps {
    const struct eng_field *f;
    const struct field_list *list;
    struct eng_fills rows;
    uint64_t at;
    uint32_t i, pad;
};
int eng_field_gap_next(struct field_gaps *g, uint32_t *lo, uint32_t *hi);

/* field_facet.c */
void eng_facet_map_destroy(struct facet_map *m);
void eng_facet_dict_destroy(struct eng_field *f);

#endif

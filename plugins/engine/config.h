/* A collection's configuration: the request merged over the server's defaults.
 *
 * A PATCH writes config.json anew; vector names come and go through the log. So the manifest and
 * the log say which vectors there are, config.json has the settings of those it knows by name and
 * id.
 *
 * The canonical form is one sx_doc with the members clients see in `result.config` (params,
 * hnsw_config, optimizer_config, wal_config, quantization_config, ...), kept as bytes, echoed as
 * they are, stored as JSON in config.json. What the engine itself needs is parsed out of it once.
 */
#ifndef ENG_CONFIG_H
#define ENG_CONFIG_H

#include "engine.h"

/* Dense vectors are rows of one stride. Multivectors and sparse vectors are blobs: a node is then a
 * row with the blob's locator. */
enum { ENG_COL_DENSE = 0, ENG_COL_MULTI = 1, ENG_COL_SPARSE = 2 };

struct eng_column_conf {
    struct sx_str name;  /* inside the config's document */
    uint32_t id;         /* never used again in this collection */
    uint32_t slot;       /* place in tables of columns, free again once the column is gone */
    uint32_t kind;       /* ENG_COL_* */
    uint32_t dim, dtype; /* of a dense vector, or of each row of a multivector */
    const struct sx_provider *distance; /* NULL: sparse */
    const char *rows_kind;
};

struct eng_config {
    struct sx_doc doc; /* owned bytes */
    uint32_t n_columns, pad;
    uint64_t segment_bytes; /* of the log */
    uint32_t n_segments;    /* as reported */
    uint32_t is_named;      /* vectors is a map */
    uint64_t small_bytes;   /* a column without a graph is searched under indexed_only up to this */
    uint64_t most_shown;    /* points that are shown without being indexed, UINT64_MAX = all */
    uint64_t shown_to;      /* all points up to this operation are shown; see eng_config_patch() */
    struct eng_column_conf columns[]; /* n_columns */
};

/* 1 when points may be held back. */
static inline int eng_config_holds(const struct eng_config *c)
{
    return c->most_shown != UINT64_MAX;
}

/* Builds the canonical document from a create body (canonical names, may be absent fields) and the
 * defaults; returns owned bytes in out->p (release with mem). */
int eng_config_build(struct eng *e, struct sx_doc body, struct sx_doc *out, struct sx_err *err);
/* Parses a canonical document; takes doc's bytes on success. */
int eng_config_parse(struct eng *e, struct sx_doc doc, struct eng_config **out, struct sx_err *err);
/* The configuration after a vector name was added (conf: {"dense": {...}} or {"sparse": {...}}) or
 * removed (conf absent). Columns that stay keep id and slot, a new one gets the given ones. A
 * change that changes nothing sets *out to NULL. SX_EINPUT with the client's text when the name
 * exists with another configuration. The result owns its document. */
int eng_config_change(struct eng *e,
                      const struct eng_config *old,
                      struct sx_str name,
                      struct sx_doc conf,
                      uint32_t id,
                      uint32_t slot,
                      struct eng_config **out,
                      struct sx_err *err);
/* The configuration after the body of a PATCH. A part that is refused leaves those before it
 * applied: *out may be set beside an error. The result owns its document, columns keep ids and
 * slots. Unless points were and are held back all are shown: shown_to becomes `commit`. */
int eng_config_patch(struct eng *e,
                     const struct eng_config *old,
                     struct sx_doc body,
                     uint64_t commit,
                     struct eng_config **out,
                     struct sx_err *err);
/* The configuration with its vectors as eng_config_save_columns() wrote them; what may be changed
 * of a vector is taken from base when it has the same column. */
int eng_config_restore(struct eng *e,
                       const struct eng_config *base,
                       struct sx_doc saved,
                       struct eng_config **out,
                       struct sx_err *err);
/* Members of an open object: the vectors of the configuration, with ids and slots. */
void eng_config_save_columns(const struct eng_config *c, struct sx_docb *b);
/* Ids and slots alone, a member "columns"; and back from its value, for every column. */
void eng_config_save_ids(const struct eng_config *c, struct sx_docb *b);
int eng_config_load_ids(struct eng_config *c, struct sx_doc columns, struct sx_err *err);
/* Replaces *config by one whose vectors have the settings that base has for the same column. */
int eng_config_adopt(struct eng *e,
                     const struct eng_config *base,
                     struct eng_config **config,
                     struct sx_err *err);
/* Owned bytes of what was built in b, which is ended; released with mem. */
int eng_take_doc(struct eng *e, struct sx_docb *b, struct sx_doc *out, struct sx_err *err);
void eng_config_destroy(struct eng *e, struct eng_config *c);
/* The column of that name, NULL when there is none. */
const struct eng_column_conf *eng_config_column(const struct eng_config *c, struct sx_str name);

#endif

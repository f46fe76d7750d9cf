/* A collection's configuration: the request merged over the server's defaults.
 *
 * The canonical form is one sx_doc with the members clients see in `result.config` (params,
 * hnsw_config, optimizer_config, wal_config, quantization_config, ...), kept as bytes, echoed as
 * they are, stored as JSON in config.json. What the engine itself needs is parsed out of it once.
 */
#ifndef ENG_CONFIG_H
#define ENG_CONFIG_H

#include "engine.h"

struct eng_column_conf {
    struct sx_str name; /* inside the config's document */
    uint32_t id;        /* never used again in this collection */
    uint32_t dim, dtype, is_multi;
    const struct sx_provider *distance;
    const char *rows_kind;
};

struct eng_config {
    struct sx_doc doc; /* owned bytes */
    uint32_t n_columns, n_sparse;
    uint64_t segment_bytes; /* of the log */
    uint32_t n_segments;    /* as reported */
    uint32_t is_named;      /* vectors is a map */
    uint64_t small_bytes;   /* a column without a graph is searched under indexed_only up to this */
    struct eng_column_conf columns[]; /* n_columns */
};

/* Builds the canonical document from a create body (canonical names, may be absent fields) and the
 * defaults; returns owned bytes in out->p (release with mem). */
int eng_config_build(struct eng *e, struct sx_doc body, struct sx_doc *out, struct sx_err *err);
/* Parses a canonical document; takes doc's bytes on success. */
int eng_config_parse(struct eng *e, struct sx_doc doc, struct eng_config **out, struct sx_err *err);
void eng_config_destroy(struct eng *e, struct eng_config *c);
/* The column of that name, NULL when there is none (also for sparse names). */
const struct eng_column_conf *eng_config_column(const struct eng_config *c, struct sx_str name);
int eng_config_has_sparse(const struct eng_config *c, struct sx_str name);

#endif

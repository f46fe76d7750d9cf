/* What a shard's points may have: vector columns (the configuration) and payload indexes, as one
 * immutable object.
 *
 * A change makes a new list and publishes it with the next view; the old one, and what was dropped
 * from it, is retired once that view is out. So a reader that has a view may use its schema, and
 * every index in it, as long as it stays in its epoch.
 *
 * Durable form: one document, kept in the manifest; what came later is in the log.
 *
 * Threads: changes on the strand [S]; reading anywhere. */
#ifndef ENG_SCHEMA_H
#define ENG_SCHEMA_H

#include "field.h"

struct eng_shard;

struct eng_schema {
    const struct eng_config *config; /* the columns there are; owned unless it is the shard's own */
    uint32_t next_column;            /* ids are never used again */
    uint32_t n_fields, next_id;      /* next_id: of fields, likewise */
    struct eng_field_schema *fields[];
};

/* The one with that path, or NULL. */
struct eng_field_schema *eng_schema_find(const struct eng_schema *s, const struct sx_path *path);
/* For eng_filter_compile(). */
struct eng_schemas eng_schema_lookup(const struct eng *e, const struct eng_schema *s);

/* [S] The record of a change: CREATE {"path", "schema", "bare"}, DROP {"path"}. Makes the list that
 * commit will publish; a field that was there already with the same schema, or is not there to be
 * dropped, changes nothing. */
int eng_schema_stage_create(struct eng_shard *s,
                            uint64_t number,
                            struct sx_doc change,
                            struct sx_err *err);
int eng_schema_stage_drop(struct eng_shard *s,
                          uint64_t number,
                          struct sx_doc change,
                          struct sx_err *err);
/* Columns: CREATE {"name", "dense" or "sparse"}, DROP {"name"}. A new one takes part from the next
 * operation on; one that is dropped stays open until no view and no manifest knows it. */
int eng_schema_stage_column(struct eng_shard *s, struct sx_doc change, struct sx_err *err);
int eng_schema_stage_column_drop(struct eng_shard *s, struct sx_doc change, struct sx_err *err);
/* [S] A PATCH: new settings, published at once. Its durable form, config.json, is the caller's. */
int eng_schema_patch(struct eng_shard *s, struct sx_doc body, struct sx_err *err);
/* [S] A checkpoint that began when `gone` columns were waiting is durable: those whose readers have
 * left are closed and their files removed. */
uint32_t eng_schema_gone_columns(const struct eng_shard *s);
void eng_schema_sweep_columns(struct eng_shard *s, uint32_t gone);
void eng_schema_commit(struct eng_shard *s); /* [S] with the table's commit */
void eng_schema_abort(struct eng_shard *s);
/* [S] after publishing: what the staged change replaced goes when its readers have left. */
void eng_schema_retire(struct eng_shard *s);

/* The durable document of the list; owned bytes. */
int eng_schema_save(struct eng *e,
                    const struct eng_schema *s,
                    struct sx_doc *out,
                    struct sx_err *err);
/* [blocking, at open] The saved columns; before the stores are opened. */
int eng_schema_load(struct eng_shard *s, struct sx_doc saved, struct sx_err *err);
/* [blocking, at open] Opens the saved indexes over the rows of the table. */
int eng_schema_open(struct eng_shard *s, struct sx_doc saved, struct sx_err *err);
void eng_schema_close(struct eng_shard *s); /* no reader any more */

#endif

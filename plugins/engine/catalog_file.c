/* config.json: a collection's configuration, name, uuid and time of creation, with a checksum at
 * the end of the text. Written when the collection is made and by every PATCH, each time whole and
 * put in the old one's place by a rename; read at start.
 *
 * Threads: the blocking pool, and the main thread at start. */
#include <stdio.h>
#include <string.h>

#include "catalog_priv.h"
#include "small_file.h"

#include "sextant/sx_ban.h"

#define CONFIG_MAX (8u << 20)

static void put_time(struct sx_docb *b, uint64_t ns)
{
    sx_docb_ckey(b, "created_at_ns");
    sx_docb_u64(b, ns);
}

int eng_catalog_file_write(struct eng *e,
                           struct sx_dir *dir,
                           const struct eng_collection *col,
                           const struct eng_config *config,
                           struct sx_err *err)
{
    struct sx_docb b;
    struct sx_buf text;
    struct sx_id id = {0, 0, SX_ID_UUID, 0};
    char uuid[37];
    for (int i = 0; i < 8; i++) {
        id.hi = id.hi << 8 | col->id.uuid[i];
        id.lo = id.lo << 8 | col->id.uuid[i + 8];
    }
    sx_uuid_format(id, uuid);

    sx_docb_init(&b, e->mem, 0);
    sx_buf_init(&text, e->mem);
    sx_docb_obj(&b);
    for (uint32_t i = 0; i < sx_doc_count(config->doc); i++) {
        struct sx_str key;
        struct sx_doc v = sx_doc_member(config->doc, i, &key);
        sx_docb_key(&b, key.p, key.n);
        sx_docb_doc(&b, v);
    }
    eng_config_save_ids(config, &b);
    sx_docb_ckey(&b, "shown_to");
    sx_docb_u64(&b, config->shown_to);
    sx_docb_ckey(&b, "uuid");
    sx_docb_cstr(&b, uuid);
    sx_docb_ckey(&b, "name");
    sx_docb_str(&b, col->name.p, col->name.n);
    put_time(&b, col->created_ns);
    sx_docb_close(&b);
    struct sx_doc d = sx_docb_end(&b);
    if (d.p)
        sx_jsonw_doc(&text, d);
    eng_small_file_seal(&text);
    int rc = d.p && !text.failed
                 ? eng_small_file_replace(e, dir, "config.json", text.p, text.n, err)
                 : sx_err_set(err, SX_ENOMEM, "out of memory");
    sx_buf_fini(&text);
    sx_docb_fini(&b);
    return rc;
}

int eng_catalog_file_split(struct eng *e,
                           struct sx_doc d,
                           struct eng_collection *col,
                           struct sx_doc *config,
                           struct sx_err *err)
{
    struct sx_docb b;
    struct sx_str s = sx_doc_str(sx_doc_get(d, "uuid"));
    struct sx_id id;
    if (!s.p || sx_uuid_parse(s.p, s.n, &id) != 0)
        return sx_err_set(err, SX_ECORRUPT, "config.json: no uuid");
    for (int i = 0; i < 8; i++) {
        col->id.uuid[i] = (uint8_t)(id.hi >> (56 - 8 * i));
        col->id.uuid[i + 8] = (uint8_t)(id.lo >> (56 - 8 * i));
    }
    struct sx_doc_num t = sx_doc_num(sx_doc_get(d, "created_at_ns"));
    col->created_ns = t.type == SX_DOC_I64 && t.v.i > 0 ? t.v.u : 0;
    sx_docb_init(&b, e->mem, 0);
    sx_docb_obj(&b);
    for (uint32_t i = 0; i < sx_doc_count(d); i++) {
        struct sx_str key;
        struct sx_doc v = sx_doc_member(d, i, &key);
        if ((key.n == 4 && (!memcmp(key.p, "uuid", 4) || !memcmp(key.p, "name", 4))) ||
            (key.n == 8 && !memcmp(key.p, "checksum", 8)) ||
            (key.n == 7 && !memcmp(key.p, "columns", 7)) ||
            (key.n == 8 && !memcmp(key.p, "shown_to", 8)) ||
            (key.n == 13 && !memcmp(key.p, "created_at_ns", 13)))
            continue;
        sx_docb_key(&b, key.p, key.n);
        sx_docb_doc(&b, v);
    }
    sx_docb_close(&b);
    struct sx_doc r = sx_docb_end(&b);
    uint8_t *copy = r.p ? e->mem->alloc(e->mem, r.n) : NULL;
    if (copy) {
        memcpy(copy, r.p, r.n);
        *config = (struct sx_doc){copy, r.n, 0};
    }
    sx_docb_fini(&b);
    return copy ? 0 : sx_err_set(err, SX_ENOMEM, "out of memory");
}

/* The name (owned by the arena) may differ from the folder's. */
int eng_catalog_file_read(struct eng *e,
                          struct sx_dir *dir,
                          struct sx_arena *arena,
                          struct sx_doc *out,
                          struct sx_err *err)
{
    struct sx_str text;
    int rc = eng_small_file_read(e, dir, "config.json", CONFIG_MAX, arena, &text, err);
    if (rc == 0)
        rc = eng_small_file_sealed("config.json", text, err);
    return rc == 0 ? eng_small_file_parse(e, "config.json", text, arena, out, err) : rc;
}

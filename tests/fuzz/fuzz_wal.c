/* Bytes as the files of a log: opening, replaying, going on.
 *
 * The first byte chooses. Bit 0: heads are made right, so that records are reached. Bit 1: so are
 * the checksums of whatever follows in the form of records. Bits 2, 3: the rest is cut into that
 * many more segments. Bits 4 to 7: the checkpoint.
 *
 * Holds or aborts: a log that opens takes records, and the next open replays the same ones and
 * those; a damaged one is left as it is; no input makes it read or write out of bounds. */
/* needs: plugins/engine/wal*.c tests/unit/mem_io.c */
#include <stdlib.h>
#include <string.h>

#include "sextant/sx_text.h"

#include "../../plugins/engine/wal_priv.h"
#include "../unit/mem_io.h"

#define MUST(x)                                                                                    \
    do {                                                                                           \
        if (!(x))                                                                                  \
            abort();                                                                               \
    } while (0)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void SX_PRINTF(4, 5) quiet(const struct sx_host *self SX_UNUSED,
                                  uint32_t level SX_UNUSED,
                                  const char *room SX_UNUSED,
                                  const char *fmt SX_UNUSED,
                                  ...)
{
}

struct seen {
    uint64_t count, last;
    uint32_t crc, pad;
};

static int replay(void *arg, const struct eng_wal_record *r, struct sx_err *err SX_UNUSED)
{
    struct seen *s = arg;

    MUST(s->last == 0 || r->number == s->last + 1);
    s->last = r->number;
    s->count++;
    s->crc = sx_crc32c(s->crc, &r->number, sizeof(r->number));
    s->crc = sx_crc32c(s->crc, r->body, r->n);
    return 0;
}

/* Gives a chain of records from `at` on numbers and checksums that are right. */
static void seal_records(uint32_t seed, uint64_t first, uint8_t *p, uint64_t n)
{
    uint64_t at = ENG_WAL_HEAD;

    while (at + sizeof(struct eng_wal_rec) <= n) {
        struct eng_wal_rec rec;
        uint64_t total;

        memcpy(&rec, p + at, sizeof(rec));
        rec.n &= 0x3ff; /* short bodies, so that there are several */
        total = sizeof(rec) + eng_wal_pad8(rec.n);
        if (rec.type == 0xffff || total > n - at)
            return;
        /* Numbers ascend unless the input asks for something else. */
        if (rec.peer % 16 != 15)
            rec.number = first++;
        rec.synced = rec.synced % 8 < rec.number ? rec.number - 1 - rec.synced % 8 : 0;
        memcpy(p + at, &rec, sizeof(rec));
        memset(p + at + sizeof(rec) + rec.n, 0, total - sizeof(rec) - rec.n);
        rec.crc = sx_crc32c(seed, p + at + 8, sizeof(rec) - 8 + rec.n);
        if (rec.token % 16 != 15)
            memcpy(p + at, &rec, sizeof(rec));
        at += total;
    }
}

static void put_segment(struct mem_io *d,
                        const struct eng_wal *like,
                        uint8_t how,
                        uint64_t first,
                        const uint8_t *data,
                        uint64_t n)
{
    uint64_t size = (how & 1 ? ENG_WAL_HEAD : 0) + n;
    struct sx_dir *dir = mem_io_root(d);
    struct sx_file_head head;
    struct eng_wal_page page;
    char name[ENG_WAL_NAME];
    struct sx_file *f = NULL;
    uint8_t *p = calloc(1, size + 1);

    MUST(p != NULL);
    if (n != 0)
        memcpy(p + (size - n), data, n);
    if (how & 1) {
        eng_wal_seg_head(like, first, first - 1, &head, &page);
        memcpy(p, &head, sizeof(head));
        memcpy(p + sizeof(head), &page, sizeof(page));
        if (how & 2)
            seal_records(eng_wal_seed(&head, first), first, p, size);
    }
    eng_wal_seg_name(first, name);
    MUST(mem_io_table()->open(dir, name, SX_IO_CREATE, &f, NULL) == 0);
    MUST(mem_io_table()->pwrite(f, p, size, 0, NULL) == 0);
    mem_io_table()->close(f);
    mem_io_table()->dir_close(dir);
    free(p);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct sx_host host = {.size = sizeof(host), .mem = sx_mem_libc(), .log = quiet};
    struct eng_wal like = {.id = {{1}, 2, 0, 3}}, *w = NULL;
    struct seen seen = {0}, again = {0};
    struct sx_err err = SX_ERR_INIT;
    struct sx_str part = {"0123456789", 10, 0};
    struct eng_wal_conf conf;
    struct mem_io *d;
    uint64_t calls, parts, last;
    uint8_t how;
    int rc;

    if (size == 0)
        return 0;
    how = data[0];
    data++;
    size--;
    parts = (how >> 2 & 3) + 1;
    d = mem_io_create();
    for (uint64_t i = 0; i < parts; i++)
        put_segment(d, &like, how, 1 + i * 4, data + size / parts * i, size / parts);
    conf = (struct eng_wal_conf){.host = &host,
                                 .io = mem_io_table(),
                                 .dir = mem_io_root(d),
                                 .id = like.id,
                                 .segment_bytes = 8192,
                                 .checkpoint = how >> 4};
    calls = mem_io_calls(d);
    rc = eng_wal_open(&conf, replay, &seen, &w, &err);
    if (rc != 0) {
        MUST(rc == SX_ECORRUPT && err.code == rc && err.msg[0] != 0);
        MUST(mem_io_calls(d) == calls); /* nothing was changed */
    } else {
        last = eng_wal_last(w);
        MUST(last == (seen.count != 0 ? seen.last : conf.checkpoint));
        for (uint32_t i = 1; i <= 3; i++)
            MUST(eng_wal_append(w, last + i, 7, 0, &part, 1, &err) == 0);
        MUST(eng_wal_sync(w, &err) == 0 && eng_wal_synced(w) == last + 3);
        eng_wal_close(w);
        MUST(eng_wal_open(&conf, replay, &again, &w, &err) == 0);
        MUST(again.last == last + 3 && again.count == seen.count + 3);
        for (uint64_t i = last + 1; i <= last + 3; i++) {
            seen.crc = sx_crc32c(seen.crc, &i, sizeof(i));
            seen.crc = sx_crc32c(seen.crc, part.p, part.n);
        }
        MUST(seen.crc == again.crc);
        eng_wal_close(w);
    }
    mem_io_table()->dir_close(conf.dir);
    mem_io_destroy(d);
    return 0;
}

/* What the suites of kinds rows and blobs share: a directory, waiting for a flush, damaging files.
 */
#ifndef SX_SUITES_SUITE_STORAGE_H
#define SX_SUITES_SUITE_STORAGE_H

#include "sextant/sx_storage.h"

#include "suite.h"

#define STORAGE_DATA_MAX (4u << 20)

struct storage {
    struct suite *s;
    const struct sx_io *io;
    const struct sx_epoch *epoch; /* may be NULL */
    struct sx_dir *top, *dir;
    struct sx_store_id id;
    const char *what; /* the step under test, for messages */
};

/* Opens report->dir and makes an empty directory in it; 0 when the suite cannot run (a note says
 * why). Ended by sx_storage__end(), which removes the directory. */
int sx_storage__begin(struct storage *st, struct suite *s, const char *dir);
void sx_storage__end(struct storage *st);
/* Empties the directory. */
void sx_storage__clear(struct storage *st);

void sx_storage__epoch(struct storage *st, uint32_t is_enter);

/* What a flush calls back with, and waiting for it (10 seconds at most). */
struct storage_flush {
    uint32_t is_done, pad;
    int rc;
    struct sx_err err;
};
int sx_storage__wait(struct storage *st, struct storage_flush *f);

/* Inverts one byte, cuts the file to `bytes`, removes it: 0 or the code. */
int sx_storage__flip(struct storage *st, const char *file, uint64_t at);
int sx_storage__cut(struct storage *st, const char *file, uint64_t bytes);
int sx_storage__remove(struct storage *st, const char *file);
/* CRC32C of the data bytes [from, to) (behind the head) as they lie in the file. */
int sx_storage__crc(
    struct storage *st, const char *file, uint64_t from, uint64_t to, uint32_t *out);

/* Checks that rc is SX_ECORRUPT and that the text names the file. */
void sx_storage__is_corrupt(struct storage *st, int rc, const struct sx_err *err, const char *file);

void sx_storage__fill(struct suite *s, uint8_t *p, uint64_t n); /* random bytes */

#endif

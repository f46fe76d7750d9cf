/* Small files that are read and replaced as a whole: aliases, quotas, a collection's configuration.
 *
 * Replacing writes "<name>.new", syncs it, renames it over the file and syncs the folder: a crash
 * leaves the old text or the new one. Threads: [blocking], and the main thread at start. */
#ifndef ENG_SMALL_FILE_H
#define ENG_SMALL_FILE_H

#include "engine.h"

/* Durable when it returns 0; else the old file is still there. */
int eng_small_file_replace(struct eng *e,
                           struct sx_dir *dir,
                           const char *name,
                           const void *p,
                           uint64_t n,
                           struct sx_err *err);
/* The text in the arena, a NUL behind it. ENOTFOUND, ECORRUPT when it is longer than `most`, EIO.
 */
int eng_small_file_read(struct eng *e,
                        struct sx_dir *dir,
                        const char *name,
                        uint64_t most,
                        struct sx_arena *arena,
                        struct sx_str *out,
                        struct sx_err *err);
/* Text as a document in the arena; ECORRUPT when it is not JSON. */
int eng_small_file_parse(struct eng *e,
                         const char *name,
                         struct sx_str text,
                         struct sx_arena *arena,
                         struct sx_doc *out,
                         struct sx_err *err);
/* An object that ends with a member "checksum" over the text before it. seal: text holds the object
 * without it, and gets it. sealed: 0, or ECORRUPT. */
void eng_small_file_seal(struct sx_buf *text);
int eng_small_file_sealed(const char *name, struct sx_str text, struct sx_err *err);

#endif

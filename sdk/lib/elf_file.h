/* Reading a shared file without running it: for the server's loader, before it hands the file to
 * the dynamic linker, and for sextant-plugin-check.
 *
 * ELF64 files of the machine we run on. The bytes are untrusted: every offset and length in them is
 * checked against their number before use, and strings are terminated inside their table or
 * ignored. Strings handed out lie in these bytes.
 *
 * Not installed: the arrow goes from kernel and sdk/check to here.
 * Threads: any; one structure at a time by one thread. */
#ifndef SX_LIB_ELF_FILE_H
#define SX_LIB_ELF_FILE_H

#include "sextant/sx_mem.h"

struct sx_elf {
    const uint8_t *p; /* the file's bytes */
    uint64_t n;
    const struct sx_mem *mem;
    uint32_t is_mapped, pad; /* p is ours */

    const char *section;       /* text of .sx_plugin, NULL when there is none */
    uint64_t init_bytes;       /* of .init_array: one entry is the compiler's own */
    uint64_t init_at, fini_at; /* .init_array and .fini_array, 0 when there is none */
    uint32_t has_ctors;        /* .ctors or .preinit_array */
    uint32_t has_tls, has_text_relocs, is_stack_executable, has_writable_code;
    uint32_t is_now, is_nodelete; /* -z now, -z nodelete */

    const char **needed, **exported, **imported; /* imported: strong undefined symbols */
    uint32_t n_needed, n_exported, n_imported, pad2;
};

/* Reads head, program headers and sections of the n bytes at p, which stay borrowed until
 * sx_elf_fini(). 0, SX_ENOMEM, or SX_ECORRUPT with what is wrong; then there is nothing to give
 * back. */
int sx_elf_init(
    struct sx_elf *f, const void *p, uint64_t n, const struct sx_mem *mem, struct sx_err *err);
/* The same for a file, which is mapped until then. Also SX_ENOTFOUND and SX_EIO. */
int sx_elf_open(struct sx_elf *f, const char *path, const struct sx_mem *mem, struct sx_err *err);
void sx_elf_fini(struct sx_elf *f);

/* Is all that the dynamic linker follows without looking (segments, dynamic section, names, hash
 * tables, versions, relocations, functions of start and end) where it can be followed? Code and
 * data are not judged. `symbol`, unless NULL, must be defined as an object of at least `size`
 * bytes. 0; SX_ENOTFOUND without such a symbol; SX_ECORRUPT with what is wrong. */
int sx_elf_check(const struct sx_elf *f, const char *symbol, uint64_t size, struct sx_err *err);

#endif

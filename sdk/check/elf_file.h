/* Reading a shared file without running it: what sextant-plugin-check wants to know of an ELF file.
 *
 * Native ELF64 only. The file is untrusted: every offset and length in it is checked against the
 * file's size before use, and strings are terminated inside their table or ignored. Strings handed
 * out lie in the mapped file and live until elf_file_close(). */
#ifndef CHECK_ELF_FILE_H
#define CHECK_ELF_FILE_H

#include "sextant/sx_base.h"

struct elf_file {
    const uint8_t *p;
    uint64_t n;

    const char *section; /* text of .sx_plugin, NULL when there is none */
    uint64_t init_bytes; /* of .init_array: one entry is the compiler's own */
    uint32_t has_ctors;  /* .ctors or .preinit_array */
    uint32_t has_tls, has_text_relocs, is_stack_executable, has_writable_code;
    uint32_t is_now, is_nodelete; /* -z now, -z nodelete */

    const char **needed, **exported, **imported; /* imported: strong undefined symbols */
    uint32_t n_needed, n_exported, n_imported, pad;
};

/* 0, SX_ENOTFOUND / SX_EIO, or SX_ECORRUPT with what is wrong. */
int elf_file_open(struct elf_file *f, const char *path, struct sx_err *err);
void elf_file_close(struct elf_file *f);

#endif

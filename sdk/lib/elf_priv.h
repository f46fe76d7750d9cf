/* What the files of the ELF reader share: the file as it will lie in memory. */
#ifndef SX_LIB_ELF_PRIV_H
#define SX_LIB_ELF_PRIV_H

#include <elf.h>

#include "elf_file.h"

#define SX_ELF_LOADS_MAX 32u

struct sx_elf_image {
    const struct sx_elf *f;
    Elf64_Ehdr head;
    Elf64_Phdr load[SX_ELF_LOADS_MAX]; /* ascending addresses */
    uint32_t n_load, has_tls;
    uint64_t dynamic, n_dynamic; /* address; entries before DT_NULL */
    const char *strings;         /* n_strings bytes, the last one a NUL */
    uint64_t n_strings;
    uint64_t symbols, n_symbols; /* address */
};

/* The bytes of the file that will lie at [at, at + n); NULL when they are not all from the file. */
const uint8_t *sx_elf__bytes(const struct sx_elf_image *m, uint64_t at, uint64_t n);
/* 1 when [at, at + n) is memory of one segment that has all of the PF_* bits. */
int sx_elf__is_memory(const struct sx_elf_image *m, uint64_t at, uint64_t n, uint32_t flags);
/* The value of a dynamic tag; 0 when it is missing. The last one counts. */
int sx_elf__tag(const struct sx_elf_image *m, int64_t tag, uint64_t *out);
/* The i-th symbol, i < n_symbols. */
Elf64_Sym sx_elf__symbol(const struct sx_elf_image *m, uint64_t i);
int sx_elf__bad(struct sx_err *err, const char *fmt, ...) SX_PRINTF(2, 3);

/* elf_names.c: symbols, their hash tables and versions. Sets n_symbols. */
int sx_elf__check_names(struct sx_elf_image *m, struct sx_err *err);
int sx_elf__check_versions(const struct sx_elf_image *m, struct sx_err *err);
/* elf_reloc.c: what relocating writes, and what runs on loading. */
int sx_elf__check_relocs(const struct sx_elf_image *m, struct sx_err *err);

#endif

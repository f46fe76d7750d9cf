/* The bounds-checked ELF reader of sextant-plugin-check. */
#include "elf_file.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTION_TEXT_MAX 1024u
#define ENTRIES_MAX      1000000u /* symbols or dynamic entries; more is no module */

#if defined(__x86_64__)
#define NATIVE_MACHINE EM_X86_64
#elif defined(__aarch64__)
#define NATIVE_MACHINE EM_AARCH64
#elif defined(__riscv)
#define NATIVE_MACHINE EM_RISCV
#else
#define NATIVE_MACHINE EM_NONE
#endif

#if __BYTE_ORDER__ == __ORDER_LITTLE_ENDIAN__
#define NATIVE_DATA ELFDATA2LSB
#else
#define NATIVE_DATA ELFDATA2MSB
#endif

static int is_inside(const struct elf_file *f, uint64_t off, uint64_t n)
{
    return off <= f->n && n <= f->n - off;
}

/* Copies a structure out of the file (it may lie unaligned); 0 when it is not inside. */
static int get(const struct elf_file *f, uint64_t off, void *out, uint64_t n)
{
    if (!is_inside(f, off, n))
        return 0;
    memcpy(out, f->p + off, n);
    return 1;
}

/* The string at `index` of a string table, NULL when it does not end inside the table. */
static const char *string_at(const struct elf_file *f, const Elf64_Shdr *table, uint64_t index)
{
    if (table->sh_type != SHT_STRTAB || index >= table->sh_size ||
        !is_inside(f, table->sh_offset, table->sh_size))
        return NULL;
    const uint8_t *s = f->p + table->sh_offset + index;
    return memchr(s, 0, table->sh_size - index) != NULL ? (const char *)s : NULL;
}

static int section_get(const struct elf_file *f, const Elf64_Ehdr *e, uint64_t i, Elf64_Shdr *out)
{
    return i < e->e_shnum && get(f, e->e_shoff + i * sizeof(*out), out, sizeof(*out));
}

/* Appends to a list of at most `max` strings. */
static void list_add(const char **list, uint32_t *n, uint32_t max, const char *s)
{
    if (s != NULL && s[0] != '\0' && *n < max)
        list[(*n)++] = s;
}

static int
read_symbols(struct elf_file *f, const Elf64_Ehdr *e, const Elf64_Shdr *s, struct sx_err *err)
{
    Elf64_Shdr strings;
    uint64_t n = s->sh_size / sizeof(Elf64_Sym);
    if (n > ENTRIES_MAX || !is_inside(f, s->sh_offset, s->sh_size) ||
        !section_get(f, e, s->sh_link, &strings))
        return sx_err_set(err, SX_ECORRUPT, "the symbol table lies outside the file");
    if (f->exported != NULL)
        return sx_err_set(err, SX_ECORRUPT, "two tables of dynamic symbols");
    f->exported = calloc(n + 1, sizeof(*f->exported));
    f->imported = calloc(n + 1, sizeof(*f->imported));
    if (f->exported == NULL || f->imported == NULL)
        return sx_err_set(err, SX_ENOMEM, "no memory for %llu symbols", (unsigned long long)n);
    for (uint64_t i = 1; i < n; i++) { /* entry 0 is empty by definition */
        Elf64_Sym sym;
        memcpy(&sym, f->p + s->sh_offset + i * sizeof(sym), sizeof(sym));
        uint32_t bind = ELF64_ST_BIND(sym.st_info);
        const char *name = string_at(f, &strings, sym.st_name);
        if (sym.st_shndx != SHN_UNDEF && bind != STB_LOCAL)
            list_add(f->exported, &f->n_exported, (uint32_t)n, name);
        else if (sym.st_shndx == SHN_UNDEF && bind == STB_GLOBAL)
            list_add(f->imported, &f->n_imported, (uint32_t)n, name);
    }
    return SX_OK;
}

static int
read_dynamic(struct elf_file *f, const Elf64_Ehdr *e, const Elf64_Shdr *s, struct sx_err *err)
{
    Elf64_Shdr strings;
    uint64_t n = s->sh_size / sizeof(Elf64_Dyn);
    if (n > ENTRIES_MAX || !is_inside(f, s->sh_offset, s->sh_size) ||
        !section_get(f, e, s->sh_link, &strings))
        return sx_err_set(err, SX_ECORRUPT, "the dynamic section lies outside the file");
    if (f->needed != NULL)
        return sx_err_set(err, SX_ECORRUPT, "two dynamic sections");
    f->needed = calloc(n + 1, sizeof(*f->needed));
    if (f->needed == NULL)
        return sx_err_set(err, SX_ENOMEM, "no memory for %llu entries", (unsigned long long)n);
    for (uint64_t i = 0; i < n; i++) {
        Elf64_Dyn d;
        memcpy(&d, f->p + s->sh_offset + i * sizeof(d), sizeof(d));
        if (d.d_tag == DT_NULL)
            break;
        if (d.d_tag == DT_NEEDED)
            list_add(f->needed, &f->n_needed, (uint32_t)n, string_at(f, &strings, d.d_un.d_val));
        else if (d.d_tag == DT_INIT_ARRAYSZ && d.d_un.d_val > f->init_bytes)
            f->init_bytes = d.d_un.d_val;
        else if (d.d_tag == DT_PREINIT_ARRAY)
            f->has_ctors = 1;
        else if (d.d_tag == DT_TEXTREL || (d.d_tag == DT_FLAGS && (d.d_un.d_val & DF_TEXTREL) != 0))
            f->has_text_relocs = 1;
        if (d.d_tag == DT_BIND_NOW || (d.d_tag == DT_FLAGS && (d.d_un.d_val & DF_BIND_NOW) != 0) ||
            (d.d_tag == DT_FLAGS_1 && (d.d_un.d_val & DF_1_NOW) != 0))
            f->is_now = 1;
        if (d.d_tag == DT_FLAGS_1 && (d.d_un.d_val & DF_1_NODELETE) != 0)
            f->is_nodelete = 1;
    }
    return SX_OK;
}

static void read_text(struct elf_file *f, const Elf64_Shdr *s)
{
    if (s->sh_type == SHT_NOBITS || s->sh_size > SECTION_TEXT_MAX ||
        !is_inside(f, s->sh_offset, s->sh_size))
        return;
    const uint8_t *p = f->p + s->sh_offset;
    if (memchr(p, 0, s->sh_size) != NULL)
        f->section = (const char *)p;
}

static int read_sections(struct elf_file *f, const Elf64_Ehdr *e, struct sx_err *err)
{
    Elf64_Shdr names;
    if (e->e_shentsize != sizeof(Elf64_Shdr) || !section_get(f, e, e->e_shstrndx, &names))
        return sx_err_set(err, SX_ECORRUPT, "the section table lies outside the file");
    for (uint64_t i = 0; i < e->e_shnum; i++) {
        Elf64_Shdr s;
        int rc = SX_OK;
        if (!section_get(f, e, i, &s))
            return sx_err_set(err, SX_ECORRUPT, "the section table lies outside the file");
        const char *name = string_at(f, &names, s.sh_name);
        if (s.sh_type == SHT_DYNSYM)
            rc = read_symbols(f, e, &s, err);
        else if (s.sh_type == SHT_DYNAMIC)
            rc = read_dynamic(f, e, &s, err);
        else if (s.sh_type == SHT_INIT_ARRAY && s.sh_size > f->init_bytes)
            f->init_bytes = s.sh_size;
        if (rc != 0)
            return rc;
        if (name != NULL && strcmp(name, ".sx_plugin") == 0)
            read_text(f, &s);
        if (name != NULL && (strcmp(name, ".ctors") == 0 || s.sh_type == SHT_PREINIT_ARRAY))
            f->has_ctors = 1;
    }
    return SX_OK;
}

static int read_segments(struct elf_file *f, const Elf64_Ehdr *e, struct sx_err *err)
{
    if (e->e_phentsize != sizeof(Elf64_Phdr))
        return sx_err_set(err, SX_ECORRUPT, "program headers of %u bytes", e->e_phentsize);
    for (uint64_t i = 0; i < e->e_phnum; i++) {
        Elf64_Phdr h;
        if (!get(f, e->e_phoff + i * sizeof(h), &h, sizeof(h)))
            return sx_err_set(err, SX_ECORRUPT, "the program headers lie outside the file");
        if (h.p_type == PT_TLS && h.p_memsz > 0)
            f->has_tls = 1;
        if (h.p_type == PT_GNU_STACK && (h.p_flags & PF_X) != 0)
            f->is_stack_executable = 1;
        if (h.p_type == PT_LOAD && (h.p_flags & (PF_W | PF_X)) == (PF_W | PF_X))
            f->has_writable_code = 1;
    }
    return SX_OK;
}

static int read_all(struct elf_file *f, struct sx_err *err)
{
    Elf64_Ehdr e;
    if (!get(f, 0, &e, sizeof(e)) || memcmp(e.e_ident, ELFMAG, SELFMAG) != 0)
        return sx_err_set(err, SX_ECORRUPT, "not an ELF file");
    if (e.e_ident[EI_CLASS] != ELFCLASS64 || e.e_ident[EI_DATA] != NATIVE_DATA ||
        e.e_machine != NATIVE_MACHINE || e.e_type != ET_DYN)
        return sx_err_set(err, SX_ECORRUPT, "not a 64-bit shared file of this machine");
    /* Offsets near the top of the number range must not wrap when an entry's place is added. */
    if (e.e_shoff > f->n || e.e_phoff > f->n)
        return sx_err_set(err, SX_ECORRUPT, "the file is cut short");
    int rc = read_segments(f, &e, err);
    return rc != 0 ? rc : read_sections(f, &e, err);
}

int elf_file_open(struct elf_file *f, const char *path, struct sx_err *err)
{
    struct stat st;
    *f = (struct elf_file){0};
    int fd = open(path, O_RDONLY | O_CLOEXEC);
    if (fd < 0 || fstat(fd, &st) != 0) {
        int code = errno == ENOENT ? SX_ENOTFOUND : SX_EIO;
        sx_err_set(err, code, "cannot be opened");
        if (fd >= 0)
            close(fd);
        return code;
    }
    if (!S_ISREG(st.st_mode) || st.st_size == 0) {
        close(fd);
        return sx_err_set(err, SX_ECORRUPT, "not a regular file, or empty");
    }
    void *p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0);
    close(fd);
    if (p == MAP_FAILED)
        return sx_err_set(err, SX_EIO, "cannot be read");
    f->p = p;
    f->n = (uint64_t)st.st_size;
    int rc = read_all(f, err);
    if (rc != 0)
        elf_file_close(f);
    return rc;
}

void elf_file_close(struct elf_file *f)
{
    if (f->p != NULL)
        munmap((void *)(uintptr_t)f->p, f->n);
    free(f->needed);
    free(f->exported);
    free(f->imported);
    *f = (struct elf_file){0};
}

/* Head, program headers and sections: the facts of a shared file. */
#include "elf_file.h"

#include <elf.h>
#include <errno.h>
#include <fcntl.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#define SECTION_TEXT_MAX 1024u
#define ENTRIES_MAX      1000000u /* symbols or dynamic entries; more is no module */

/* The head of the program or library that this is part of: the linker makes the symbol. So "this
 * machine" needs no list of machines. */
extern const Elf64_Ehdr __ehdr_start __attribute__((weak, visibility("hidden")));

static int is_inside(const struct sx_elf *f, uint64_t off, uint64_t n)
{
    return off <= f->n && n <= f->n - off;
}

/* Copies a structure out of the file (it may lie unaligned); 0 when it is not inside. */
static int get(const struct sx_elf *f, uint64_t off, void *out, uint64_t n)
{
    if (!is_inside(f, off, n))
        return 0;
    memcpy(out, f->p + off, n);
    return 1;
}

/* The string at `index` of a string table, NULL when it does not end inside the table. */
static const char *string_at(const struct sx_elf *f, const Elf64_Shdr *table, uint64_t index)
{
    if (table->sh_type != SHT_STRTAB || index >= table->sh_size ||
        !is_inside(f, table->sh_offset, table->sh_size))
        return NULL;
    const uint8_t *s = f->p + table->sh_offset + index;
    return memchr(s, 0, table->sh_size - index) != NULL ? (const char *)s : NULL;
}

static int section_get(const struct sx_elf *f, const Elf64_Ehdr *e, uint64_t i, Elf64_Shdr *out)
{
    return i < e->e_shnum && get(f, e->e_shoff + i * sizeof(*out), out, sizeof(*out));
}

/* --- lists ------------------------------------------------------------------------------------ */

static const char **list_new(const struct sx_elf *f, uint64_t n)
{
    return f->mem->zalloc(f->mem, (n + 1) * sizeof(const char *));
}

/* Appends to a list of at most `max` strings. */
static void list_add(const char **list, uint32_t *n, uint32_t max, const char *s)
{
    if (s != NULL && s[0] != '\0' && *n < max)
        list[(*n)++] = s;
}

static int
read_symbols(struct sx_elf *f, const Elf64_Ehdr *e, const Elf64_Shdr *s, struct sx_err *err)
{
    Elf64_Shdr strings;
    uint64_t n = s->sh_size / sizeof(Elf64_Sym);
    if (n > ENTRIES_MAX || !is_inside(f, s->sh_offset, s->sh_size) ||
        !section_get(f, e, s->sh_link, &strings))
        return sx_err_set(err, SX_ECORRUPT, "the symbol table lies outside the file");
    if (f->exported != NULL)
        return sx_err_set(err, SX_ECORRUPT, "two tables of dynamic symbols");
    f->exported = list_new(f, n);
    f->imported = list_new(f, n);
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
read_dynamic(struct sx_elf *f, const Elf64_Ehdr *e, const Elf64_Shdr *s, struct sx_err *err)
{
    Elf64_Shdr strings;
    uint64_t n = s->sh_size / sizeof(Elf64_Dyn);
    if (n > ENTRIES_MAX || !is_inside(f, s->sh_offset, s->sh_size) ||
        !section_get(f, e, s->sh_link, &strings))
        return sx_err_set(err, SX_ECORRUPT, "the dynamic section lies outside the file");
    if (f->needed != NULL)
        return sx_err_set(err, SX_ECORRUPT, "two dynamic sections");
    f->needed = list_new(f, n);
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

/* --- the tables of the file ------------------------------------------------------------------- */

static void read_text(struct sx_elf *f, const Elf64_Shdr *s)
{
    if (s->sh_type == SHT_NOBITS || s->sh_size > SECTION_TEXT_MAX)
        return;
    const uint8_t *p = f->p + s->sh_offset;
    if (memchr(p, 0, s->sh_size) != NULL)
        f->section = (const char *)p;
}

static int read_sections(struct sx_elf *f, const Elf64_Ehdr *e, struct sx_err *err)
{
    Elf64_Shdr names;
    if (e->e_shentsize != sizeof(Elf64_Shdr) || !section_get(f, e, e->e_shstrndx, &names))
        return sx_err_set(err, SX_ECORRUPT, "the section table lies outside the file");
    for (uint64_t i = 0; i < e->e_shnum; i++) {
        Elf64_Shdr s;
        int rc = SX_OK;
        if (!section_get(f, e, i, &s))
            return sx_err_set(err, SX_ECORRUPT, "the section table lies outside the file");
        if (s.sh_type != SHT_NULL && s.sh_type != SHT_NOBITS &&
            !is_inside(f, s.sh_offset, s.sh_size))
            return sx_err_set(err, SX_ECORRUPT, "section %u lies outside the file", (unsigned)i);
        const char *name = string_at(f, &names, s.sh_name);
        if (s.sh_type == SHT_DYNSYM)
            rc = read_symbols(f, e, &s, err);
        else if (s.sh_type == SHT_DYNAMIC)
            rc = read_dynamic(f, e, &s, err);
        else if (s.sh_type == SHT_INIT_ARRAY && s.sh_size > f->init_bytes)
            f->init_bytes = s.sh_size;
        if (rc != 0)
            return rc;
        if (s.sh_type == SHT_INIT_ARRAY)
            f->init_at = s.sh_addr;
        if (s.sh_type == SHT_FINI_ARRAY)
            f->fini_at = s.sh_addr;
        if (name != NULL && strcmp(name, ".sx_plugin") == 0)
            read_text(f, &s);
        if (name != NULL && (strcmp(name, ".ctors") == 0 || s.sh_type == SHT_PREINIT_ARRAY))
            f->has_ctors = 1;
    }
    return SX_OK;
}

static int read_segments(struct sx_elf *f, const Elf64_Ehdr *e, struct sx_err *err)
{
    if (e->e_phentsize != sizeof(Elf64_Phdr))
        return sx_err_set(err, SX_ECORRUPT, "program headers of %u bytes", e->e_phentsize);
    for (uint64_t i = 0; i < e->e_phnum; i++) {
        Elf64_Phdr h;
        if (!get(f, e->e_phoff + i * sizeof(h), &h, sizeof(h)))
            return sx_err_set(err, SX_ECORRUPT, "the program headers lie outside the file");
        /* What becomes read-only is given in pages, of which the last need not be in the file. */
        if (h.p_type != PT_GNU_RELRO && !is_inside(f, h.p_offset, h.p_filesz))
            return sx_err_set(err, SX_ECORRUPT, "segment %u lies outside the file", (unsigned)i);
        if (h.p_type == PT_TLS && h.p_memsz > 0)
            f->has_tls = 1;
        if (h.p_type == PT_GNU_STACK && (h.p_flags & PF_X) != 0)
            f->is_stack_executable = 1;
        if (h.p_type == PT_LOAD && (h.p_flags & (PF_W | PF_X)) == (PF_W | PF_X))
            f->has_writable_code = 1;
    }
    return SX_OK;
}

static int check_head(const struct sx_elf *f, const Elf64_Ehdr *e, struct sx_err *err)
{
    const Elf64_Ehdr *own = &__ehdr_start;

    if (memcmp(e->e_ident, ELFMAG, SELFMAG) != 0)
        return sx_err_set(err, SX_ECORRUPT, "not an ELF file");
    if (e->e_ident[EI_CLASS] != ELFCLASS64)
        return sx_err_set(err, SX_ECORRUPT, "not a 64-bit file (ELF class %u)",
                          e->e_ident[EI_CLASS]);
    if (own != NULL &&
        (e->e_ident[EI_DATA] != own->e_ident[EI_DATA] || e->e_machine != own->e_machine))
        return sx_err_set(err, SX_ECORRUPT, "for machine %u, this is machine %u",
                          (unsigned)e->e_machine, (unsigned)own->e_machine);
    if (e->e_type != ET_DYN)
        return sx_err_set(err, SX_ECORRUPT, "not a shared file (ELF type %u)", (unsigned)e->e_type);
    /* Offsets near the top of the number range must not wrap when an entry's place is added. */
    if (e->e_shoff > f->n || e->e_phoff > f->n)
        return sx_err_set(err, SX_ECORRUPT, "the file is cut short");
    return SX_OK;
}

int sx_elf_init(
    struct sx_elf *f, const void *p, uint64_t n, const struct sx_mem *mem, struct sx_err *err)
{
    Elf64_Ehdr e;
    int rc;

    *f = (struct sx_elf){.p = p, .n = n, .mem = mem};
    if (!get(f, 0, &e, sizeof(e)))
        return sx_err_set(err, SX_ECORRUPT, "too short for an ELF file (%llu bytes)",
                          (unsigned long long)n);
    rc = check_head(f, &e, err);
    if (rc == SX_OK)
        rc = read_segments(f, &e, err);
    if (rc == SX_OK)
        rc = read_sections(f, &e, err);
    if (rc != SX_OK)
        sx_elf_fini(f);
    return rc;
}

int sx_elf_open(struct sx_elf *f, const char *path, const struct sx_mem *mem, struct sx_err *err)
{
    int fd = open(path, O_RDONLY | O_CLOEXEC | O_NONBLOCK),
        rc = SX_OK; /* a fifo is not waited for */
    struct stat st;
    void *p = NULL;

    *f = (struct sx_elf){0};
    if (fd < 0)
        return sx_err_set(err, errno == ENOENT ? SX_ENOTFOUND : SX_EIO, "cannot be opened: %s",
                          strerror(errno));
    if (fstat(fd, &st) != 0 || !S_ISREG(st.st_mode))
        rc = sx_err_set(err, SX_ECORRUPT, "not a regular file");
    else if (st.st_size == 0)
        rc = sx_err_set(err, SX_ECORRUPT, "too short for an ELF file (0 bytes)");
    else if ((p = mmap(NULL, (size_t)st.st_size, PROT_READ, MAP_PRIVATE, fd, 0)) == MAP_FAILED)
        rc = sx_err_set(err, SX_EIO, "cannot be read: %s", strerror(errno));
    (void)close(fd);
    if (rc != SX_OK)
        return rc;
    rc = sx_elf_init(f, p, (uint64_t)st.st_size, mem, err);
    if (rc == SX_OK)
        f->is_mapped = 1;
    else
        (void)munmap(p, (size_t)st.st_size);
    return rc;
}

void sx_elf_fini(struct sx_elf *f)
{
    if (f->mem != NULL) {
        f->mem->release(f->mem, f->needed);
        f->mem->release(f->mem, f->exported);
        f->mem->release(f->mem, f->imported);
    }
    if (f->is_mapped)
        (void)munmap((void *)(uintptr_t)f->p, f->n);
    *f = (struct sx_elf){0};
}

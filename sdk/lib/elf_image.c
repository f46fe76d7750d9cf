/* A shared file as the dynamic linker will lay it out: segments and the dynamic section.
 *
 * The dynamic linker believes what it reads: it maps what the program headers promise and dies of
 * what is not there, and it follows every address and number of the dynamic section. So each is
 * held against the segments here, in the order in which later ones rely on earlier ones. Sections,
 * which only tools read, play no part. */
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "elf_priv.h"

#define PAGE         4096ull /* the smallest there is */
#define SPAN_MAX     (1ull << 32)
#define ADDRESS_MAX  (1ull << 47)
#define TLS_MAX      (16ull << 20)
#define DYNAMIC_MAX  4096u /* entries */
#define GNU_PROPERTY 0x6474e553u

int sx_elf__bad(struct sx_err *err, const char *fmt, ...)
{
    char text[200];
    va_list ap;

    va_start(ap, fmt);
    (void)vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    return sx_err_set(err, SX_ECORRUPT, "damaged file: %s", text);
}

/* --- addresses -------------------------------------------------------------------------------- */

const uint8_t *sx_elf__bytes(const struct sx_elf_image *m, uint64_t at, uint64_t n)
{
    for (uint32_t i = 0; i < m->n_load; i++) {
        const Elf64_Phdr *h = &m->load[i];

        if (at >= h->p_vaddr && at - h->p_vaddr <= h->p_filesz &&
            n <= h->p_filesz - (at - h->p_vaddr))
            return m->f->p + h->p_offset + (at - h->p_vaddr);
    }
    return NULL;
}

int sx_elf__is_memory(const struct sx_elf_image *m, uint64_t at, uint64_t n, uint32_t flags)
{
    for (uint32_t i = 0; i < m->n_load; i++) {
        const Elf64_Phdr *h = &m->load[i];

        if (at >= h->p_vaddr && at - h->p_vaddr <= h->p_memsz &&
            n <= h->p_memsz - (at - h->p_vaddr))
            return (h->p_flags & flags) == flags;
    }
    return 0;
}

static Elf64_Phdr header_at(const struct sx_elf_image *m, uint32_t i)
{
    Elf64_Phdr h;

    memcpy(&h, m->f->p + m->head.e_phoff + i * sizeof(h), sizeof(h));
    return h;
}

static uint64_t round_up(uint64_t n, uint64_t to)
{
    return (n + to - 1) & ~(to - 1);
}

/* --- segments --------------------------------------------------------------------------------- */

static int add_load(struct sx_elf_image *m, const Elf64_Phdr *h, uint32_t i, struct sx_err *err)
{
    const Elf64_Phdr *before = m->n_load != 0 ? &m->load[m->n_load - 1] : NULL;

    /* What is more in memory than in the file is zeroed: not where nobody may write. */
    if (h->p_filesz > h->p_memsz || h->p_vaddr > ADDRESS_MAX || h->p_memsz > SPAN_MAX ||
        (h->p_filesz != h->p_memsz && (h->p_flags & PF_W) == 0))
        return sx_elf__bad(err, "segment %u has impossible sizes", i);
    if (h->p_align % PAGE != 0 || (h->p_align & (h->p_align - 1)) != 0 ||
        ((h->p_vaddr - h->p_offset) & (h->p_align - 1)) != 0)
        return sx_elf__bad(err, "segment %u is not aligned", i);
    if (m->n_load == SX_ELF_LOADS_MAX)
        return sx_elf__bad(err, "more than %u segments to load", SX_ELF_LOADS_MAX);
    if (before != NULL &&
        (h->p_vaddr & ~(PAGE - 1)) < round_up(before->p_vaddr + before->p_memsz, PAGE))
        return sx_elf__bad(err, "segment %u lies over the one before", i);
    if (h->p_vaddr + h->p_memsz - (before != NULL ? m->load[0].p_vaddr : h->p_vaddr) > SPAN_MAX)
        return sx_elf__bad(err, "segment %u lies too far from the first", i);
    m->load[m->n_load++] = *h;
    return SX_OK;
}

/* Notes are read up to the ends they state themselves, but only where they are 8-aligned. */
static int are_notes_sound(const struct sx_elf_image *m, const Elf64_Phdr *h)
{
    const uint8_t *p = sx_elf__bytes(m, h->p_vaddr, h->p_filesz);
    uint64_t at = 0, n;
    Elf64_Nhdr note;

    if (p == NULL || h->p_memsz > h->p_filesz)
        return 0;
    while (h->p_align == 8 && h->p_filesz - at > sizeof(note)) {
        memcpy(&note, p + at, sizeof(note));
        n = round_up(sizeof(note) + (uint64_t)note.n_namesz, 8) + note.n_descsz;
        if (n > h->p_filesz - at)
            return 0;
        n = round_up(n, 8);
        at += n < h->p_filesz - at ? n : h->p_filesz - at;
    }
    return 1;
}

static int is_tls_sound(const struct sx_elf_image *m, const Elf64_Phdr *h)
{
    return h->p_filesz <= h->p_memsz && h->p_memsz <= TLS_MAX &&
           (h->p_align & (h->p_align - 1)) == 0 && h->p_align <= PAGE &&
           (h->p_filesz == 0 || sx_elf__bytes(m, h->p_vaddr, h->p_filesz) != NULL);
}

/* What is made read-only after relocating: pages of one writable segment. */
static int is_relro_sound(const struct sx_elf_image *m, const Elf64_Phdr *h)
{
    for (uint32_t i = 0; i < m->n_load; i++) {
        const Elf64_Phdr *l = &m->load[i];

        if ((l->p_flags & PF_W) != 0 && h->p_vaddr >= l->p_vaddr && h->p_memsz <= SPAN_MAX &&
            h->p_vaddr <= ADDRESS_MAX &&
            h->p_vaddr + h->p_memsz <= round_up(l->p_vaddr + l->p_memsz, l->p_align))
            return 1;
    }
    return 0;
}

/* Segments that say where in the loaded ones something lies. */
static int check_inner(struct sx_elf_image *m, const Elf64_Phdr *h, uint32_t i, struct sx_err *err)
{
    int ok = 1;

    switch (h->p_type) {
    case PT_NOTE:
    case GNU_PROPERTY:
        ok = are_notes_sound(m, h);
        break;
    case PT_TLS:
        m->has_tls = h->p_memsz != 0;
        ok = is_tls_sound(m, h);
        break;
    case PT_GNU_RELRO:
        ok = is_relro_sound(m, h);
        break;
    case PT_PHDR:
        ok = sx_elf__bytes(m, h->p_vaddr, (uint64_t)m->head.e_phnum * sizeof(*h)) ==
             m->f->p + m->head.e_phoff;
        break;
    case PT_GNU_EH_FRAME:
        ok = h->p_filesz >= 4 && sx_elf__bytes(m, h->p_vaddr, h->p_filesz) != NULL;
        break;
    case PT_DYNAMIC:
        m->dynamic = h->p_vaddr;
        /* Addresses are put into it where it says that it may be written. */
        ok = h->p_vaddr % 8 == 0 &&
             sx_elf__is_memory(m, h->p_vaddr, h->p_memsz, PF_R | (h->p_flags & PF_W));
        break;
    default:
        break;
    }
    return ok ? SX_OK : sx_elf__bad(err, "segment %u does not lie where it says", i);
}

static int read_segments(struct sx_elf_image *m, struct sx_err *err)
{
    int rc = SX_OK;

    for (uint32_t i = 0; rc == SX_OK && i < m->head.e_phnum; i++) {
        Elf64_Phdr h = header_at(m, i);

        if (h.p_type == PT_LOAD)
            rc = add_load(m, &h, i, err);
    }
    if (rc == SX_OK && m->n_load == 0)
        return sx_elf__bad(err, "nothing to load");
    for (uint32_t i = 0; rc == SX_OK && i < m->head.e_phnum; i++) {
        Elf64_Phdr h = header_at(m, i);

        rc = check_inner(m, &h, i, err);
    }
    return rc;
}

/* --- the dynamic section ---------------------------------------------------------------------- */

static Elf64_Dyn entry_at(const struct sx_elf_image *m, uint64_t i)
{
    Elf64_Dyn d;

    memcpy(&d, sx_elf__bytes(m, m->dynamic + i * sizeof(d), sizeof(d)), sizeof(d));
    return d;
}

/* The list ends with DT_NULL; nothing else ends it. */
static int count_dynamic(struct sx_elf_image *m, struct sx_err *err)
{
    if (m->dynamic == 0)
        return sx_elf__bad(err, "no dynamic section");
    while (m->n_dynamic < DYNAMIC_MAX &&
           sx_elf__bytes(m, m->dynamic, (m->n_dynamic + 1) * sizeof(Elf64_Dyn)) != NULL) {
        if (entry_at(m, m->n_dynamic).d_tag == DT_NULL)
            return SX_OK;
        m->n_dynamic++;
    }
    return sx_elf__bad(err, "the dynamic section has no end");
}

int sx_elf__tag(const struct sx_elf_image *m, int64_t tag, uint64_t *out)
{
    int found = 0;

    for (uint64_t i = 0; i < m->n_dynamic; i++) {
        Elf64_Dyn d = entry_at(m, i);

        if (d.d_tag == tag) {
            *out = d.d_un.d_val;
            found = 1;
        }
    }
    return found;
}

/* The table of names, and the entries that point into it. */
static int check_strings(struct sx_elf_image *m, struct sx_err *err)
{
    uint64_t at, n;
    const uint8_t *p;

    if (!sx_elf__tag(m, DT_STRTAB, &at) || !sx_elf__tag(m, DT_STRSZ, &n))
        return sx_elf__bad(err, "no table of names");
    p = n != 0 ? sx_elf__bytes(m, at, n) : NULL;
    if (p == NULL || p[n - 1] != 0)
        return sx_elf__bad(err, "the table of names does not lie where it says");
    m->strings = (const char *)p;
    m->n_strings = n;
    for (uint64_t i = 0; i < m->n_dynamic; i++) {
        Elf64_Dyn d = entry_at(m, i);

        if ((d.d_tag == DT_NEEDED || d.d_tag == DT_SONAME || d.d_tag == DT_RPATH ||
             d.d_tag == DT_RUNPATH || d.d_tag == DT_AUXILIARY || d.d_tag == DT_FILTER ||
             d.d_tag == DT_AUDIT || d.d_tag == DT_DEPAUDIT) &&
            d.d_un.d_val >= n)
            return sx_elf__bad(err, "a library's name lies outside the table of names");
    }
    return SX_OK;
}

/* --- all of it -------------------------------------------------------------------------------- */

static int
find_symbol(const struct sx_elf_image *m, const char *name, uint64_t size, struct sx_err *err)
{
    for (uint64_t i = 1; i < m->n_symbols; i++) {
        Elf64_Sym s = sx_elf__symbol(m, i);

        if (s.st_shndx == SHN_UNDEF || ELF64_ST_BIND(s.st_info) == STB_LOCAL ||
            strcmp(m->strings + s.st_name, name) != 0)
            continue;
        if (ELF64_ST_TYPE(s.st_info) != STT_OBJECT || s.st_shndx >= SHN_LORESERVE ||
            s.st_size < size || !sx_elf__is_memory(m, s.st_value, s.st_size, PF_R))
            return sx_elf__bad(err, "symbol '%.80s' is no object of the file", name);
        return SX_OK;
    }
    return sx_err_set(err, SX_ENOTFOUND, "no symbol '%.100s'", name);
}

int sx_elf_check(const struct sx_elf *f, const char *symbol, uint64_t size, struct sx_err *err)
{
    struct sx_elf_image m = {.f = f};
    int rc;

    memcpy(&m.head, f->p, sizeof(m.head));
    rc = read_segments(&m, err);
    if (rc == SX_OK)
        rc = count_dynamic(&m, err);
    if (rc == SX_OK)
        rc = check_strings(&m, err);
    if (rc == SX_OK)
        rc = sx_elf__check_names(&m, err);
    if (rc == SX_OK)
        rc = sx_elf__check_versions(&m, err);
    if (rc == SX_OK)
        rc = sx_elf__check_relocs(&m, err);
    return rc == SX_OK && symbol != NULL ? find_symbol(&m, symbol, size, err) : rc;
}

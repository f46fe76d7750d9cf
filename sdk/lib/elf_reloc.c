/* What loading a shared file does to its memory: relocations, which must write into its writable
 * segments and not over the tables that are still being read, and the functions that run at start
 * and end, which must lie in code.
 *
 * Shared files have few kinds of relocations: an address of the file itself, that of a symbol, and
 * those of thread-local storage. On a machine whose kinds are not known here each is taken as a
 * write of eight bytes. */
#include <string.h>

#include "elf_priv.h"

#if defined(__x86_64__)
#define R_RELATIVE  R_X86_64_RELATIVE
#define R_IRELATIVE R_X86_64_IRELATIVE
#define R_TLSDESC   R_X86_64_TLSDESC
#define IS_GOT(t)   ((t) == R_X86_64_GLOB_DAT || (t) == R_X86_64_JUMP_SLOT)
#define IS_NAMED(t) (IS_GOT(t) || (t) == R_X86_64_64)
#define IS_TLS(t)                                                                                  \
    ((t) == R_X86_64_DTPMOD64 || (t) == R_X86_64_DTPOFF64 || (t) == R_X86_64_TPOFF64 ||            \
     (t) == R_TLSDESC)
#elif defined(__aarch64__)
#define R_RELATIVE  R_AARCH64_RELATIVE
#define R_IRELATIVE R_AARCH64_IRELATIVE
#define R_TLSDESC   R_AARCH64_TLSDESC
#define IS_GOT(t)   ((t) == R_AARCH64_GLOB_DAT || (t) == R_AARCH64_JUMP_SLOT)
#define IS_NAMED(t) (IS_GOT(t) || (t) == R_AARCH64_ABS64)
#define IS_TLS(t)   ((t) >= R_AARCH64_TLS_DTPMOD && (t) <= R_TLSDESC)
#else
#define R_RELATIVE  UINT32_MAX
#define R_IRELATIVE UINT32_MAX
#define R_TLSDESC   UINT32_MAX
#define IS_GOT(t)   0
#define IS_NAMED(t) 0
#define IS_TLS(t)   0
#endif
#define IS_KNOWN (R_RELATIVE != UINT32_MAX) /* the machine */
#ifndef DT_RELRSZ
#define DT_RELRSZ  35
#define DT_RELR    36
#define DT_RELRENT 37
#endif

/* An array of functions, and how many of its entries relocations fill. */
struct calls {
    uint64_t at, n;
    uint64_t n_filled;
};

struct walk {
    const struct sx_elf_image *m;
    struct calls calls[2]; /* of start, of end */
    struct sx_err *err;
};

static int bad_reloc(const struct walk *w, uint64_t at)
{
    return sx_elf__bad(w->err, "the relocation at %#llx is not sound", (unsigned long long)at);
}

static int is_code(const struct sx_elf_image *m, uint64_t at)
{
    return sx_elf__is_memory(m, at, 1, PF_X);
}

/* Pointers of the file's own data may point behind its end, but not just anywhere. */
static int is_in_span(const struct sx_elf_image *m, uint64_t at)
{
    const Elf64_Phdr *last = &m->load[m->n_load - 1];

    return at >= m->load[0].p_vaddr && at <= last->p_vaddr + last->p_memsz;
}

/* n bytes at `at` are written; is_own: with an address of the file, `to`. */
static int note_write(struct walk *w, uint64_t at, uint64_t n, int is_own, uint64_t to)
{
    const struct sx_elf_image *m = w->m;

    if (!sx_elf__is_memory(m, at, n, PF_W) ||
        (at + n > m->dynamic && at < m->dynamic + (m->n_dynamic + 1) * sizeof(Elf64_Dyn)))
        return bad_reloc(w, at);
    for (uint32_t i = 0; i < 2; i++) {
        struct calls *c = &w->calls[i];

        if (at + n <= c->at || at >= c->at + 8 * c->n)
            continue;
        if ((at - c->at) % 8 != 0 || (is_own && !is_code(m, to)))
            return bad_reloc(w, at);
        c->n_filled++;
    }
    return SX_OK;
}

/* --- the forms of tables ---------------------------------------------------------------------- */

/* Does the kind go with the symbol and with what lies at its target? */
static int is_kind_sound(const struct sx_elf_image *m, const Elf64_Rela *r, const Elf64_Sym *s)
{
    uint32_t type = (uint32_t)ELF64_R_TYPE(r->r_info);
    uint64_t to = (uint64_t)r->r_addend;

    if (!IS_KNOWN)
        return 1;
    if (type == R_RELATIVE)
        return s == NULL && is_in_span(m, to);
    if (type == R_IRELATIVE)
        return s == NULL && is_code(m, to);
    if (IS_TLS(type))
        return s != NULL ? ELF64_ST_TYPE(s->st_info) == STT_TLS : m->has_tls != 0;
    return IS_NAMED(type) && s != NULL && (!IS_GOT(type) || r->r_offset % 8 == 0);
}

static int check_one(struct walk *w, const Elf64_Rela *r)
{
    uint32_t type = (uint32_t)ELF64_R_TYPE(r->r_info);
    uint64_t i = ELF64_R_SYM(r->r_info), to = (uint64_t)r->r_addend;
    int is_own = type == R_RELATIVE;
    Elf64_Sym s;

    if (type == 0) /* none, on every machine */
        return SX_OK;
    if (i != 0 && i >= w->m->n_symbols)
        return bad_reloc(w, r->r_offset);
    if (i != 0)
        s = sx_elf__symbol(w->m, i);
    if (!is_kind_sound(w->m, r, i != 0 ? &s : NULL))
        return bad_reloc(w, r->r_offset);
    if (i != 0 && s.st_shndx != SHN_UNDEF && IS_NAMED(type)) {
        is_own = 1;
        to += s.st_value;
    }
    return note_write(w, r->r_offset, type == R_TLSDESC ? 16 : 8, is_own, to);
}

static int check_rela(struct walk *w, uint64_t at, uint64_t size, uint64_t n_relative)
{
    const uint8_t *p = at % 8 == 0 ? sx_elf__bytes(w->m, at, size) : NULL;
    int rc = SX_OK;
    Elf64_Rela r;

    if (size % sizeof(r) != 0 || (p == NULL && size != 0) || n_relative > size / sizeof(r))
        return sx_elf__bad(w->err, "a table of relocations does not lie where it says");
    for (uint64_t i = 0; rc == SX_OK && i < size / sizeof(r); i++) {
        memcpy(&r, p + i * sizeof(r), sizeof(r));
        /* These are not looked at one by one when the file is loaded. */
        if (IS_KNOWN && i < n_relative && ELF64_R_TYPE(r.r_info) != R_RELATIVE)
            return bad_reloc(w, r.r_offset);
        rc = check_one(w, &r);
    }
    return rc;
}

static int check_in_place(struct walk *w, uint64_t at)
{
    const uint8_t *p = at % 8 == 0 ? sx_elf__bytes(w->m, at, 8) : NULL;
    uint64_t to;

    if (p == NULL)
        return bad_reloc(w, at);
    memcpy(&to, p, 8);
    return note_write(w, at, 8, 1, to);
}

/* Addresses, each followed by bits for the 63 words behind. */
static int check_relr(struct walk *w, uint64_t at, uint64_t size)
{
    const uint8_t *p = at % 8 == 0 ? sx_elf__bytes(w->m, at, size) : NULL;
    uint64_t word, next = 0;
    int rc = SX_OK;

    if (size % 8 != 0 || (p == NULL && size != 0))
        return sx_elf__bad(w->err, "a table of relocations does not lie where it says");
    for (uint64_t i = 0; rc == SX_OK && i < size / 8; i++) {
        memcpy(&word, p + 8 * i, 8);
        if ((word & 1) == 0) {
            rc = check_in_place(w, word);
            next = word + 8;
            continue;
        }
        for (uint64_t k = 0; rc == SX_OK && k < 63; k++)
            if ((word >> (k + 1) & 1) != 0)
                rc = check_in_place(w, next + 8 * k);
        next += 63 * 8;
    }
    return rc;
}

/* --- from the dynamic section ----------------------------------------------------------------- */

static int check_tables(struct walk *w)
{
    const struct sx_elf_image *m = w->m;
    uint64_t at = 0, size = 0, entry = 0, n_relative = 0, kind = 0;
    int has, rc = SX_OK;

    has = sx_elf__tag(m, DT_RELA, &at);
    (void)sx_elf__tag(m, DT_RELACOUNT, &n_relative);
    if (has && (!sx_elf__tag(m, DT_RELASZ, &size) || !sx_elf__tag(m, DT_RELAENT, &entry) ||
                entry != sizeof(Elf64_Rela)))
        return sx_elf__bad(w->err, "a table of relocations has no size");
    if (has)
        rc = check_rela(w, at, size, n_relative);
    has = sx_elf__tag(m, DT_PLTREL, &kind);
    if (rc == SX_OK && has != sx_elf__tag(m, DT_JMPREL, &at))
        return sx_elf__bad(w->err, "a table of relocations has no kind");
    if (rc == SX_OK && has) {
        if (kind != DT_RELA || !sx_elf__tag(m, DT_PLTRELSZ, &size))
            return sx_elf__bad(w->err, "a table of relocations has no size");
        rc = check_rela(w, at, size, 0);
    }
    has = sx_elf__tag(m, DT_RELR, &at);
    if (rc == SX_OK && has &&
        (!sx_elf__tag(m, DT_RELRSZ, &size) || !sx_elf__tag(m, DT_RELRENT, &entry) || entry != 8))
        return sx_elf__bad(w->err, "a table of relocations has no size");
    return rc == SX_OK && has ? check_relr(w, at, size) : rc;
}

/* section: where the file says a second time that the list lies; 0 = nowhere. */
static int read_calls(struct walk *w, const int64_t tags[3], uint64_t section, struct calls *out)
{
    const struct sx_elf_image *m = w->m;
    uint64_t at = 0, n = 0;
    int has = sx_elf__tag(m, tags[1], &at);

    if (sx_elf__tag(m, tags[0], &n) && !is_code(m, n))
        return sx_elf__bad(w->err, "a function to run lies outside the code");
    n = 0;
    if (has && (!sx_elf__tag(m, tags[2], &n) || n % 8 != 0 || at % 8 != 0 ||
                !sx_elf__is_memory(m, at, n, PF_R) || (section != 0 && section != at)))
        return sx_elf__bad(w->err, "a list of functions to run does not lie where it says");
    *out = (struct calls){at, n / 8, 0};
    return SX_OK;
}

int sx_elf__check_relocs(const struct sx_elf_image *m, struct sx_err *err)
{
    static const int64_t start[] = {DT_INIT, DT_INIT_ARRAY, DT_INIT_ARRAYSZ};
    static const int64_t end[] = {DT_FINI, DT_FINI_ARRAY, DT_FINI_ARRAYSZ};
    struct walk w = {.m = m, .err = err};
    uint64_t ignored;
    int rc = read_calls(&w, start, m->f->init_at, &w.calls[0]);

    if (rc == SX_OK)
        rc = read_calls(&w, end, m->f->fini_at, &w.calls[1]);
    if (rc == SX_OK && sx_elf__tag(m, DT_PREINIT_ARRAY, &ignored))
        return sx_elf__bad(err, "functions that run before all others");
    if (rc == SX_OK)
        rc = check_tables(&w);
    for (uint32_t i = 0; rc == SX_OK && IS_KNOWN && i < 2; i++)
        if (w.calls[i].n_filled != w.calls[i].n)
            return sx_elf__bad(err, "%llu functions to run, %llu of them are there",
                               (unsigned long long)w.calls[i].n,
                               (unsigned long long)w.calls[i].n_filled);
    return rc;
}

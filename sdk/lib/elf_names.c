/* The names of a shared file: dynamic symbols, the hash tables that find them, and their versions.
 *
 * The dynamic linker asserts some of this and follows the rest: a chain without an end, an index
 * past a table and a version nobody numbered are all fatal there. */
#include <string.h>

#include "elf_priv.h"

#define SYMBOLS_MAX 10000000u

static uint32_t word_at(const uint8_t *p, uint64_t i)
{
    uint32_t v;

    memcpy(&v, p + 4 * i, 4);
    return v;
}

/* --- hash tables ------------------------------------------------------------------------------ */

static int bad_hash(struct sx_err *err)
{
    return sx_elf__bad(err, "the hash table of its symbols is not sound");
}

/* The GNU form: head, filter, buckets, then a chain word for each symbol from `first` on; a chain
 * ends at a word with bit 0. Counts the symbols by the highest one that is reached. */
static int check_gnu_hash(struct sx_elf_image *m, uint64_t at, struct sx_err *err)
{
    const uint8_t *p = at % 8 == 0 ? sx_elf__bytes(m, at, 16) : NULL, *chain;
    uint64_t n_buckets, first, n_filter, n = 0;

    if (p == NULL)
        return bad_hash(err);
    n_buckets = word_at(p, 0);
    first = word_at(p, 1);
    n_filter = word_at(p, 2);
    if (n_filter == 0 || (n_filter & (n_filter - 1)) != 0 || word_at(p, 3) > 31 || first == 0)
        return bad_hash(err);
    p = sx_elf__bytes(m, at + 16 + 8 * n_filter, 4 * n_buckets);
    if (p == NULL)
        return bad_hash(err);
    for (uint64_t i = 0; i < n_buckets; i++) {
        uint64_t s = word_at(p, i);

        if (s != 0 && s < first)
            return bad_hash(err);
        n = s > n ? s : n;
    }
    /* Without names to find nothing says how many symbols there are, and there is no use for it. */
    if (n == 0)
        return sx_err_set(err, SX_ENOTFOUND, "no symbol is exported");
    at += 16 + 8 * n_filter + 4 * n_buckets;
    do { /* the last chain of the table is that of the highest bucket */
        chain = sx_elf__bytes(m, at + 4 * (n - first), 4);
        if (chain == NULL || n > SYMBOLS_MAX)
            return bad_hash(err);
        n++;
    } while ((word_at(chain, 0) & 1) == 0);
    m->n_symbols = n > m->n_symbols ? n : m->n_symbols;
    return SX_OK;
}

/* The older form: n_buckets, n, buckets, chains; 0 ends a chain. Every entry is on one chain at
 * most, so more steps than entries mean a ring. */
static int check_old_hash(struct sx_elf_image *m, uint64_t at, struct sx_err *err)
{
    const uint8_t *p = at % 4 == 0 ? sx_elf__bytes(m, at, 8) : NULL;
    uint64_t n_buckets, n, n_steps = 0;

    if (p == NULL)
        return bad_hash(err);
    n_buckets = word_at(p, 0);
    n = word_at(p, 1);
    p = sx_elf__bytes(m, at + 8, 4 * (n_buckets + n));
    if (p == NULL || n_buckets == 0 || n > SYMBOLS_MAX)
        return bad_hash(err);
    for (uint64_t i = 0; i < n_buckets; i++)
        for (uint64_t s = word_at(p, i); s != 0; s = word_at(p, n_buckets + s))
            if (s >= n || n_steps++ > n)
                return bad_hash(err);
    m->n_symbols = n > m->n_symbols ? n : m->n_symbols;
    return SX_OK;
}

/* --- symbols ---------------------------------------------------------------------------------- */

Elf64_Sym sx_elf__symbol(const struct sx_elf_image *m, uint64_t i)
{
    Elf64_Sym s;

    memcpy(&s, sx_elf__bytes(m, m->symbols + i * sizeof(s), sizeof(s)), sizeof(s));
    return s;
}

int sx_elf__check_names(struct sx_elf_image *m, struct sx_err *err)
{
    uint64_t at, size, i;
    int has_gnu = sx_elf__tag(m, DT_GNU_HASH, &at), has_old;
    int rc = has_gnu ? check_gnu_hash(m, at, err) : SX_OK;

    has_old = sx_elf__tag(m, DT_HASH, &at);
    if (rc == SX_OK && has_old)
        rc = check_old_hash(m, at, err);
    if (rc != SX_OK)
        return rc;
    if ((!has_gnu && !has_old) || !sx_elf__tag(m, DT_SYMTAB, &m->symbols) || m->symbols % 8 != 0 ||
        !sx_elf__tag(m, DT_SYMENT, &size) || size != sizeof(Elf64_Sym) ||
        sx_elf__bytes(m, m->symbols, m->n_symbols * sizeof(Elf64_Sym)) == NULL)
        return sx_elf__bad(err, "the table of symbols does not lie where it says");
    for (i = 0; i < m->n_symbols; i++) {
        Elf64_Sym s = sx_elf__symbol(m, i);

        if (s.st_name >= m->n_strings)
            return sx_elf__bad(err, "symbol %llu has no name", (unsigned long long)i);
        /* One that nobody else may see is not looked for: its address would be that of the file. */
        if (i != 0 && s.st_shndx == SHN_UNDEF &&
            (ELF64_ST_BIND(s.st_info) == STB_LOCAL ||
             ELF64_ST_VISIBILITY(s.st_other) != STV_DEFAULT))
            return sx_elf__bad(err, "symbol %llu is nowhere", (unsigned long long)i);
        /* A function that chooses a function: it is called while the file is relocated. */
        if (ELF64_ST_TYPE(s.st_info) == STT_GNU_IFUNC && s.st_shndx != SHN_UNDEF &&
            !sx_elf__is_memory(m, s.st_value, 1, PF_X))
            return sx_elf__bad(err, "symbol %llu is no code", (unsigned long long)i);
    }
    return SX_OK;
}

/* --- versions --------------------------------------------------------------------------------- */

static int is_needed(const struct sx_elf_image *m, const char *name)
{
    for (uint32_t i = 0; i < m->f->n_needed; i++)
        if (strcmp(m->f->needed[i], name) == 0)
            return 1;
    return 0;
}

static int bad_versions(struct sx_err *err)
{
    return sx_elf__bad(err, "the versions of its symbols are not sound");
}

/* Versions wanted of other libraries. Steps go forward only, so both lists end. */
static int check_wanted(const struct sx_elf_image *m, uint64_t at, uint32_t *high)
{
    for (;;) {
        const uint8_t *p = at % 4 == 0 ? sx_elf__bytes(m, at, sizeof(Elf64_Verneed)) : NULL;
        Elf64_Verneed need;
        Elf64_Vernaux aux;
        uint64_t one;

        if (p == NULL)
            return 0;
        memcpy(&need, p, sizeof(need));
        if (need.vn_version != 1 || need.vn_file >= m->n_strings ||
            !is_needed(m, m->strings + need.vn_file))
            return 0;
        one = at + need.vn_aux;
        do {
            p = one % 4 == 0 ? sx_elf__bytes(m, one, sizeof(aux)) : NULL;
            if (p == NULL)
                return 0;
            memcpy(&aux, p, sizeof(aux));
            if (aux.vna_name >= m->n_strings)
                return 0;
            *high = (aux.vna_other & 0x7fffu) > *high ? aux.vna_other & 0x7fffu : *high;
            one += aux.vna_next;
        } while (aux.vna_next != 0);
        if (need.vn_next == 0)
            return 1;
        at += need.vn_next;
    }
}

/* Versions that the file itself has. */
static int check_own(const struct sx_elf_image *m, uint64_t at, uint32_t *high)
{
    for (;;) {
        const uint8_t *p = at % 4 == 0 ? sx_elf__bytes(m, at, sizeof(Elf64_Verdef)) : NULL;
        Elf64_Verdef def;
        Elf64_Verdaux aux;

        if (p == NULL)
            return 0;
        memcpy(&def, p, sizeof(def));
        p = sx_elf__bytes(m, at + def.vd_aux, sizeof(aux));
        if (def.vd_version != 1 || p == NULL)
            return 0;
        memcpy(&aux, p, sizeof(aux));
        if (aux.vda_name >= m->n_strings)
            return 0;
        *high = (def.vd_ndx & 0x7fffu) > *high ? def.vd_ndx & 0x7fffu : *high;
        if (def.vd_next == 0)
            return 1;
        at += def.vd_next;
    }
}

int sx_elf__check_versions(const struct sx_elf_image *m, struct sx_err *err)
{
    uint64_t wanted, own, each, i;
    int has_wanted = sx_elf__tag(m, DT_VERNEED, &wanted), has_own = sx_elf__tag(m, DT_VERDEF, &own);
    uint32_t high = 0;
    uint16_t index;
    const uint8_t *p;

    if ((has_wanted && !check_wanted(m, wanted, &high)) || (has_own && !check_own(m, own, &high)))
        return bad_versions(err);
    if (!sx_elf__tag(m, DT_VERSYM, &each))
        return high == 0 ? SX_OK : bad_versions(err);
    p = each % 2 == 0 && high != 0 ? sx_elf__bytes(m, each, 2 * m->n_symbols) : NULL;
    if (p == NULL)
        return bad_versions(err);
    for (i = 0; i < m->n_symbols; i++) {
        memcpy(&index, p + 2 * i, 2);
        if ((index & 0x7fffu) > high)
            return bad_versions(err);
    }
    return SX_OK;
}

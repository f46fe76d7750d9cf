/* needs: kernel/loader.c kernel/vet.c kernel/registry.c kernel/host.c kernel/mem.c kernel/log*.c */
/* needs: kernel/exec*.c kernel/loop.c kernel/epoch.c kernel/io*.c kernel/telem.c kernel/cpu.c */
/* The loader before a file is loaded: whole files are let through, and what would kill the process
 * inside the dynamic linker is refused with a text.
 *
 * Samples are the libraries of this very process, made by more than one linker; the one that is
 * spoiled is libcmocka. What the reader lets through after a change is loaded in a child process:
 * the dynamic linker must load it or say why not. Changes of code, and of what says which code
 * runs on loading, are left out: nobody can tell those from what was meant. */
/* cmocka.h uses names of the headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <dlfcn.h>
#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "kernel/loader.h"
#include "sdk/lib/elf_file.h"

const struct sx_plugin *const sx_builtin_plugins[] = {NULL};
const char *const sx_companions[] = {NULL};

static char dir[] = "/tmp/sx-loader-XXXXXX";
static char path[64];
static uint8_t *bytes; /* of the sample, changed and put back by each test */
static uint64_t n_bytes;

/* --- the sample ------------------------------------------------------------------------------- */

static uint8_t *read_file(const char *name, uint64_t *n)
{
    FILE *f = fopen(name, "rb");
    struct stat st;
    uint8_t *p;

    if (f == NULL)
        return NULL;
    if (fstat(fileno(f), &st) != 0 || (p = malloc((size_t)st.st_size)) == NULL ||
        fread(p, 1, (size_t)st.st_size, f) != (size_t)st.st_size) {
        fclose(f);
        return NULL;
    }
    fclose(f);
    *n = (uint64_t)st.st_size;
    return p;
}

static void write_file(uint64_t n)
{
    int fd = open(path, O_WRONLY | O_CREAT | O_TRUNC, 0644);

    assert_true(fd >= 0);
    assert_int_equal(write(fd, bytes, n), (ssize_t)n);
    close(fd);
}

/* The next file among the libraries of this process: a path, or NULL at the end. */
static const char *next_library(FILE *maps)
{
    static char line[4096], before[4096];
    char *name;

    while (fgets(line, sizeof(line), maps) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        name = strchr(line, '/');
        if (name == NULL || strstr(name, ".so") == NULL || strcmp(name, before) == 0)
            continue;
        memmove(before, name, strlen(name) + 1);
        return before;
    }
    before[0] = '\0';
    return NULL;
}

static int is_loaded(const char *part)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    const char *name;
    int found = 0;

    assert_non_null(maps);
    while ((name = next_library(maps)) != NULL)
        found |= strstr(name, part) != NULL;
    fclose(maps);
    return found;
}

static int group_setup(void **state)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    const char *name;

    (void)state;
    if (maps == NULL || mkdtemp(dir) == NULL)
        return -1;
    (void)snprintf(path, sizeof(path), "%s/index-try.so", dir);
    while ((name = next_library(maps)) != NULL)
        if (strstr(name, "libcmocka") != NULL && bytes == NULL)
            bytes = read_file(name, &n_bytes);
    fclose(maps);
    return bytes != NULL ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    (void)unlink(path);
    (void)rmdir(dir);
    free(bytes);
    return 0;
}

static int check(const uint8_t *p, uint64_t n, struct sx_err *err)
{
    struct sx_elf f;
    int rc;

    *err = (struct sx_err)SX_ERR_INIT;
    rc = sx_elf_init(&f, p, n, sx_mem_libc(), err);
    if (rc == SX_OK) {
        rc = sx_elf_check(&f, NULL, 0, err);
        sx_elf_fini(&f);
    }
    assert_true(rc == SX_OK || err->msg[0] != '\0');
    return rc;
}

/* --- places in the sample --------------------------------------------------------------------- */

static Elf64_Phdr *header(uint32_t type, uint32_t flags)
{
    Elf64_Ehdr *e = (Elf64_Ehdr *)(void *)bytes;
    Elf64_Phdr *h = (Elf64_Phdr *)(void *)(bytes + e->e_phoff);

    for (uint32_t i = 0; i < e->e_phnum; i++)
        if (h[i].p_type == type && (h[i].p_flags & flags) == flags)
            return &h[i];
    fail_msg("no program header of type %u", type);
    return NULL;
}

static Elf64_Dyn *dynamic(int64_t tag)
{
    Elf64_Dyn *d = (Elf64_Dyn *)(void *)(bytes + header(PT_DYNAMIC, 0)->p_offset);

    while (d->d_tag != tag && d->d_tag != DT_NULL)
        d++;
    if (d->d_tag != tag)
        fail_msg("no dynamic entry %lld", (long long)tag);
    return d;
}

static void *at_address(uint64_t at)
{
    Elf64_Ehdr *e = (Elf64_Ehdr *)(void *)bytes;
    Elf64_Phdr *h = (Elf64_Phdr *)(void *)(bytes + e->e_phoff);

    for (uint32_t i = 0; i < e->e_phnum; i++)
        if (h[i].p_type == PT_LOAD && at >= h[i].p_vaddr && at - h[i].p_vaddr < h[i].p_filesz)
            return bytes + h[i].p_offset + (at - h[i].p_vaddr);
    fail_msg("nothing of the file at %#llx", (unsigned long long)at);
    return NULL;
}

static void *table(int64_t tag)
{
    return at_address(dynamic(tag)->d_un.d_val);
}

/* --- whole files ------------------------------------------------------------------------------ */

static void test_real_libraries(void **state)
{
    FILE *maps = fopen("/proc/self/maps", "r");
    struct sx_err err;
    const char *name;
    uint64_t n_file;
    uint32_t n = 0;
    uint8_t *p;

    (void)state;
    assert_non_null(maps);
    while ((name = next_library(maps)) != NULL) {
        p = read_file(name, &n_file);
        assert_non_null(p);
        if (check(p, n_file, &err) != SX_OK)
            fail_msg("%s: %s", name, err.msg);
        free(p);
        n++;
    }
    fclose(maps);
    assert_true(n >= 4); /* libc, libcmocka, libevent, libyaml at least */
}

/* A defined symbol of that type. */
static const char *symbol_of(uint32_t type, uint64_t *size)
{
    Elf64_Sym *s = table(DT_SYMTAB);
    uint64_t n = (dynamic(DT_STRTAB)->d_un.d_val - dynamic(DT_SYMTAB)->d_un.d_val) / sizeof(*s);

    for (uint64_t i = 1; i < n; i++)
        if (ELF64_ST_TYPE(s[i].st_info) == type && s[i].st_shndx != SHN_UNDEF) {
            *size = s[i].st_size;
            return (const char *)table(DT_STRTAB) + s[i].st_name;
        }
    fail_msg("the sample has no symbol of type %u", type);
    return NULL;
}

static void test_symbol(void **state)
{
    uint64_t size, n_code;
    const char *object = symbol_of(STT_OBJECT, &size), *code = symbol_of(STT_FUNC, &n_code);
    struct sx_err err = SX_ERR_INIT;
    struct sx_elf f;

    (void)state;
    assert_int_equal(sx_elf_init(&f, bytes, n_bytes, sx_mem_libc(), &err), 0);
    assert_int_equal(sx_elf_check(&f, "nobody_has_this", 0, &err), SX_ENOTFOUND);
    assert_int_equal(sx_elf_check(&f, object, size, &err), 0);
    assert_int_equal(sx_elf_check(&f, object, size + 1, &err), SX_ECORRUPT);
    assert_int_equal(sx_elf_check(&f, code, 0, &err), SX_ECORRUPT);
    sx_elf_fini(&f);
}

/* --- cut files -------------------------------------------------------------------------------- */

static void test_cut_every_64_bytes(void **state)
{
    struct sx_err err;

    (void)state;
    for (uint64_t n = 0; n < n_bytes; n += 64)
        assert_int_equal(check(bytes, n, &err), SX_ECORRUPT);
    assert_int_equal(check(bytes, n_bytes, &err), 0);
}

/* --- files that lie --------------------------------------------------------------------------- */

static void refused(void *at, uint64_t n, uint64_t value, const char *text)
{
    struct sx_err err;
    uint64_t old = 0;
    int rc;

    memcpy(&old, at, n);
    memcpy(at, &value, n);
    rc = check(bytes, n_bytes, &err);
    memcpy(at, &old, n);
    if (rc != SX_ECORRUPT || strstr(err.msg, text) == NULL)
        fail_msg("%llu becomes %llu: %d '%s', not '%s'", (unsigned long long)old,
                 (unsigned long long)value, rc, err.msg, text);
}

static void test_lying_segments(void **state)
{
    Elf64_Phdr *load = header(PT_LOAD, PF_X), *data = header(PT_LOAD, PF_W);

    (void)state;
    refused(&load->p_filesz, 8, n_bytes + 1, "lies outside the file");
    refused(&load->p_offset, 8, UINT64_MAX, "lies outside the file");
    refused(&load->p_memsz, 8, load->p_filesz - 1, "impossible sizes");
    refused(&load->p_memsz, 8, load->p_filesz + 8, "impossible sizes");
    refused(&load->p_vaddr, 8, load->p_vaddr + 8, "is not aligned");
    refused(&load->p_align, 8, 8, "is not aligned");
    refused(&data->p_vaddr, 8, data->p_offset % data->p_align, "over the one before");
    refused(&data->p_memsz, 8, 1ull << 40, "impossible sizes");
    refused(&header(PT_DYNAMIC, 0)->p_vaddr, 8, 1ull << 30, "does not lie where it says");
    refused(&header(PT_DYNAMIC, 0)->p_type, 4, PT_NULL, "no dynamic section");
    refused(&header(PT_GNU_RELRO, 0)->p_memsz, 8, 1ull << 30, "does not lie where it says");
    refused(&header(PT_GNU_EH_FRAME, 0)->p_vaddr, 8, 1ull << 30, "does not lie where it says");
    refused(&header(PT_NOTE, 0)->p_vaddr, 8, 1ull << 30, "does not lie where it says");
}

static void test_lying_names(void **state)
{
    uint32_t *hash = table(DT_GNU_HASH);
    Elf64_Sym *symbol = table(DT_SYMTAB);
    Elf64_Verneed *need = table(DT_VERNEED);

    (void)state;
    refused(&dynamic(DT_STRTAB)->d_un.d_val, 8, 1ull << 40, "table of names");
    refused(&dynamic(DT_STRSZ)->d_un.d_val, 8, n_bytes, "table of names");
    refused(&dynamic(DT_STRSZ)->d_tag, 8, 0x7000, "no table of names");
    refused(&dynamic(DT_NEEDED)->d_un.d_val, 8, 1u << 30, "a library's name");
    refused(&dynamic(DT_SYMTAB)->d_un.d_val, 8, 1ull << 40, "table of symbols");
    refused(&dynamic(DT_SYMENT)->d_un.d_val, 8, 16, "table of symbols");
    refused(&dynamic(DT_GNU_HASH)->d_tag, 8, 0x7000, "table of symbols");
    refused(&dynamic(DT_GNU_HASH)->d_un.d_val, 8, 1ull << 40, "hash table");
    refused(&hash[0], 4, 1u << 30, "hash table");        /* buckets */
    refused(&hash[1], 4, hash[1] + 1000, "hash table");  /* first symbol */
    refused(&hash[2], 4, 3, "hash table");               /* words of the filter */
    refused(&hash[4 + 2 * hash[2]], 4, 1, "hash table"); /* below the first */
    refused(&hash[4 + 2 * hash[2]], 4, 1u << 20, "hash table");
    refused(&symbol[1].st_name, 4, UINT32_MAX, "has no name");
    refused(&symbol[1].st_info, 1, 0, "is nowhere");
    refused(&dynamic(DT_VERSYM)->d_tag, 8, 0x7000, "versions");
    refused(table(DT_VERSYM), 2, 0x7fff, "versions");
    refused(&need->vn_aux, 4, 1u << 30, "versions");
    refused(&need->vn_next, 4, 1u << 30, "versions");
    refused(&need->vn_file, 4, need->vn_file + 1, "versions");
}

static void test_lying_relocations(void **state)
{
    Elf64_Rela *r = table(DT_RELA);
    uint64_t n = dynamic(DT_RELASZ)->d_un.d_val / sizeof(*r), last = n - 1;

    (void)state;
    refused(&dynamic(DT_RELA)->d_un.d_val, 8, 1ull << 40, "table of relocations");
    refused(&dynamic(DT_RELASZ)->d_un.d_val, 8, 8, "table of relocations");
    refused(&dynamic(DT_RELASZ)->d_tag, 8, 0x7000, "has no size");
    refused(&dynamic(DT_RELAENT)->d_un.d_val, 8, 16, "has no size");
    refused(&dynamic(DT_RELACOUNT)->d_un.d_val, 8, n + 1, "table of relocations");
    refused(&dynamic(DT_RELACOUNT)->d_un.d_val, 8, n, "is not sound");
    refused(&dynamic(DT_PLTREL)->d_un.d_val, 8, DT_REL, "has no size");
    refused(&dynamic(DT_PLTREL)->d_tag, 8, 0x7000, "has no kind");
    refused(&r[0].r_offset, 8, 8, "is not sound"); /* not to be written */
    refused(&r[0].r_offset, 8, 1ull << 40, "is not sound");
    refused(&r[0].r_offset, 8, header(PT_DYNAMIC, 0)->p_vaddr + 8, "is not sound");
    refused(&r[last].r_info, 8, ELF64_R_INFO(1000000, ELF64_R_TYPE(r[last].r_info)), "not sound");
    refused(&r[last].r_info, 8, ELF64_R_INFO(0, ELF64_R_TYPE(r[last].r_info)), "not sound");
    refused(&dynamic(DT_INIT_ARRAY)->d_un.d_val, 8, 1ull << 40, "list of functions");
    refused(&dynamic(DT_INIT_ARRAY)->d_un.d_val, 8, dynamic(DT_FINI_ARRAY)->d_un.d_val, "list of");
    refused(&dynamic(DT_INIT_ARRAYSZ)->d_un.d_val, 8, 24, "functions to run");
    refused(&dynamic(DT_INIT)->d_un.d_val, 8, header(PT_DYNAMIC, 0)->p_vaddr, "outside the code");
    refused(&dynamic(DT_FINI)->d_tag, 8, DT_PREINIT_ARRAY, "before all others");
}

/* --- changes at random ------------------------------------------------------------------------ */

static uint64_t seed;

static uint64_t next(void)
{
    seed = seed * 6364136223846793005u + 1442695040888963407u;
    return seed >> 33;
}

static int is_within(uint64_t at, const void *p, uint64_t n)
{
    uint64_t from = (uint64_t)((const uint8_t *)p - bytes);

    return at >= from && at < from + n;
}

/* An imported function that may be missing: code that runs at start or end calls it if it is there,
 * whatever it is. */
static int is_weak(uint64_t i)
{
    Elf64_Sym *s = (Elf64_Sym *)table(DT_SYMTAB) + i;

    return ELF64_ST_BIND(s->st_info) == STB_WEAK && s->st_shndx == SHN_UNDEF;
}

/* Code, and what says which code runs at start or end. */
static int is_code(uint64_t at)
{
    static const int64_t lists[][2] = {{DT_INIT_ARRAY, DT_INIT_ARRAYSZ},
                                       {DT_FINI_ARRAY, DT_FINI_ARRAYSZ}};
    Elf64_Phdr *code = header(PT_LOAD, PF_X);
    Elf64_Rela *r = table(DT_RELA);
    uint64_t n = dynamic(DT_RELASZ)->d_un.d_val / sizeof(*r);

    if (is_within(at, bytes + code->p_offset, code->p_filesz) ||
        is_within(at, dynamic(DT_INIT), 16) || is_within(at, dynamic(DT_FINI), 16))
        return 1;
    for (uint64_t i = 0; i < n; i++) {
        uint64_t symbol = ELF64_R_SYM(r[i].r_info), is_list = 0;

        for (uint32_t k = 0; k < 2; k++)
            is_list |=
                r[i].r_offset - dynamic(lists[k][0])->d_un.d_val < dynamic(lists[k][1])->d_un.d_val;
        if ((is_list || is_weak(symbol)) && is_within(at, &r[i], sizeof(*r)))
            return 1;
        if (is_weak(symbol) &&
            is_within(at, (Elf64_Sym *)table(DT_SYMTAB) + symbol, sizeof(Elf64_Sym)))
            return 1;
    }
    return 0;
}

/* A third anywhere, a third before the code (heads, names, relocations), a third in the dynamic
 * section. */
static uint64_t place(void)
{
    Elf64_Phdr *d = header(PT_DYNAMIC, 0);
    uint64_t at;

    do {
        switch (next() % 3) {
        case 0:
            at = next() % n_bytes;
            break;
        case 1:
            at = next() % header(PT_LOAD, 0)->p_filesz;
            break;
        default:
            at = d->p_offset + next() % d->p_filesz;
        }
    } while (is_code(at));
    return at;
}

/* Loads the file in a child; 1 when that ended by itself, whatever the outcome. */
static int survives(void)
{
    int status = 0;
    pid_t pid = fork();

    assert_true(pid >= 0);
    if (pid == 0) {
        void *h = dlopen(path, RTLD_NOW | RTLD_LOCAL);

        if (h != NULL)
            (void)dlsym(h, "nobody_has_this");
        _exit(h != NULL || dlerror() != NULL ? 0 : 1);
    }
    while (waitpid(pid, &status, 0) < 0)
        ;
    return WIFEXITED(status) && WEXITSTATUS(status) == 0;
}

static void test_changed_bytes(void **state)
{
    const char *given = getenv("SX_TEST_SEED");
    uint32_t n_refused = 0, n_loaded = 0;
    struct sx_err err;

    (void)state;
    seed = given != NULL ? strtoull(given, NULL, 0) : 20;
    printf("seed %llu\n", (unsigned long long)seed);
    for (uint32_t i = 0; i < 500; i++) {
        uint64_t at = place();
        uint8_t old = bytes[at];

        bytes[at] = next() % 2 == 0 ? (uint8_t)(old ^ 1u << next() % 8) : (uint8_t)next();
        if (check(bytes, n_bytes, &err) != SX_OK) {
            n_refused++;
        } else if (bytes[at] != old) {
            n_loaded++;
            write_file(n_bytes);
            if (!survives())
                fail_msg("byte %#llx: %02x becomes %02x", (unsigned long long)at, old, bytes[at]);
        }
        bytes[at] = old;
    }
    assert_true(n_refused > 50 && n_loaded > 50);
}

/* --- through the loader ----------------------------------------------------------------------- */

/* Refused with this text, and not loaded. */
static void refused_file(uint64_t n, const char *text)
{
    const struct sx_plugin *p;
    struct sx_err err = SX_ERR_INIT;

    write_file(n);
    assert_int_not_equal(sx_loader_open(path, &p, &err), 0);
    assert_null(p);
    assert_non_null(strstr(err.msg, text));
    assert_false(is_loaded(path));
}

static void test_open(void **state)
{
    uint64_t machine_at = offsetof(Elf64_Ehdr, e_machine);

    (void)state;
    refused_file(n_bytes, "the file has no module descriptor 'index-try'");
    refused_file(n_bytes - 1, "outside the file");
    refused_file(n_bytes / 2, "the file is cut short");
    refused_file(4096, "the file is cut short");
    refused_file(63, "too short for an ELF file (63 bytes)");
    refused_file(0, "too short for an ELF file (0 bytes)");
    bytes[machine_at] ^= 0xff;
    refused_file(n_bytes, "for machine");
    bytes[machine_at] ^= 0xff;
    bytes[EI_CLASS] = ELFCLASS32;
    refused_file(n_bytes, "not a 64-bit file");
    bytes[EI_CLASS] = ELFCLASS64;
    bytes[1] = 'e';
    refused_file(n_bytes, "not an ELF file");
    bytes[1] = 'E';
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_real_libraries),     cmocka_unit_test(test_symbol),
        cmocka_unit_test(test_cut_every_64_bytes), cmocka_unit_test(test_lying_segments),
        cmocka_unit_test(test_lying_names),        cmocka_unit_test(test_lying_relocations),
        cmocka_unit_test(test_changed_bytes),      cmocka_unit_test(test_open),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

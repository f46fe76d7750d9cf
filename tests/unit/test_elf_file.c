/* Reading shared files without running them: facts of a real one, and files that lie.
 *
 * The test's own program is the real file: it is position independent, so the same kind of file as
 * a module. Bytes of its headers and tables are changed at random, and it is cut at many lengths;
 * the reader must refuse or answer, never read outside (the sanitizer build tells). */
/* cmocka.h uses names of the headers before it. */
/* clang-format off */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>
/* clang-format on */

#include <elf.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "sdk/lib/elf_file.h"

__attribute__((section(".sx_plugin"), used)) static const char text[] = "test-file abi=1.0";

static char path[] = "/tmp/sx-elf-XXXXXX";
static uint8_t *bytes;
static uint64_t n_bytes;

static void write_file(const uint8_t *p, uint64_t n)
{
    int fd = open(path, O_WRONLY | O_TRUNC);
    assert_true(fd >= 0);
    assert_int_equal(write(fd, p, n), (ssize_t)n);
    close(fd);
}

static int group_setup(void **state)
{
    (void)state;
    FILE *f = fopen("/proc/self/exe", "rb");
    int fd = mkstemp(path);
    struct stat st;
    if (f == NULL || fd < 0 || fstat(fileno(f), &st) != 0)
        return -1;
    close(fd);
    n_bytes = (uint64_t)st.st_size;
    bytes = malloc(n_bytes);
    int is_read = bytes != NULL && fread(bytes, 1, n_bytes, f) == n_bytes;
    fclose(f);
    return is_read ? 0 : -1;
}

static int group_teardown(void **state)
{
    (void)state;
    unlink(path);
    free(bytes);
    return 0;
}

static int open_now(struct sx_elf *f)
{
    struct sx_err err = SX_ERR_INIT;
    int rc = sx_elf_open(f, path, sx_mem_libc(), &err);
    if (rc != 0)
        assert_true(err.msg[0] != '\0');
    return rc;
}

/* Touches every string handed out. */
static uint64_t use(const struct sx_elf *f)
{
    uint64_t n = f->section != NULL ? strlen(f->section) : 0;
    for (uint32_t i = 0; i < f->n_needed; i++)
        n += strlen(f->needed[i]);
    for (uint32_t i = 0; i < f->n_exported; i++)
        n += strlen(f->exported[i]);
    for (uint32_t i = 0; i < f->n_imported; i++)
        n += strlen(f->imported[i]);
    return n;
}

static int has(const char *const *list, uint32_t n, const char *name)
{
    for (uint32_t i = 0; i < n; i++)
        if (strcmp(list[i], name) == 0)
            return 1;
    return 0;
}

static void test_facts(void **state)
{
    (void)state;
    struct sx_elf f;
    write_file(bytes, n_bytes);
    assert_int_equal(open_now(&f), 0);
    assert_string_equal(f.section, text);
    assert_true(has(f.needed, f.n_needed, "libc.so.6"));
    assert_true(has(f.imported, f.n_imported, "mkstemp") ||
                has(f.imported, f.n_imported, "mkstemp64"));
    assert_true(f.init_bytes >= 8);
    assert_false(f.is_stack_executable);
    assert_false(f.has_writable_code);
    assert_false(f.has_text_relocs);
    sx_elf_fini(&f);
    assert_null(f.p);
}

static void test_no_elf(void **state)
{
    (void)state;
    struct sx_elf f;
    struct sx_err err = SX_ERR_INIT;
    assert_int_equal(sx_elf_open(&f, "/nonexistent/file.so", sx_mem_libc(), &err), SX_ENOTFOUND);
    assert_int_equal(sx_elf_open(&f, "/tmp", sx_mem_libc(), &err), SX_ECORRUPT);
    write_file((const uint8_t *)"", 0);
    assert_int_equal(open_now(&f), SX_ECORRUPT);
    write_file((const uint8_t *)"#!/bin/sh\n", 10);
    assert_int_equal(open_now(&f), SX_ECORRUPT);
}

static void spoil_head(uint32_t at, uint8_t value)
{
    uint8_t old = bytes[at];
    struct sx_elf f;
    bytes[at] = value;
    write_file(bytes, n_bytes);
    assert_int_equal(open_now(&f), SX_ECORRUPT);
    bytes[at] = old;
}

static void test_other_machines(void **state)
{
    (void)state;
    spoil_head(EI_CLASS, ELFCLASS32);
    spoil_head(EI_DATA, bytes[EI_DATA] == ELFDATA2LSB ? ELFDATA2MSB : ELFDATA2LSB);
    spoil_head(offsetof(Elf64_Ehdr, e_machine), 3);
    spoil_head(offsetof(Elf64_Ehdr, e_type), ET_EXEC);
    spoil_head(offsetof(Elf64_Ehdr, e_shentsize), 63);
    spoil_head(offsetof(Elf64_Ehdr, e_shoff) + 7, 0xff);
    spoil_head(offsetof(Elf64_Ehdr, e_phoff) + 7, 0xff);
}

static void test_cut_anywhere(void **state)
{
    (void)state;
    struct sx_elf f;
    uint32_t n_bad = 0;
    for (uint64_t n = 1; n < n_bytes; n += n < 200 ? 1 : n_bytes / 97 + 1) {
        write_file(bytes, n);
        if (open_now(&f) != 0) {
            n_bad++;
            continue;
        }
        use(&f);
        sx_elf_fini(&f);
    }
    /* The section table lies at the end: without it nothing is known. */
    assert_true(n_bad > 200);
}

/* Changes one byte of a header, the section table or a small table at a time, in place. */
static void test_changed_bytes(void **state)
{
    (void)state;
    Elf64_Ehdr e;
    uint64_t seed = 7;
    uint32_t n_good = 0, rounds = 4000;
    memcpy(&e, bytes, sizeof(e));
    write_file(bytes, n_bytes);
    int fd = open(path, O_RDWR);
    assert_true(fd >= 0);
    for (uint32_t i = 0; i < rounds; i++) {
        struct sx_elf f;
        seed = seed * 6364136223846793005u + 1442695040888963407u;
        uint64_t r = seed >> 33, at = r % 4096; /* head, program headers, dynamic tables */
        if (i % 2 == 0)
            at = e.e_shoff + r % ((uint64_t)e.e_shnum * sizeof(Elf64_Shdr));
        uint8_t value = i % 3 == 0 ? 0xff : (uint8_t)(seed >> 20);
        assert_true(at < n_bytes);
        assert_int_equal(pwrite(fd, &value, 1, (off_t)at), 1);
        if (open_now(&f) == 0) {
            use(&f);
            n_good++;
            sx_elf_fini(&f);
        }
        assert_int_equal(pwrite(fd, bytes + at, 1, (off_t)at), 1);
    }
    close(fd);
    assert_true(n_good > 0 && n_good < rounds);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(test_facts),          cmocka_unit_test(test_no_elf),
        cmocka_unit_test(test_other_machines), cmocka_unit_test(test_cut_anywhere),
        cmocka_unit_test(test_changed_bytes),
    };
    return cmocka_run_group_tests(tests, group_setup, group_teardown);
}

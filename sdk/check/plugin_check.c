/* sextant-plugin-check: is this file a module the server will take, and does it keep its contract?
 *
 *   sextant-plugin-check [--suite] [--seed N] FILE.so...
 *
 * First the file is read without running it: text of section .sx_plugin, one exported symbol of the
 * right name, no constructors, no thread-local storage, no relocations in code, and whatever the
 * server looks at before it loads a file. Then a child process loads it and vets the descriptor;
 * with --suite another runs the conformance suites of its kinds on the fake host. One line per
 * finding. Exit code 0: no findings, 1: findings, 2: wrong use. */
#include <ctype.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "check.h"

static void print_line(const struct check *c, const char *mark, const char *fmt, va_list ap)
{
    char text[512];
    vsnprintf(text, sizeof(text), fmt, ap);
    fprintf(stdout, "%s: %s%s\n", c->path, mark, text);
    fflush(stdout);
}

void check_finding(struct check *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    c->n_findings++;
    print_line(c, "", fmt, ap);
    va_end(ap);
}

void check_note(struct check *c, const char *fmt, ...)
{
    va_list ap;
    va_start(ap, fmt);
    print_line(c, "note: ", fmt, ap);
    va_end(ap);
}

/* The symbol follows from the file's name: the loader looks for nothing else. */
static int name_from_path(struct check *c)
{
    const char *base = strrchr(c->path, '/');
    base = base != NULL ? base + 1 : c->path;
    size_t n = strlen(base);
    if (n < 4 || strcmp(base + n - 3, ".so") != 0 || n - 3 >= sizeof(c->stem)) {
        check_finding(c, "the file must be called <kind>-<name>.so");
        return 0;
    }
    memcpy(c->stem, base, n - 3);
    c->stem[n - 3] = '\0';
    snprintf(c->symbol, sizeof(c->symbol), "%s_LTX_sx_plugin", c->stem);
    for (char *s = c->symbol; *s != '\0'; s++)
        if (!isalnum((unsigned char)*s))
            *s = '_';
    return 1;
}

static void check_section(struct check *c)
{
    const char *text = c->elf.section;
    size_t n = strlen(c->stem);
    if (text == NULL) {
        check_finding(c, "section .sx_plugin is missing");
        return;
    }
    if (strncmp(text, c->stem, n) != 0 || text[n] != ' ')
        check_finding(c, "section .sx_plugin says '%.80s', the file is '%s'", text, c->stem);
    char abi[32];
    snprintf(abi, sizeof(abi), "abi=%d.", SX_ABI_MAJOR);
    const char *at = strstr(text, abi);
    if (at == NULL || at[-1] != ' ')
        check_finding(c, "section .sx_plugin does not say '%sx'", abi);
}

static void check_exports(struct check *c)
{
    uint32_t n_others = 0, is_there = 0;
    for (uint32_t i = 0; i < c->elf.n_exported; i++) {
        if (strcmp(c->elf.exported[i], c->symbol) == 0) {
            is_there = 1;
            continue;
        }
        if (n_others++ < 5)
            check_finding(c, "exports '%.100s': a module exports its descriptor only",
                          c->elf.exported[i]);
    }
    if (n_others > 5)
        check_finding(c, "exports %u more symbols", n_others - 5);
    if (!is_there)
        check_finding(c, "does not export '%s'", c->symbol);
}

static void check_linking(struct check *c)
{
    /* One entry is the compiler's own frame_dummy. */
    if (c->elf.init_bytes > sizeof(void *) || c->elf.has_ctors)
        check_finding(c, "has constructors: code that runs before the descriptor was vetted");
    if (c->elf.has_tls)
        check_finding(c, "uses thread-local storage: ask for thread_size bytes instead");
    if (c->elf.has_text_relocs)
        check_finding(c, "has relocations in code: compile with -fPIC");
    if (c->elf.is_stack_executable)
        check_finding(c, "asks for an executable stack");
    if (c->elf.has_writable_code)
        check_finding(c, "has memory that is writable and executable");
    if (!c->elf.is_now)
        check_note(c, "linked without -Wl,-z,now");
    if (!c->elf.is_nodelete)
        check_note(c, "linked without -Wl,-z,nodelete");
}

/* What the dynamic linker would follow; 1 when it may. A missing descriptor is told already. */
static int check_image(struct check *c)
{
    struct sx_err err = SX_ERR_INIT;
    int rc = sx_elf_check(&c->elf, c->symbol, 0, &err);
    if (rc != 0 && rc != SX_ENOTFOUND)
        check_finding(c, "%s", err.msg);
    return rc == 0;
}

static uint32_t check_file(const char *path, int with_suites, uint64_t seed)
{
    struct check c = {.path = path};
    struct sx_err err = SX_ERR_INIT;
    if (sx_elf_open(&c.elf, path, sx_mem_libc(), &err) != 0) {
        check_finding(&c, "%s", err.msg);
        return c.n_findings;
    }
    if (name_from_path(&c)) {
        check_section(&c);
        check_exports(&c);
        check_linking(&c);
        /* A constructor would run on loading: what has one is not loaded. */
        if (check_image(&c) && c.elf.init_bytes <= sizeof(void *) && !c.elf.has_ctors)
            check_loading(&c);
        if (with_suites && c.n_findings == 0)
            check_suites(&c, seed);
    }
    sx_elf_fini(&c.elf);
    if (c.n_findings == 0)
        check_note(&c, "no findings");
    return c.n_findings;
}

int main(int argc, char **argv)
{
    int with_suites = 0, i = 1;
    uint64_t seed = 0;
    uint32_t n_findings = 0;
    for (; i < argc && argv[i][0] == '-'; i++) {
        if (strcmp(argv[i], "--suite") == 0)
            with_suites = 1;
        else if (strcmp(argv[i], "--seed") == 0 && i + 1 < argc)
            seed = strtoull(argv[++i], NULL, 0);
        else
            break;
    }
    if (i >= argc || argv[i][0] == '-') {
        fprintf(stderr, "usage: sextant-plugin-check [--suite] [--seed N] FILE.so...\n");
        return 2;
    }
    for (; i < argc; i++)
        n_findings += check_file(argv[i], with_suites, seed);
    return n_findings > 0 ? 1 : 0;
}

/* Shared by the files of sextant-plugin-check. */
#ifndef CHECK_CHECK_H
#define CHECK_CHECK_H

#include "sextant/sx_plugin.h"

#include "../lib/elf_file.h"

/* One file under check. */
struct check {
    const char *path;
    char stem[64];   /* file name without ".so": the module's name */
    char symbol[96]; /* what the descriptor must be called */
    uint32_t n_findings, pad;
    struct sx_elf elf;
};

/* Prints "path: text" and counts it / prints only. */
void check_finding(struct check *c, const char *fmt, ...) SX_PRINTF(2, 3);
void check_note(struct check *c, const char *fmt, ...) SX_PRINTF(2, 3);

/* check_child.c: each runs the module's code in a child process and prints what the child finds; a
 * child that dies is a finding. */
void check_loading(struct check *c); /* dlopen, imports, descriptor */
void check_suites(struct check *c, uint64_t seed);

#endif

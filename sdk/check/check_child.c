/* What needs the module's code, done where it may crash: in a child process.
 *
 * The child writes its lines into a pipe, each beginning with '!' (finding) or '-' (note), and the
 * parent prints them; so a child that dies half way has said everything up to there. */
#include <dlfcn.h>
#include <errno.h>
#include <ftw.h>
#include <limits.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sextant/sx_vet.h"

#include "check.h"
#include "sx_fake_host.h"
#include "sx_suite.h"

/* A child may run for this long: the suites of the built-in modules need a tenth of it. */
#define CHILD_SECONDS 300u

struct child {
    const struct check *c;
    FILE *out;
    uint64_t seed;
    const char *dir; /* of the suites */
};

static void SX_PRINTF(3, 4) say(struct child *k, char mark, const char *fmt, ...)
{
    char text[512];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    fprintf(k->out, "%c%s\n", mark, text);
    fflush(k->out);
}

static void print_lines(struct check *c, FILE *in)
{
    char line[600];
    while (fgets(line, sizeof(line), in) != NULL) {
        line[strcspn(line, "\n")] = '\0';
        if (line[0] == '!')
            check_finding(c, "%s", line + 1);
        else if (line[0] == '-')
            check_note(c, "%s", line + 1);
    }
}

static void run_child(
    struct check *c, const char *doing, void (*fn)(struct child *k), uint64_t seed, const char *dir)
{
    int fds[2], status = 0;
    pid_t pid;
    if (pipe(fds) != 0 || (pid = fork()) < 0) {
        check_finding(c, "cannot start a child process: %s", strerror(errno));
        return;
    }
    if (pid == 0) {
        close(fds[0]);
        alarm(CHILD_SECONDS);
        struct child k = {c, fdopen(fds[1], "w"), seed, dir};
        if (k.out == NULL)
            _exit(3);
        fn(&k);
        fflush(k.out);
        _exit(0);
    }
    close(fds[1]);
    FILE *in = fdopen(fds[0], "r");
    if (in != NULL) {
        print_lines(c, in);
        fclose(in);
    }
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status))
        check_finding(c, "dies of signal %d (%s) while %s", WTERMSIG(status),
                      strsignal(WTERMSIG(status)), doing);
    else if (WEXITSTATUS(status) != 0)
        check_finding(c, "ends the process with code %d while %s", WEXITSTATUS(status), doing);
}

/* --- loading --- */

static const struct sx_plugin *load(struct child *k)
{
    char full[PATH_MAX];
    if (realpath(k->c->path, full) == NULL) {
        say(k, '!', "cannot be resolved: %s", strerror(errno));
        return NULL;
    }
    void *h = dlopen(full, RTLD_NOW | RTLD_LOCAL);
    if (h == NULL) {
        const char *why = dlerror();
        say(k, '!', "does not load: %s", why != NULL ? why : "no reason given");
        return NULL;
    }
    return dlsym(h, k->c->symbol);
}

/* Every import must come from a library the file names itself, not from whoever loads it. */
static void check_imports(struct child *k)
{
    const struct sx_elf *f = &k->c->elf;
    for (uint32_t i = 0; i < f->n_imported; i++) {
        int is_found = 0;
        for (uint32_t j = 0; j < f->n_needed && !is_found; j++) {
            void *h = dlopen(f->needed[j], RTLD_LAZY | RTLD_LOCAL);
            is_found = h != NULL && dlsym(h, f->imported[i]) != NULL;
        }
        if (!is_found)
            say(k, '!', "imports '%.100s', which none of the libraries it names has",
                f->imported[i]);
    }
}

static void vet_line(void *arg, const char *text)
{
    say(arg, '!', "%s", text);
}

static void child_load(struct child *k)
{
    check_imports(k);
    const struct sx_plugin *p = load(k);
    if (p == NULL)
        return;
    if (sx_plugin_vet_all(p, vet_line, k) > 0)
        return;
    if (strcmp(p->name, k->c->stem) != 0)
        say(k, '!', "the descriptor is called '%s', the file '%s'", p->name, k->c->stem);
    if (k->c->elf.section != NULL && strcmp(p->section, k->c->elf.section) != 0)
        say(k, '!', "the descriptor's text is not that of section .sx_plugin");
}

void check_loading(struct check *c)
{
    run_child(c, "loading", child_load, 0, NULL);
}

/* --- suites --- */

static void suite_line(void *arg, uint32_t is_failure, const char *text)
{
    say(arg, is_failure ? '!' : '-', "%s", text);
}

static void child_suites(struct child *k)
{
    struct sx_fake_conf conf = SX_FAKE_CONF_INIT;
    struct sx_suite_report report = SX_SUITE_REPORT_INIT;
    const struct sx_plugin *p = load(k);
    if (p == NULL)
        return;
    const struct sx_host *host = sx_fake_host_create(&conf);
    if (host == NULL) {
        say(k, '!', "no memory for the fake host");
        return;
    }
    report.seed = k->seed;
    report.dir = k->dir;
    report.line = suite_line;
    report.arg = k;
    sx_suite_run(p, host, &report);
    sx_fake_host_idle();
    if (sx_fake_host_live() > 0)
        say(k, '!', "%llu allocations were not given back",
            (unsigned long long)sx_fake_host_live());
    sx_fake_host_destroy();
    if (report.n_failures > 0 && report.n_checks > 0)
        say(k, '-', "%u of %u checks failed", report.n_failures, report.n_checks);
}

static int remove_one(const char *path, const struct stat *st, int type, struct FTW *at)
{
    (void)st;
    (void)type;
    (void)at;
    return remove(path);
}

/* The directory is made and removed here: a child that dies leaves its files behind. */
void check_suites(struct check *c, uint64_t seed)
{
    const char *tmp = getenv("TMPDIR");
    char dir[PATH_MAX];
    snprintf(dir, sizeof(dir), "%s/sextant-check-XXXXXX", tmp != NULL ? tmp : "/tmp");
    if (mkdtemp(dir) == NULL) {
        check_finding(c, "no directory for the suites: %s", strerror(errno));
        return;
    }
    run_child(c, "running the suites", child_suites, seed, dir);
    nftw(dir, remove_one, 8, FTW_DEPTH | FTW_PHYS);
}

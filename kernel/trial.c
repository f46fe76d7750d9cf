/* --check: would the server start?
 *
 * Every file that the configuration names is tried in a child process of its own first, so that one
 * that crashes does not take the report with it. Then one more child goes the way of a start with
 * all modules together, up to where it would have effects: configuration bound, services made,
 * load() and configure() of every module; then stop(), in reverse. No file is opened, no thread
 * started, nothing listened on. What the child was doing lies in memory that it shares with us. */
#include "trial.h"

#include <errno.h>
#include <stdio.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include "loader.h"

static void print_probe(void *arg, const char *name, int ok, const char *text)
{
    (void)arg;
    (void)printf("%s %s%s%s\n", ok ? "ok  " : "FAIL", name, *text != '\0' ? ": " : "", text);
}

/* In the child. */
static int try_start(struct sx_phase *p, void (*problem)(void *arg, const char *text), void *arg)
{
    if (sx_phase_rehearse(p, problem, arg) != SX_OK)
        return 1;
    (void)printf("%u modules fit together\n", p->registry.n_modules);
    return fflush(stdout) == 0 ? 0 : 1;
}

/* In the parent. A step that is still noted was never left. */
static int judge(int status, const struct sx_phase_spot *spot)
{
    if (WIFEXITED(status) && spot->step == NULL)
        return WEXITSTATUS(status);
    if (WIFSIGNALED(status))
        (void)printf("FAIL %s: died of signal %d (%s) in %s\n",
                     spot->step != NULL ? spot->module : "all modules", WTERMSIG(status),
                     strsignal(WTERMSIG(status)), spot->step != NULL ? spot->step : "the server");
    else
        (void)printf("FAIL %s: ended the process with code %d in %s\n", spot->module,
                     WEXITSTATUS(status), spot->step);
    return 1;
}

int sx_trial(struct sx_phase *p, void (*problem)(void *arg, const char *text), void *arg)
{
    struct sx_loader_conf lc;
    int status = 0, rc;
    pid_t pid;

    sx_phase_loader_conf(p, &lc);
    rc = sx_loader_probe(&lc, print_probe, NULL) != 0;
    if (rc != 0 || fflush(stdout) != 0)
        return 1;
    p->spot =
        mmap(NULL, sizeof(*p->spot), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    if (p->spot == MAP_FAILED || (pid = fork()) < 0) {
        problem(arg, strerror(errno));
        p->spot = NULL;
        return 1;
    }
    if (pid == 0)
        return try_start(p, problem, arg);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    rc = judge(status, p->spot);
    (void)munmap(p->spot, sizeof(*p->spot));
    p->spot = NULL;
    return rc;
}

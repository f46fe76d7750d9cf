/* See loader.h. The only room that knows ltdl.h and dlfcn.h.
 *
 * Why every file is read, and then opened twice: the dynamic linker believes a file, so one that is
 * cut short or damaged kills the process; vet.c looks first, and a file without our descriptor is
 * refused before any of its code runs. libltdl binds lazily and hides causes: an undefined function
 * lets the module load and kills the process at the first call, and a missing library is "file not
 * found" to it. So dlopen(RTLD_NOW) goes before it: what dlerror() says is the message. libltdl
 * then only adds its bookkeeping to an object that is already there.
 *
 * With SX_WITHOUT_LTDL the probe's handle is the only one. */
#include "loader.h"

#include <ctype.h>
#include <dirent.h>
#include <dlfcn.h>
#include <errno.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "sextant/sx_vet.h"

#include "vet.h"

#ifndef SX_WITHOUT_LTDL
#include <ltdl.h>
#endif

#ifndef SX_PLUGIN_DIR
#define SX_PLUGIN_DIR "/usr/lib/sextant/plugins-1"
#endif
#define SUBDIR     "lib/sextant/plugins-1"
#define SYMBOL_MAX (NAME_MAX + 32)

/* --- names and paths -------------------------------------------------------------------------- */

/* The package is called after the module without its kind: transport-grpc is in
 * sextant-plugin-grpc. */
static const char *package_of(const char *name)
{
    const char *dash = strchr(name, '-');

    return dash != NULL ? dash + 1 : name;
}

/* The directory `up` levels above the binary: "/usr" for /usr/bin/sextant and 1. */
static int above_binary(char out[PATH_MAX], uint32_t up)
{
    ssize_t n = readlink("/proc/self/exe", out, PATH_MAX - 1);
    char *slash;
    uint32_t i;

    if (n <= 0)
        return SX_EIO;
    out[n] = '\0';
    for (i = 0; i <= up; i++) {
        slash = strrchr(out, '/');
        if (slash == NULL)
            return SX_EIO;
        *slash = '\0';
    }
    return SX_OK;
}

/* The i-th directory that modules are looked for in; 0 past the end. The third is where a build
 * tree has them. */
static int search_dir(uint32_t i, const char *plugin_dir, char out[PATH_MAX])
{
    char base[PATH_MAX];

    out[0] = '\0';
    switch (i) {
    case 0:
        if (plugin_dir != NULL)
            (void)snprintf(out, PATH_MAX, "%s", plugin_dir);
        return 1;
    case 1:
    case 2:
        if (above_binary(base, 2 - i) == SX_OK &&
            snprintf(out, PATH_MAX, "%s/%s", base, SUBDIR) >= PATH_MAX)
            out[0] = '\0';
        return 1;
    case 3:
        (void)snprintf(out, PATH_MAX, "%s", SX_PLUGIN_DIR);
        return 1;
    default:
        return 0;
    }
}

int sx_loader_resolve(
    const char *name, const char *plugin_dir, char *out, uint64_t n, struct sx_err *err)
{
    char dir[PATH_MAX];
    uint32_t i;
    int w;

    if (name[0] == '/') {
        if ((uint64_t)snprintf(out, n, "%s", name) >= n)
            return sx_err_set(err, SX_EINPUT, "the path is too long");
        return SX_OK;
    }
    if (*name == '\0' || strchr(name, '/') != NULL)
        return sx_err_set(err, SX_EINPUT,
                          "'%.80s' is neither the name of a module nor an absolute path", name);
    for (i = 0; search_dir(i, plugin_dir, dir); i++) {
        if (dir[0] == '\0')
            continue;
        w = snprintf(out, n, "%s/%s.so", dir, name);
        if (w > 0 && (uint64_t)w < n && access(out, F_OK) == 0)
            return SX_OK;
    }
    return sx_err_set(err, SX_ENOTFOUND,
                      "not built in, and no file %.60s.so in %s%s%.60s; install package "
                      "sextant-plugin-%.60s",
                      name, plugin_dir != NULL ? plugin_dir : "", plugin_dir != NULL ? " or " : "",
                      SX_PLUGIN_DIR, package_of(name));
}

/* "/x/index-mine.so" -> "index-mine". */
static void stem_of(const char *path, char out[NAME_MAX + 1])
{
    const char *base = strrchr(path, '/');
    char *dot;

    (void)snprintf(out, NAME_MAX + 1, "%s", base != NULL ? base + 1 : path);
    dot = strrchr(out, '.');
    if (dot != NULL && dot != out)
        *dot = '\0';
}

/* --- one file --------------------------------------------------------------------------------- */

/* "/x/index-mine.so" -> "index_mine_LTX_sx_plugin", which is how libltdl finds "sx_plugin". */
static void symbol_of(const char *path, char out[SYMBOL_MAX])
{
    char stem[NAME_MAX + 1];
    char *p;

    stem_of(path, stem);
    for (p = stem; *p != '\0'; p++)
        if (!isalnum((unsigned char)*p))
            *p = '_';
    (void)snprintf(out, SYMBOL_MAX, "%s_LTX_sx_plugin", stem);
}

/* dlerror() begins with the path, which the caller's text has already. */
static const char *dl_reason(const char *path)
{
    const char *text = dlerror();
    uint64_t n = strlen(path);

    if (text == NULL)
        return "unknown error";
    return strncmp(text, path, n) == 0 && text[n] == ':' ? text + n + 1 + (text[n + 1] == ' ')
                                                         : text;
}

#ifndef SX_WITHOUT_LTDL
static int
find_descriptor(const char *path, void *probe, const struct sx_plugin **out, struct sx_err *err)
{
    static int is_ready; /* main thread only */
    lt_dladvise advise;
    lt_dlhandle h;

    (void)probe; /* never closed: the object stays, libltdl counts on top of it */
    if (!is_ready) {
        if (lt_dlinit() != 0)
            return sx_err_set(err, SX_EINTERNAL, "libltdl: %s", lt_dlerror());
        is_ready = 1;
    }
    if (lt_dladvise_init(&advise) != 0)
        return sx_err_set(err, SX_ENOMEM, "libltdl: %s", lt_dlerror());
    (void)lt_dladvise_local(&advise);
    (void)lt_dladvise_resident(&advise);
    h = lt_dlopenadvise(path, advise);
    (void)lt_dladvise_destroy(&advise);
    if (h == NULL)
        return sx_err_set(err, SX_EIO, "libltdl: %s", lt_dlerror());
    *out = lt_dlsym(h, "sx_plugin"); /* finds <stem>_LTX_sx_plugin */
    return SX_OK;
}
#else
static int
find_descriptor(const char *path, void *probe, const struct sx_plugin **out, struct sx_err *err)
{
    char symbol[SYMBOL_MAX];

    (void)err;
    symbol_of(path, symbol);
    *out = dlsym(probe, symbol);
    return SX_OK;
}
#endif

static int no_descriptor(const char *path, struct sx_err *err)
{
    char stem[NAME_MAX + 1];

    stem_of(path, stem);
    return sx_err_set(err, SX_EABI, "the file has no module descriptor '%.60s'", stem);
}

int sx_loader_open(const char *path, const struct sx_plugin **out, struct sx_err *err)
{
    char symbol[SYMBOL_MAX];
    void *probe;
    int rc;

    *out = NULL;
    rc = sx_vet_file(path, err);
    if (rc != SX_OK)
        return rc;
    symbol_of(path, symbol);
    rc = sx_vet_image(path, symbol, err);
    if (rc != SX_OK)
        return rc == SX_ENOTFOUND ? no_descriptor(path, err) : rc;
    probe = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (probe == NULL)
        return sx_err_set(err, SX_EABI, "%s", dl_reason(path));
    rc = find_descriptor(path, probe, out, err);
    return rc == SX_OK && *out == NULL ? no_descriptor(path, err) : rc;
}

/* Judges the descriptor of a file; its name is the file's name. A module of another ABI may have
 * anything where this one has the name, so vetting goes first. */
static int check_file(const char *path, const struct sx_plugin *p, struct sx_err *err)
{
    char stem[NAME_MAX + 1];
    int rc = sx_plugin_vet(p, err);

    if (rc != SX_OK)
        return rc;
    stem_of(path, stem);
    if (strcmp(stem, p->name) != 0)
        return sx_err_set(err, SX_EABI, "the file holds module '%.60s', not '%.60s'", p->name,
                          stem);
    return SX_OK;
}

/* --- all of them ------------------------------------------------------------------------------ */

static int is_listed(const char *const *list, const char *name)
{
    for (; list != NULL && *list != NULL; list++)
        if (strcmp(*list, name) == 0)
            return 1;
    return 0;
}

static int is_companion(const char *name)
{
    for (const char *const *c = sx_companions; *c != NULL; c++)
        if (strcmp(*c, name) == 0)
            return 1;
    return 0;
}

static int is_builtin(const char *name)
{
    const struct sx_plugin *const *p;

    for (p = sx_builtin_plugins; *p != NULL; p++)
        if (strcmp((*p)->name, name) == 0)
            return 1;
    return 0;
}

static void tell(const struct sx_loader_conf *conf, const char *name, const struct sx_err *err)
{
    char text[640];

    (void)snprintf(text, sizeof(text), "module '%s': %s", name, err->msg);
    if (conf->problem != NULL)
        conf->problem(conf->arg, text);
}

/* Resolves and opens one entry of the list; *out stays NULL for a name that is built in. */
static int open_entry(const struct sx_loader_conf *conf,
                      const char *name,
                      char path[PATH_MAX],
                      const struct sx_plugin **out,
                      struct sx_err *err)
{
    int rc;

    *out = NULL;
    if (name[0] != '/' && is_builtin(name))
        return SX_OK;
    rc = sx_loader_resolve(name, conf->plugin_dir, path, PATH_MAX, err);
    return rc == SX_OK ? sx_loader_open(path, out, err) : rc;
}

static int is_module_file(const struct dirent *e)
{
    uint64_t n = strlen(e->d_name);

    return n > 3 && e->d_name[0] != '.' && strcmp(e->d_name + n - 3, ".so") == 0;
}

static int add_file(struct sx_registry *r,
                    const struct sx_loader_conf *conf,
                    const char *name,
                    struct sx_err *err)
{
    const struct sx_plugin *p;
    char path[PATH_MAX];
    int rc = open_entry(conf, name, path, &p, err);

    if (rc != SX_OK || p == NULL)
        return rc;
    rc = check_file(path, p, err);
    return rc == SX_OK ? sx_registry_add(r, p, path, conf->allow_test, err) : rc;
}

/* A server of which nothing is built in and that is told nothing takes all files of the first
 * directory that has any, by name, so that it is the server it would have been with everything
 * built in. */
static uint32_t add_found(struct sx_registry *r, const struct sx_loader_conf *conf)
{
    struct dirent **list = NULL;
    char dir[PATH_MAX], path[PATH_MAX];
    struct sx_err err;
    uint32_t i, n_bad = 0;
    int n = 0, k;

    for (i = 0; n <= 0 && search_dir(i, conf->plugin_dir, dir); i++)
        if (dir[0] != '\0')
            n = scandir(dir, &list, is_module_file, alphasort);
    for (k = 0; k < n; k++) {
        err = (struct sx_err)SX_ERR_INIT;
        list[k]->d_name[strlen(list[k]->d_name) - 3] = '\0';
        if (!is_listed(conf->disable, list[k]->d_name) &&
            (snprintf(path, sizeof(path), "%s/%s.so", dir, list[k]->d_name) >= PATH_MAX ||
             add_file(r, conf, path, &err) != SX_OK)) {
            tell(conf, list[k]->d_name, &err);
            n_bad++;
        }
        free(list[k]);
    }
    free(list);
    return n_bad;
}

/* Files of this build that are beside the binary are loaded like what is built in. One that is not
 * there was not installed, which is no mistake: what needs it says so when it is asked for. */
static uint32_t add_companions(struct sx_registry *r, const struct sx_loader_conf *conf)
{
    char path[PATH_MAX];
    struct sx_err err;
    uint32_t n_bad = 0;

    for (const char *const *name = sx_companions; *name != NULL; name++) {
        err = (struct sx_err)SX_ERR_INIT;
        if (is_listed(conf->disable, *name) || sx_registry_module(r, *name) != NULL ||
            sx_loader_resolve(*name, conf->plugin_dir, path, sizeof(path), &err) != SX_OK)
            continue;
        if (add_file(r, conf, *name, &err) != SX_OK) {
            tell(conf, *name, &err);
            n_bad++;
        }
    }
    return n_bad;
}

/* Files come first: a path given explicitly keeps the built-in module of the same name out. */
int sx_loader_load(struct sx_registry *r, const struct sx_loader_conf *conf)
{
    const char *const *name;
    const struct sx_plugin *const *p;
    struct sx_err err;
    uint32_t n_bad = 0;

    for (name = conf->plugins; name != NULL && *name != NULL; name++) {
        err = (struct sx_err)SX_ERR_INIT;
        if (add_file(r, conf, *name, &err) != SX_OK) {
            tell(conf, *name, &err);
            n_bad++;
        }
    }
    if (conf->plugins == NULL && sx_builtin_plugins[0] == NULL)
        return add_found(r, conf) == 0 ? SX_OK : SX_EPRECOND;
    for (name = conf->disable; name != NULL && *name != NULL; name++)
        if (!is_builtin(*name) && !is_companion(*name)) {
            err = (struct sx_err)SX_ERR_INIT;
            (void)sx_err_set(&err, SX_ENOTFOUND, "sextant.disable names no built-in module");
            tell(conf, *name, &err);
            n_bad++;
        }
    for (p = sx_builtin_plugins; *p != NULL; p++) {
        err = (struct sx_err)SX_ERR_INIT;
        if (is_listed(conf->disable, (*p)->name) || sx_registry_module(r, (*p)->name) != NULL)
            continue;
        if (sx_registry_add(r, *p, "builtin", conf->allow_test, &err) != SX_OK) {
            tell(conf, (*p)->name, &err);
            n_bad++;
        }
    }
    n_bad += add_companions(r, conf);
    return n_bad == 0 ? SX_OK : SX_EPRECOND;
}

/* --- probing ---------------------------------------------------------------------------------- */

/* In the child: everything that could crash on a bad file. */
static int probe_entry(const struct sx_loader_conf *conf, const char *name, struct sx_err *err)
{
    const struct sx_plugin *p;
    char path[PATH_MAX];
    int rc = open_entry(conf, name, path, &p, err);

    return rc == SX_OK && p != NULL ? check_file(path, p, err) : rc;
}

static int probe_child(const struct sx_loader_conf *conf, const char *name, char text[260])
{
    struct sx_err err = SX_ERR_INIT;
    int fds[2], status;
    ssize_t n;
    pid_t pid;

    if (pipe(fds) != 0 || (pid = fork()) < 0) {
        (void)snprintf(text, 260, "%s", strerror(errno));
        return SX_EIO;
    }
    if (pid == 0) {
        int rc = probe_entry(conf, name, &err);

        n = write(fds[1], err.msg, strlen(err.msg));
        _exit(rc == SX_OK && n >= 0 ? 0 : 1);
    }
    (void)close(fds[1]);
    do
        n = read(fds[0], text, 259);
    while (n < 0 && errno == EINTR);
    text[n > 0 ? n : 0] = '\0';
    (void)close(fds[0]);
    while (waitpid(pid, &status, 0) < 0 && errno == EINTR)
        ;
    if (WIFSIGNALED(status)) {
        (void)snprintf(text, 260, "died of signal %d (%s)", WTERMSIG(status),
                       strsignal(WTERMSIG(status)));
        return SX_EABI;
    }
    return WEXITSTATUS(status) == 0 ? SX_OK : SX_EABI;
}

uint32_t sx_loader_probe(const struct sx_loader_conf *conf,
                         void (*told)(void *arg, const char *name, int ok, const char *text),
                         void *arg)
{
    const char *const *name;
    uint32_t n_bad = 0;
    char text[260];
    int rc;

    for (name = conf->plugins; name != NULL && *name != NULL; name++) {
        rc = probe_child(conf, *name, text);
        n_bad += rc != SX_OK;
        told(arg, *name, rc == SX_OK, text);
    }
    return n_bad;
}

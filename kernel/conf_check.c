/* Two reports about the configuration: what the server makes of it (--check-config), and what could
 * stand in it (--print-defaults). Both know the keys of the loaded modules. */
#include <stdio.h>
#include <string.h>

#include "conf.h"

struct report {
    struct sx_conf *c;
    const struct sx_plugin *const *plugins;
    uint32_t n;
    struct sx_buf *out;
    uint32_t n_unknown, n_idle;
};

/* 1 when `path` is `of` or lies below it. */
static int is_below(const char *path, const char *of)
{
    uint64_t n = strlen(of);

    return strncmp(path, of, n) == 0 && (path[n] == '\0' || path[n] == '.');
}

/* --- known and honoured ----------------------------------------------------------------------- */

/* A module that has the key, or a whole subtree that contains it. */
static int module_has(const struct report *r, const char *path)
{
    const struct sx_key *k;
    uint32_t i, j;

    for (i = 0; i < r->n; i++)
        for (j = 0; j < r->plugins[i]->n_keys; j++) {
            k = sx_conf_bind_key(r->plugins[i], j);
            if (strcmp(k->path, path) == 0 || (k->type == SX_KEY_TREE && is_below(path, k->path)))
                return 1;
        }
    return 0;
}

static int is_known(const struct report *r, const char *path)
{
    const struct sx_conf_key *k;

    for (k = sx_conf_keys; k < sx_conf_keys + sx_conf_keys_n; k++)
        if (strcmp(k->path, path) == 0 || (k->type == SX_CONF_T_ANY && is_below(path, k->path)))
            return 1;
    return module_has(r, path);
}

static int is_honoured(const struct report *r, const char *path)
{
    const struct sx_conf_key *k;

    for (k = sx_conf_keys; k < sx_conf_keys + sx_conf_keys_n; k++)
        if ((strcmp(k->path, path) == 0 || (k->type == SX_CONF_T_ANY && is_below(path, k->path))) &&
            (k->flags & (SX_CONF_KERNEL | SX_CONF_IGNORED)) != 0)
            return 1;
    return module_has(r, path);
}

static void add_place(struct sx_buf *out, const struct sx_conf_node *v)
{
    if (v->line != 0)
        sx_buf_printf(out, " (%s:%u)\n", v->origin, v->line);
    else
        sx_buf_printf(out, " (%s)\n", v->origin != NULL ? v->origin : "default");
}

/* Visits every leaf that some source has set, and every unknown node above. */
static void walk(struct report *r,
                 const struct sx_conf_node *map,
                 char *path,
                 uint64_t n,
                 void (*leaf)(struct report *r, const char *path, const struct sx_conf_node *v))
{
    const struct sx_conf_node *v;
    int w;

    for (v = map->first; v != NULL; v = v->next) {
        w = snprintf(path + n, 512 - n, "%s%s", n != 0 ? "." : "", v->key);
        if (w < 0 || n + (uint64_t)w >= 512 || v->source == SX_CONF_SRC_DEFAULT)
            continue;
        if (v->kind == SX_CONF_MAP && is_known(r, path))
            walk(r, v, path, n + (uint64_t)w, leaf);
        else
            leaf(r, path, v);
        path[n] = '\0';
    }
}

static int is_in_plugins(const char *path)
{
    return is_below(path, "plugins");
}

static void tell_unknown(struct report *r, const char *path, const struct sx_conf_node *v)
{
    if (is_in_plugins(path) || is_known(r, path))
        return;
    if (r->n_unknown++ == 0)
        sx_buf_adds(r->out, "Unknown keys, ignored:\n");
    sx_buf_printf(r->out, "- %s", path);
    add_place(r->out, v);
}

/* A key written down with the value it has anyway asks for nothing. */
static int is_default(struct report *r, const char *path, const struct sx_conf_node *v)
{
    const struct sx_conf_key *k = sx_conf_key_find(path);
    struct sx_conf_node *def;

    if (k == NULL)
        return 0;
    if (k->def == NULL)
        return v->kind == SX_CONF_NULL;
    if (sx_conf_tree_value(&r->c->arena, k->def, &def, NULL) != SX_OK ||
        sx_conf_as_key(&r->c->arena, def, k, NULL) != SX_OK || def->kind != v->kind)
        return 0;
    switch (v->kind) {
    case SX_CONF_STR:
        return strcmp(v->v.s, def->v.s) == 0;
    case SX_CONF_BOOL:
        return v->v.b == def->v.b;
    case SX_CONF_F64:
        return v->v.f == def->v.f;
    case SX_CONF_I64:
    case SX_CONF_U64:
        return v->v.u == def->v.u;
    default:
        return v->kind == SX_CONF_NULL;
    }
}

static void tell_idle(struct report *r, const char *path, const struct sx_conf_node *v)
{
    if (is_in_plugins(path) || !is_known(r, path) || is_honoured(r, path) || is_default(r, path, v))
        return;
    if (r->n_idle++ == 0)
        sx_buf_adds(r->out, "Accepted, not yet honoured by any loaded module:\n");
    sx_buf_printf(r->out, "- %s", path);
    add_place(r->out, v);
}

int sx_conf_check(struct sx_conf *c,
                  const struct sx_plugin *const *plugins,
                  uint32_t n,
                  struct sx_buf *out)
{
    static const char *const words[] = {"ERROR", "WARN", "INFO", "DEBUG", "TRACE"};
    struct report r = {c, plugins, n, out, 0, 0};
    const struct sx_conf_note *note;
    char path[512] = "";

    for (note = c->notes; note != NULL; note = note->next)
        sx_buf_printf(out, "%s: %s\n", words[note->level], note->text);
    walk(&r, c->root, path, 0, tell_unknown);
    walk(&r, c->root, path, 0, tell_idle);
    sx_buf_printf(out,
                  "The configuration is valid: %u unknown keys, %u values out of range, %u "
                  "keys not yet honoured\n",
                  r.n_unknown, c->n_range, r.n_idle);
    return SX_OK;
}

/* --- defaults --------------------------------------------------------------------------------- */

/* One key of the file to be printed. Sections are made from the paths. */
struct item {
    struct item *next, *first, *last;
    const char *key, *def, *help;
    uint32_t n_key, is_leaf, has_def;
};

struct printer {
    struct sx_arena arena;
    struct item root;
};

static struct item *child(struct printer *pr, struct item *of, const char *key, uint32_t n)
{
    struct item *it;

    for (it = of->first; it != NULL; it = it->next)
        if (it->n_key == n && memcmp(it->key, key, n) == 0)
            return it;
    it = sx_arena_zalloc(&pr->arena, sizeof(*it));
    if (it == NULL)
        return NULL;
    it->key = key;
    it->n_key = n;
    if (of->last != NULL)
        of->last->next = it;
    else
        of->first = it;
    of->last = it;
    return it;
}

static void add(struct printer *pr,
                struct item *at,
                const char *path,
                const char *def,
                const char *help,
                int leaf)
{
    const char *dot;

    for (; at != NULL && (dot = strchr(path, '.')) != NULL; path = dot + 1)
        at = child(pr, at, path, (uint32_t)(dot - path));
    if (at != NULL)
        at = child(pr, at, path, (uint32_t)strlen(path));
    if (at == NULL || at->help != NULL) /* the first table that names a key describes it */
        return;
    at->def = def;
    at->help = help != NULL ? help : "";
    at->is_leaf = (uint32_t)leaf;
}

static uint32_t mark(struct item *it)
{
    struct item *c;

    it->has_def = it->def != NULL;
    for (c = it->first; c != NULL; c = c->next)
        if (mark(c))
            it->has_def = 1;
    return it->has_def;
}

/* What has no default is printed as a comment, and so is a section with nothing but such. */
static void print_item(const struct item *it, uint32_t depth, struct sx_buf *out)
{
    const struct item *c;
    const char *off = it->has_def ? "" : "#";
    char indent[64];

    memset(indent, ' ', sizeof(indent));
    indent[depth * 2 < 60 ? depth * 2 : 60] = '\0';
    if (it->help != NULL && *it->help != '\0')
        sx_buf_printf(out, "%s# %s\n", indent, it->help);
    sx_buf_printf(out, "%s%s%.*s:%s%s\n", indent, off, (int)it->n_key, it->key,
                  it->def != NULL ? " " : "", it->def != NULL ? it->def : "");
    for (c = it->first; c != NULL; c = c->next)
        print_item(c, depth + 1, out);
    if (depth == 0)
        sx_buf_addc(out, '\n');
}

static void add_module(struct printer *pr, const struct sx_plugin *p)
{
    struct item *sect = child(pr, &pr->root, "plugins", 7);
    const struct sx_key *k;
    uint32_t i;

    for (i = 0; i < p->n_keys; i++) {
        k = sx_conf_bind_key(p, i);
        if (strchr(k->path, '.') != NULL) {
            add(pr, &pr->root, k->path, k->def, k->help, 1);
            continue;
        }
        if (sect != NULL && sect->help == NULL)
            sect->help = "One section per module, by its name.";
        add(pr, sect != NULL ? child(pr, sect, p->name, (uint32_t)strlen(p->name)) : NULL, k->path,
            k->def, k->help, 1);
    }
}

void sx_conf_print_defaults(const struct sx_plugin *const *plugins, uint32_t n, struct sx_buf *out)
{
    const struct sx_conf_key *k;
    struct printer pr;
    const struct item *it;
    uint32_t i;

    memset(&pr, 0, sizeof(pr));
    sx_arena_init(&pr.arena, out->mem, 0);
    for (k = sx_conf_keys; k < sx_conf_keys + sx_conf_keys_n; k++)
        add(&pr, &pr.root, k->path, k->def, k->help, k->type != SX_CONF_T_SECT);
    for (i = 0; i < n; i++)
        add_module(&pr, plugins[i]);
    (void)mark(&pr.root);
    sx_buf_adds(out, "# Every key with its default. Keys without one are commented out.\n\n");
    for (it = pr.root.first; it != NULL; it = it->next)
        print_item(it, 0, out);
    sx_arena_fini(&pr.arena);
}

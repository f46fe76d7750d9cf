/* Nodes: finding, placing, merging. Trees are small (some hundred nodes), so members of a map are a
 * list in the order of the file and looked up one after the other. All nodes live in the arena of
 * their generation; nothing is ever freed on its own. */
#include <string.h>

#include "conf.h"

struct sx_conf_node *sx_conf_node_new(struct sx_arena *a, uint32_t kind)
{
    struct sx_conf_node *v = sx_arena_zalloc(a, sizeof(*v));

    if (v != NULL)
        v->kind = kind;
    return v;
}

struct sx_conf_node *sx_conf_node_get(const struct sx_conf_node *map, const char *key, uint64_t n)
{
    struct sx_conf_node *v;

    if (map == NULL || map->kind != SX_CONF_MAP)
        return NULL;
    for (v = map->first; v != NULL; v = v->next)
        if (strlen(v->key) == n && memcmp(v->key, key, n) == 0)
            return v;
    return NULL;
}

void sx_conf_node_append(struct sx_conf_node *parent, struct sx_conf_node *v)
{
    v->next = NULL;
    if (parent->last != NULL)
        parent->last->next = v;
    else
        parent->first = v;
    parent->last = v;
}

void sx_conf_node_put(struct sx_conf_node *map, const char *key, struct sx_conf_node *v)
{
    struct sx_conf_node *old, *prev = NULL;

    v->key = key;
    for (old = map->first; old != NULL; prev = old, old = old->next) {
        if (strcmp(old->key, key) != 0)
            continue;
        v->next = old->next;
        if (prev != NULL)
            prev->next = v;
        else
            map->first = v;
        if (map->last == old)
            map->last = v;
        return;
    }
    sx_conf_node_append(map, v);
}

struct sx_conf_node *sx_conf_node_at(const struct sx_conf_node *root, const char *path)
{
    const struct sx_conf_node *v = root;
    const char *dot;

    for (;;) {
        dot = strchr(path, '.');
        v = sx_conf_node_get(v, path, dot != NULL ? (uint64_t)(dot - path) : strlen(path));
        if (v == NULL || dot == NULL)
            return (struct sx_conf_node *)(uintptr_t)v;
        path = dot + 1;
    }
}

int sx_conf_node_set(struct sx_arena *a,
                     struct sx_conf_node *root,
                     const char *path,
                     struct sx_conf_node *v)
{
    struct sx_conf_node *map = root, *next;
    const char *dot;
    char *key;

    while ((dot = strchr(path, '.')) != NULL) {
        next = sx_conf_node_get(map, path, (uint64_t)(dot - path));
        if (next == NULL || next->kind != SX_CONF_MAP) {
            next = sx_conf_node_new(a, SX_CONF_MAP);
            key = sx_arena_strdup(a, path, (uint64_t)(dot - path));
            if (next == NULL || key == NULL)
                return SX_ENOMEM;
            next->source = v->source;
            next->origin = v->origin;
            sx_conf_node_put(map, key, next);
        }
        map = next;
        path = dot + 1;
    }
    key = sx_arena_strdup(a, path, strlen(path));
    if (key == NULL)
        return SX_ENOMEM;
    sx_conf_node_put(map, key, v);
    return SX_OK;
}

void sx_conf_node_merge(struct sx_conf_node *base, struct sx_conf_node *over)
{
    struct sx_conf_node *v, *next, *old;

    for (v = over->first; v != NULL; v = next) {
        next = v->next;
        old = sx_conf_node_get(base, v->key, strlen(v->key));
        if (old != NULL && old->kind == SX_CONF_MAP && v->kind == SX_CONF_MAP) {
            old->source = v->source;
            old->origin = v->origin;
            old->line = v->line;
            old->col = v->col;
            sx_conf_node_merge(old, v);
        } else {
            sx_conf_node_put(base, v->key, v);
        }
    }
}

void sx_conf_node_doc(const struct sx_conf_node *v, struct sx_docb *b)
{
    const struct sx_conf_node *c;

    switch (v->kind) {
    case SX_CONF_BOOL:
        sx_docb_bool(b, (int)v->v.b);
        break;
    case SX_CONF_I64:
        sx_docb_i64(b, v->v.i);
        break;
    case SX_CONF_U64:
        sx_docb_u64(b, v->v.u);
        break;
    case SX_CONF_F64:
        sx_docb_f64(b, v->v.f);
        break;
    case SX_CONF_STR:
        sx_docb_str(b, v->v.s, (uint32_t)strlen(v->v.s));
        break;
    case SX_CONF_MAP:
        sx_docb_obj(b);
        for (c = v->first; c != NULL; c = c->next) {
            sx_docb_key(b, c->key, (uint32_t)strlen(c->key));
            sx_conf_node_doc(c, b);
        }
        sx_docb_close(b);
        break;
    case SX_CONF_LIST:
        sx_docb_arr(b);
        for (c = v->first; c != NULL; c = c->next)
            sx_conf_node_doc(c, b);
        sx_docb_close(b);
        break;
    default:
        sx_docb_null(b);
    }
}

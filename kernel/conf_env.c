/* Environment variables -> a tree, as if they were a file.
 *
 * QDRANT__SERVICE__API_KEY is service.api_key; names are taken in any case and made small. The same
 * scheme with the prefix SEXTANT__ is read afterwards and wins, so that a unit file can override an
 * inherited environment. Values are strings; what they mean is decided by the key (conf_coerce.c),
 * which is also what makes an empty number an error. Lists cannot be given this way.
 *
 * Shells cannot set names with '-', module names contain one: below `plugins` an underscore in the
 * module's name stands for it (SEXTANT__PLUGINS__TRANSPORT_REST__KEY ->
 * plugins.transport-rest.key).
 */
#include <ctype.h>
#include <string.h>
#include <strings.h>

#include "conf.h"

#define ORIGIN "the environment"

const char *sx_conf_env_get(char *const *env, const char *name)
{
    uint64_t n = strlen(name);

    for (; env != NULL && *env != NULL; env++)
        if (strncmp(*env, name, n) == 0 && (*env)[n] == '=')
            return *env + n + 1;
    return NULL;
}

/* "SERVICE__API_KEY" -> "service.api_key"; NULL when a level is empty. */
static char *path_of(struct sx_arena *a, const char *name, uint64_t n)
{
    char *path = sx_arena_alloc(a, n + 1), *w = path;
    int is_module;
    uint64_t i;

    if (path == NULL)
        return NULL;
    for (i = 0; i < n; i++) {
        if (i + 1 < n && name[i] == '_' && name[i + 1] == '_') {
            if (w == path || w[-1] == '.')
                return NULL;
            *w++ = '.';
            i++;
        } else {
            *w++ = name[i] == '.' ? '_' : (char)tolower((unsigned char)name[i]);
        }
    }
    if (w == path || w[-1] == '.')
        return NULL;
    *w = '\0';
    if (strncmp(path, "plugins.", 8) == 0)
        for (w = path + 8, is_module = 1; is_module && *w != '\0'; w++) {
            if (*w == '_')
                *w = '-';
            is_module = *w != '.';
        }
    return path;
}

static int
read_prefix(struct sx_arena *a, char *const *env, const char *prefix, struct sx_conf_node *root)
{
    uint64_t n = strlen(prefix);
    struct sx_conf_node *v;
    const char *eq;
    char *path;
    int rc;

    for (; *env != NULL; env++) {
        eq = strchr(*env, '=');
        if (eq == NULL || (uint64_t)(eq - *env) <= n || strncasecmp(*env, prefix, n) != 0)
            continue;
        path = path_of(a, *env + n, (uint64_t)(eq - *env) - n);
        if (path == NULL)
            continue;
        v = sx_conf_node_new(a, SX_CONF_STR);
        if (v == NULL)
            return SX_ENOMEM;
        v->source = SX_CONF_SRC_ENV;
        v->origin = ORIGIN;
        v->v.s = sx_arena_strdup(a, eq + 1, strlen(eq + 1));
        if (v->v.s == NULL)
            return SX_ENOMEM;
        rc = sx_conf_node_set(a, root, path, v);
        if (rc != SX_OK)
            return rc;
    }
    return SX_OK;
}

int sx_conf_env_read(struct sx_arena *a, char *const *env, struct sx_conf_node **out)
{
    struct sx_conf_node *root;
    int rc;

    *out = NULL;
    if (env == NULL)
        return SX_OK;
    root = sx_conf_node_new(a, SX_CONF_MAP);
    if (root == NULL)
        return SX_ENOMEM;
    root->source = SX_CONF_SRC_ENV;
    root->origin = ORIGIN;
    rc = read_prefix(a, env, "QDRANT__", root);
    if (rc == SX_OK)
        rc = read_prefix(a, env, "SEXTANT__", root);
    if (rc == SX_OK && root->first != NULL)
        *out = root;
    return rc;
}

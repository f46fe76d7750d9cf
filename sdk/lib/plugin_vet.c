/* Vetting a descriptor: head, names, section text, provides, needs, keys.
 *
 * The order matters: nothing behind the first 16 bytes is read before size, magic and ABI are known
 * to be good, and an array is walked only after its stride was found plausible. Pointers cannot be
 * checked; what they point at is read as the descriptor says. Callbacks are looked at in
 * plugin_vet_kinds.c. */
#include "plugin_vet.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "sextant/sx_doc.h"
#include "sextant/sx_vet.h"

/* Ends of the tables of ABI 1.0: what every module of this major has at least. */
#define PLUGIN_SIZE_1_0  (uint32_t)(offsetof(struct sx_plugin, stop) + sizeof(void (*)(void *)))
#define PROVIDE_SIZE_1_0 (uint32_t)(offsetof(struct sx_provide, ops) + sizeof(void *))
#define NEED_SIZE_1_0    (uint32_t)(offsetof(struct sx_need, name) + sizeof(char *))
#define KEY_SIZE_1_0     (uint32_t)(offsetof(struct sx_key, help) + sizeof(char *))

/* Above these a size is a mistake: a configuration struct of pointers and numbers, the state of one
 * module, the state of one module on one thread. */
#define CONF_SIZE_MAX     (1u << 20)
#define INSTANCE_SIZE_MAX (64u << 20)
#define THREAD_SIZE_MAX   (16u << 20)
#define ENTRIES_MAX       4096u
#define NAME_MAX_BYTES    63u
#define SECTION_MAX_BYTES 1024u

void sx_vet__finding(struct sx_vet *v, const char *fmt, ...)
{
    char text[240];
    va_list ap;
    va_start(ap, fmt);
    vsnprintf(text, sizeof(text), fmt, ap);
    va_end(ap);
    v->n++;
    v->sink(v->arg, text);
}

static const void *entry_at(const void *array, uint32_t stride, uint32_t i)
{
    return (const uint8_t *)array + (uint64_t)i * stride;
}

/* 1 when the rest may be read. */
static int check_head(struct sx_vet *v, const struct sx_plugin *p)
{
    if (p->magic != SX_PLUGIN_MAGIC) {
        sx_vet__finding(v, "not a descriptor: magic %#llx", (unsigned long long)p->magic);
        return 0;
    }
    if (p->abi_major != SX_ABI_MAJOR || p->abi_minor > SX_ABI_MINOR) {
        sx_vet__finding(v, "built for ABI %u.%u, this is %u.%u", p->abi_major, p->abi_minor,
                        SX_ABI_MAJOR, SX_ABI_MINOR);
        return 0;
    }
    if (p->size < PLUGIN_SIZE_1_0 || p->size > sizeof(struct sx_plugin)) {
        sx_vet__finding(v, "descriptor of %u bytes, ABI %u.%u has %u to %u", p->size, p->abi_major,
                        p->abi_minor, PLUGIN_SIZE_1_0, (uint32_t)sizeof(struct sx_plugin));
        return 0;
    }
    return 1;
}

/* "<kind>-<name>": lower case, digits and hyphens, so that file, symbol and package follow. Where
 * one module of a kind is the rule (the engine), the kind alone is its name. */
static int is_module_name(const char *s)
{
    size_t n = strlen(s);
    int has_hyphen = 0;
    if (n == 0 || n > NAME_MAX_BYTES || s[0] < 'a' || s[0] > 'z' || s[n - 1] == '-')
        return 0;
    for (size_t i = 0; i < n; i++) {
        int is_alnum = (s[i] >= 'a' && s[i] <= 'z') || (s[i] >= '0' && s[i] <= '9');
        if (s[i] == '-' && s[i - 1] != '-')
            has_hyphen = 1;
        else if (!is_alnum)
            return 0;
    }
    return has_hyphen || sx_kind_parse(s, strlen(s)) != 0;
}

/* Provider and key names end up in texts and logs: printable ASCII without blanks. */
static int is_word(const char *s)
{
    size_t n = strlen(s);
    for (size_t i = 0; i < n; i++)
        if (s[i] <= ' ' || s[i] > '~')
            return 0;
    return n > 0 && n <= NAME_MAX_BYTES;
}

static int is_line(const char *s)
{
    return s != NULL && s[0] != '\0' && strpbrk(s, "\r\n\t") == NULL;
}

/* 1 when the name is good, so that other findings may quote it. */
static int check_strings(struct sx_vet *v, const struct sx_plugin *p)
{
    if (p->name == NULL || !is_module_name(p->name)) {
        sx_vet__finding(v,
                        "name must be '<kind>-<name>' in lower case letters, digits and hyphens");
        return 0;
    }
    if (!is_line(p->version))
        sx_vet__finding(v, "version is missing");
    if (!is_line(p->licence))
        sx_vet__finding(v, "licence is missing");
    if (!is_line(p->summary))
        sx_vet__finding(v, "summary is missing or not one line");
    if (!is_line(p->build_id))
        sx_vet__finding(v, "build id is missing");
    else if ((p->flags & SX_PLUGIN_STRICT) != 0 && strcmp(p->build_id, SX_BUILD_ID) != 0)
        sx_vet__finding(v, "strict module of build '%.60s', this is build '%.60s'", p->build_id,
                        SX_BUILD_ID);
    if ((p->flags & ~(SX_PLUGIN_STRICT | SX_PLUGIN_TEST_ONLY)) != 0)
        sx_vet__finding(v, "unknown flags %#x", p->flags);
    return 1;
}

/* The value of `key=` in the section text; n 0 when it is not there. */
static struct sx_str section_value(const char *text, const char *key)
{
    size_t key_n = strlen(key);
    struct sx_str out = {0};
    for (const char *s = strchr(text, ' '); s != NULL; s = strchr(s, ' ')) {
        s++;
        if (strncmp(s, key, key_n) == 0 && s[key_n] == '=') {
            out.p = s + key_n + 1;
            out.n = (uint32_t)strcspn(out.p, " ");
            return out;
        }
    }
    return out;
}

static int provides_kind(const struct sx_plugin *p, uint32_t kind)
{
    for (uint32_t i = 0; i < p->n_provides; i++) {
        const struct sx_provide *e = entry_at(p->provides, p->provide_size, i);
        if (e->kind == kind)
            return 1;
    }
    return 0;
}

/* The text tools read without loading the file must say what the descriptor says. Called after the
 * provides were found in order. */
static void check_section(struct sx_vet *v, const struct sx_plugin *p)
{
    if (p->section == NULL || strnlen(p->section, SECTION_MAX_BYTES) == SECTION_MAX_BYTES) {
        sx_vet__finding(v, "section text is missing or too long");
        return;
    }
    size_t name_n = strlen(p->name);
    if (strncmp(p->section, p->name, name_n) != 0 || p->section[name_n] != ' ')
        sx_vet__finding(v, "section text does not begin with '%s'", p->name);

    char abi[16];
    int n = snprintf(abi, sizeof(abi), "%u.%u", p->abi_major, p->abi_minor);
    struct sx_str value = section_value(p->section, "abi");
    if (value.n != (uint32_t)n || memcmp(value.p, abi, value.n) != 0)
        sx_vet__finding(v, "section text lacks 'abi=%s'", abi);

    uint64_t named = 0;
    value = section_value(p->section, "kinds");
    for (uint32_t at = 0; at < value.n;) {
        uint32_t len = 0;
        while (at + len < value.n && value.p[at + len] != ',')
            len++;
        uint32_t kind = sx_kind_parse(value.p + at, len);
        if (kind == 0 || !provides_kind(p, kind))
            sx_vet__finding(v, "section text names kind '%.*s', which is not provided",
                            (int)(len < 40 ? len : 40), value.p + at);
        named |= 1ull << kind;
        at += len + 1;
    }
    for (uint32_t kind = 1; kind < SX_KIND_MAX; kind++)
        if (provides_kind(p, kind) && (named >> kind & 1) == 0)
            sx_vet__finding(v, "section text does not name kind '%s'", sx_kind_name(kind));
}

/* 1 when the array may be walked. */
static int check_array(struct sx_vet *v,
                       const char *what,
                       const void *array,
                       uint32_t n,
                       uint32_t stride,
                       uint32_t least,
                       uint32_t most)
{
    if (n == 0)
        return 1;
    if (array == NULL || n > ENTRIES_MAX || stride < least || stride > most || stride % 8 != 0) {
        sx_vet__finding(v, "%s: %u entries of %u bytes, an entry has %u to %u", what, n, stride,
                        least, most);
        return 0;
    }
    for (uint32_t i = 0; i < n; i++) {
        uint32_t size = *(const uint32_t *)entry_at(array, stride, i);
        if (size < least || size > stride) {
            sx_vet__finding(v, "%s: entry %u says %u bytes, the stride is %u", what, i, size,
                            stride);
            return 0;
        }
    }
    return 1;
}

static int is_provide_twice(const struct sx_plugin *p, uint32_t i)
{
    const struct sx_provide *a = entry_at(p->provides, p->provide_size, i);
    for (uint32_t j = 0; j < i; j++) {
        const struct sx_provide *b = entry_at(p->provides, p->provide_size, j);
        if (a->kind == b->kind && b->name != NULL && strcmp(a->name, b->name) == 0)
            return 1;
    }
    return 0;
}

/* 1 when kinds and names are good. */
static int check_provides(struct sx_vet *v, const struct sx_plugin *p)
{
    if (!check_array(v, "provides", p->provides, p->n_provides, p->provide_size, PROVIDE_SIZE_1_0,
                     (uint32_t)sizeof(struct sx_provide)))
        return 0;
    uint32_t before = v->n;
    for (uint32_t i = 0; i < p->n_provides; i++) {
        const struct sx_provide *e = entry_at(p->provides, p->provide_size, i);
        const char *kind = sx_kind_name(e->kind);
        if (kind == NULL) {
            sx_vet__finding(v, "provide %u: unknown kind %u", i, e->kind);
        } else if (e->name == NULL || !is_word(e->name)) {
            sx_vet__finding(v, "provide %u: %s without a proper name", i, kind);
        } else if (e->ops == NULL) {
            sx_vet__finding(v, "%s '%s': no table", kind, e->name);
        } else if (is_provide_twice(p, i)) {
            sx_vet__finding(v, "%s '%s' is provided twice", kind, e->name);
        }
    }
    if (v->n != before)
        return 0;
    for (uint32_t i = 0; i < p->n_provides; i++)
        sx_vet__provide(v, entry_at(p->provides, p->provide_size, i));
    return 1;
}

static void check_needs(struct sx_vet *v, const struct sx_plugin *p)
{
    if (!check_array(v, "needs", p->needs, p->n_needs, p->need_size, NEED_SIZE_1_0,
                     (uint32_t)sizeof(struct sx_need)))
        return;
    for (uint32_t i = 0; i < p->n_needs; i++) {
        const struct sx_need *e = entry_at(p->needs, p->need_size, i);
        if (sx_kind_name(e->kind) == NULL)
            sx_vet__finding(v, "need %u: unknown kind %u", i, e->kind);
        else if (e->name == NULL || !is_word(e->name))
            sx_vet__finding(v, "need %u: %s without a proper name", i, sx_kind_name(e->kind));
        else if (e->strength != SX_NEED_SOFT && e->strength != SX_NEED_HARD)
            sx_vet__finding(v, "need %u: strength %u", i, e->strength);
    }
}

/* Bytes a key of the type takes in the configuration struct; 0 for no type. */
static uint32_t key_bytes(uint32_t type)
{
    switch (type) {
    case SX_KEY_STR:
    case SX_KEY_LIST:
        return (uint32_t)sizeof(char *);
    case SX_KEY_U64:
    case SX_KEY_I64:
    case SX_KEY_F64:
        return 8;
    case SX_KEY_BOOL:
        return 4;
    case SX_KEY_TREE:
        return (uint32_t)sizeof(struct sx_doc);
    default:
        return 0;
    }
}

static void check_key(struct sx_vet *v, const struct sx_plugin *p, uint32_t i)
{
    const struct sx_key *e = entry_at(p->keys, p->key_size, i);
    uint32_t bytes = key_bytes(e->type), align = bytes < 8 ? 4 : 8;
    if (e->path == NULL || !is_word(e->path)) {
        sx_vet__finding(v, "key %u has no proper path", i);
        return;
    }
    if (bytes == 0) {
        sx_vet__finding(v, "key '%s': unknown type %u", e->path, e->type);
        return;
    }
    if ((e->flags & ~(SX_KEY_SECRET | SX_KEY_RELOADABLE | SX_KEY_OPTIONAL)) != 0)
        sx_vet__finding(v, "key '%s': unknown flags %#x", e->path, e->flags);
    if (e->offset % align != 0 || (uint64_t)e->offset + bytes > p->conf_size)
        sx_vet__finding(v, "key '%s': offset %u is not inside the %u bytes of configuration",
                        e->path, e->offset, p->conf_size);
    if ((e->flags & SX_KEY_RELOADABLE) != 0 && p->reload == NULL)
        sx_vet__finding(v, "key '%s' is reloadable but callback reload is missing", e->path);
    if (e->help == NULL || e->help[0] == '\0')
        sx_vet__finding(v, "key '%s' has no help text", e->path);
    for (uint32_t j = 0; j < i; j++) {
        const struct sx_key *b = entry_at(p->keys, p->key_size, j);
        if (b->path != NULL && strcmp(b->path, e->path) == 0)
            sx_vet__finding(v, "key '%s' stands twice", e->path);
        if (e->offset < (uint64_t)b->offset + key_bytes(b->type) &&
            b->offset < (uint64_t)e->offset + bytes)
            sx_vet__finding(v, "keys '%s' and '%s' overlap", b->path != NULL ? b->path : "",
                            e->path);
    }
}

static void check_conf(struct sx_vet *v, const struct sx_plugin *p)
{
    if (p->conf_size > CONF_SIZE_MAX || p->instance_size > INSTANCE_SIZE_MAX ||
        p->thread_size > THREAD_SIZE_MAX) {
        sx_vet__finding(v, "sizes out of range: configuration %u, instance %u, thread %u",
                        p->conf_size, p->instance_size, p->thread_size);
        return;
    }
    if (!check_array(v, "keys", p->keys, p->n_keys, p->key_size, KEY_SIZE_1_0,
                     (uint32_t)sizeof(struct sx_key)))
        return;
    if (p->n_keys > 0 && p->configure == NULL)
        sx_vet__finding(v, "keys but no callback configure to receive them");
    for (uint32_t i = 0; i < p->n_keys; i++)
        check_key(v, p, i);
}

uint32_t
sx_plugin_vet_all(const struct sx_plugin *p, void (*sink)(void *arg, const char *text), void *arg)
{
    struct sx_vet v = {.sink = sink, .arg = arg};
    if (p == NULL) {
        sx_vet__finding(&v, "no descriptor");
        return v.n;
    }
    if (!check_head(&v, p) || !check_strings(&v, p))
        return v.n;
    if (check_provides(&v, p))
        check_section(&v, p);
    check_needs(&v, p);
    check_conf(&v, p);
    return v.n;
}

static void keep_first(void *arg, const char *text)
{
    struct sx_err *err = arg;
    if (err != NULL && err->code == SX_OK)
        sx_err_set(err, SX_EABI, "%s", text);
}

int sx_plugin_vet(const struct sx_plugin *p, struct sx_err *err)
{
    if (err != NULL)
        err->code = SX_OK;
    return sx_plugin_vet_all(p, keep_first, err) > 0 ? SX_EABI : SX_OK;
}

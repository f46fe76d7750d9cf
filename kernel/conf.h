/* Configuration: one tree of typed values, merged from all sources, and what is made of it.
 *
 * A `struct sx_conf` is one generation: it is read once (at start, at every SIGHUP), checked, and
 * never changed afterwards. It owns an arena; every node, string and note in it lives exactly as
 * long. Modules never see the tree: sx_conf_bind() fills their struct from their key table.
 *
 *   conf_node.c   nodes: find, place, merge
 *   conf_tree.c   YAML text -> nodes that know file, line, column (the only user of yaml.h)
 *   conf_keys.c   the table of all keys of the reference server and of the kernel
 *   conf_coerce.c a node read as a number, a word, a boolean, with the exact error texts
 *   conf_env.c    environment variables -> nodes
 *   conf_merge.c  the sources in their order -> one checked generation
 *   conf_bind.c   tree + a module's key table -> the module's conf struct
 *   conf_check.c  --check-config, --print-defaults
 *
 * Threads: everything here runs on the main thread. */
#ifndef SX_KERNEL_CONF_H
#define SX_KERNEL_CONF_H

#include "sextant/sx_plugin.h"
#include "sextant/sx_service.h"

/* --- nodes ---------------------------------------------------------------------------------------
 */

enum {
    SX_CONF_NULL = 0,
    SX_CONF_BOOL,
    SX_CONF_I64,
    SX_CONF_U64, /* only above INT64_MAX */
    SX_CONF_F64,
    SX_CONF_STR,
    SX_CONF_MAP,
    SX_CONF_LIST
};
enum { SX_CONF_SRC_DEFAULT = 0, SX_CONF_SRC_FILE, SX_CONF_SRC_ENV, SX_CONF_SRC_FLAG };

struct sx_conf_node {
    uint32_t kind, source;
    uint32_t line, col; /* 1-based, files only */
    const char *origin; /* file name, "the environment", "the command line"; NULL for defaults */
    const char *key;    /* members of a map */
    struct sx_conf_node *next, *first, *last; /* next sibling; children of maps and lists */
    union {
        int64_t i;
        uint64_t u;
        double f;
        const char *s;
        uint32_t b;
    } v;
};

/* Parses YAML text; *out stays NULL for an empty document. The error text is that of section 1.1
 * ("while parsing ... at byte 24 line 3 column 1 in <name>"). Nodes borrow `name`. */
int sx_conf_tree_parse(struct sx_arena *a,
                       const char *name,
                       const char *text,
                       uint64_t n,
                       struct sx_conf_node **out,
                       struct sx_err *err);
/* One value as YAML writes it ("16", "true", "[a, b]"), for defaults. Plain scalars do not start
 * the parser: a start-up reads a hundred of them. */
int sx_conf_tree_value(struct sx_arena *a,
                       const char *text,
                       struct sx_conf_node **out,
                       struct sx_err *err);
/* Reads a file; SX_ENOTFOUND when there is none. */
int sx_conf_tree_read(struct sx_arena *a,
                      const char *path,
                      struct sx_conf_node **out,
                      struct sx_err *err);
/* NULL: memory. The arena owns it. */
struct sx_conf_node *sx_conf_node_new(struct sx_arena *a, uint32_t kind);
struct sx_conf_node *sx_conf_node_get(const struct sx_conf_node *map, const char *key, uint64_t n);
/* Adds a last child to a list, or to a map that has no such key yet. */
void sx_conf_node_append(struct sx_conf_node *parent, struct sx_conf_node *v);
/* Replaces a member of the same key in its place, else appends. `key` is borrowed. */
void sx_conf_node_put(struct sx_conf_node *map, const char *key, struct sx_conf_node *v);
/* Follows "a.b.c"; NULL when a step is missing or no map. */
struct sx_conf_node *sx_conf_node_at(const struct sx_conf_node *root, const char *path);
/* Makes the missing maps of the path and puts v at its end. SX_ENOMEM. */
int sx_conf_node_set(struct sx_arena *a,
                     struct sx_conf_node *root,
                     const char *path,
                     struct sx_conf_node *v);
/* Deep merge: maps are joined, everything else replaced. Takes the nodes of `over`. */
void sx_conf_node_merge(struct sx_conf_node *base, struct sx_conf_node *over);
/* Appends the value to a builder. */
void sx_conf_node_doc(const struct sx_conf_node *v, struct sx_docb *b);

/* --- the key table -------------------------------------------------------------------------------
 */

enum {
    SX_CONF_T_STR = 1,
    SX_CONF_T_U16,
    SX_CONF_T_U32,
    SX_CONF_T_U64,
    SX_CONF_T_I64,
    SX_CONF_T_F64,
    SX_CONF_T_BOOL,
    SX_CONF_T_WORD,  /* one of `words`, "Name|a|b" where Name is what errors call the type */
    SX_CONF_T_COLOR, /* auto, true, false */
    SX_CONF_T_STRS,  /* list of strings */
    SX_CONF_T_LIST,  /* any list */
    SX_CONF_T_SECT,  /* a section: its members stand in the table */
    SX_CONF_T_ANY    /* a map of whatever, read by its user */
};
#define SX_CONF_OPT      1u  /* null and absent are fine */
#define SX_CONF_SECRET   2u  /* printed as *** */
#define SX_CONF_KERNEL   4u  /* the kernel itself honours it */
#define SX_CONF_NONEMPTY 8u  /* a warning when it is "" */
#define SX_CONF_IGNORED  16u /* taken and without effect by contract */

struct sx_conf_key {
    const char *path;
    uint32_t type, flags;
    const char *def;   /* YAML text; NULL = absent unless set */
    double min, max;   /* outside: a warning, the value is used; min > max = no range */
    const char *words; /* SX_CONF_T_WORD */
    const char *help;
};
extern const struct sx_conf_key sx_conf_keys[];
extern const uint32_t sx_conf_keys_n;
/* NULL when the path is not in the table. */
const struct sx_conf_key *sx_conf_key_find(const char *path);

/* Older spellings. `fatal`: the reference refuses it as a duplicate of `name`. */
struct sx_conf_alias {
    const char *section, *old_name, *name;
    uint32_t fatal;
};
extern const struct sx_conf_alias sx_conf_aliases[];
extern const uint32_t sx_conf_aliases_n;

/* --- coercion ------------------------------------------------------------------------------------
 * Each turns the node in place into the wanted kind or answers SX_EINPUT with the text of sections
 * 1.1 and 1.2. `path` is for the text. Null is refused; callers handle optional keys before. */

int sx_conf_as_bool(struct sx_conf_node *v, const char *path, struct sx_err *err);
int sx_conf_as_u64(struct sx_conf_node *v, const char *path, uint64_t max, struct sx_err *err);
int sx_conf_as_i64(struct sx_conf_node *v, const char *path, struct sx_err *err);
int sx_conf_as_f64(struct sx_conf_node *v, const char *path, struct sx_err *err);
int sx_conf_as_str(struct sx_arena *a,
                   struct sx_conf_node *v,
                   const char *path,
                   struct sx_err *err);
int sx_conf_as_strs(struct sx_arena *a,
                    struct sx_conf_node *v,
                    const char *path,
                    struct sx_err *err);
int sx_conf_as_map(struct sx_conf_node *v, const char *path, struct sx_err *err);
/* Checks and converts a node against its line of the table. */
int sx_conf_as_key(struct sx_arena *a,
                   struct sx_conf_node *v,
                   const struct sx_conf_key *k,
                   struct sx_err *err);
/* "1.0", "0.25", "1e20": never without fraction or exponent. */
void sx_conf_f64_text(double v, char out[40]);

/* --- environment ---------------------------------------------------------------------------------
 */

/* All QDRANT__A__B, then all SEXTANT__A__B of `env` (NULL-terminated, "K=V") as one tree; *out NULL
 * when there are none. */
int sx_conf_env_read(struct sx_arena *a, char *const *env, struct sx_conf_node **out);
/* Value of one variable of the list, NULL when missing. */
const char *sx_conf_env_get(char *const *env, const char *name);

/* --- one generation ------------------------------------------------------------------------------
 */

struct sx_conf_args {
    const char *config_path; /* --config-path, or NULL */
    uint32_t disable_telemetry, pad;
    char *const *env; /* NULL = no environment */
};
/* A line to log once logging is set up. */
struct sx_conf_note {
    struct sx_conf_note *next;
    uint32_t level;
    uint32_t is_range; /* one of the validation lines */
    const char *text;
};
struct sx_conf {
    struct sx_arena arena;
    struct sx_conf_node *root;
    struct sx_conf_note *notes, **notes_end;
    uint32_t n_range; /* validation errors among the notes */
    uint32_t pad;
};

/* Reads, merges and checks all sources, relative to the working directory. Fails with the text that
 * stands after "Error: ". On success the caller calls sx_conf_close(). */
int sx_conf_open(struct sx_conf *c,
                 const struct sx_mem *mem,
                 const struct sx_conf_args *args,
                 struct sx_err *err);
void sx_conf_close(struct sx_conf *c);
void sx_conf_note(struct sx_conf *c, uint32_t level, const char *fmt, ...) SX_PRINTF(3, 4);
/* The warnings of section 1.6 about keys that switch authentication. */
void sx_conf_key_warnings(struct sx_conf *c);

/* Reads of checked keys of the table; `def` when absent or null. */
const char *sx_conf_str(const struct sx_conf *c, const char *path, const char *def);
uint64_t sx_conf_u64(const struct sx_conf *c, const char *path, uint64_t def);
int64_t sx_conf_i64(const struct sx_conf *c, const char *path, int64_t def);
double sx_conf_f64(const struct sx_conf *c, const char *path, double def);
uint32_t sx_conf_bool(const struct sx_conf *c, const char *path, uint32_t def);

/* --- modules -------------------------------------------------------------------------------------
 */

/* Fills a fresh struct of plugin->conf_size bytes in `a` (strings and documents too: nothing points
 * into the generation). A value out of range in the module's own section is an error with file and
 * line, in the server's tree a note. *out is NULL when the module has no keys. */
int sx_conf_bind(struct sx_conf *c,
                 const struct sx_plugin *p,
                 struct sx_arena *a,
                 void **out,
                 struct sx_err *err);
/* Entry i of a size-first table with its own stride. */
const struct sx_key *sx_conf_bind_key(const struct sx_plugin *p, uint32_t i);
/* 1 when the key has the same value in both structs. */
int sx_conf_bind_same(const struct sx_key *k, const void *conf_a, const void *conf_b);
/* Puts the value of `from` in place of that of `to`, copied into the arena. SX_ENOMEM. */
int sx_conf_bind_keep(const struct sx_key *k, void *to, const void *from, struct sx_arena *a);
/* Sections under plugins.* that belong to no loaded module become notes: a fragment may stay when
 * its package goes. */
void sx_conf_bind_orphans(struct sx_conf *c, const struct sx_plugin *const *plugins, uint32_t n);

/* --check-config: writes the report, returns 0. */
int sx_conf_check(struct sx_conf *c,
                  const struct sx_plugin *const *plugins,
                  uint32_t n,
                  struct sx_buf *out);
/* --print-defaults: YAML text of every key, with help. */
void sx_conf_print_defaults(const struct sx_plugin *const *plugins, uint32_t n, struct sx_buf *out);

#endif

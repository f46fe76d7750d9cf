/* One walk over all samples -> the page.
 *
 * Samples come in registration order and their memory is valid only inside the walk's callback, but
 * the page wants families whole and in the published order. So each sample is rendered at once into
 * one scratch buffer, and a small record remembers family and place; after the walk the records are
 * sorted and the pieces copied. A thousand collections give some ten thousand samples: a sort of
 * records of 32 bytes, not a tree of strings.
 *
 * Histograms that count answers ("*_responses_duration_seconds") also give the three gauges
 * average, minimum and maximum, which the reference publishes beside them. */
#include <string.h>

#include "prom.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

struct family {
    uint32_t name_at, name_n; /* in heads */
    uint32_t head_at,
        head_n; /* "# HELP ...\n# TYPE ...\n", in heads; empty = conflicting, skipped */
    uint32_t rank, type;
};

/* A sample's text: piece [at, at + n) of lines. */
struct piece {
    uint32_t family, seq;
    uint64_t at;
    uint32_t n, hash; /* of the labels: two samples with the same ones are one too many */
};

struct page {
    const struct prom_query *query;
    struct sx_str prefix;
    struct sx_buf heads, lines, families, pieces, order, labels;
    uint32_t n_families, n_pieces;
};

static struct family *families_of(struct page *g)
{
    return (struct family *)(void *)g->families.p;
}

static struct piece *pieces_of(struct page *g)
{
    return (struct piece *)(void *)g->pieces.p;
}

static void page_init(struct page *g, const struct sx_mem *mem)
{
    memset(g, 0, sizeof(*g));
    sx_buf_init(&g->heads, mem);
    sx_buf_init(&g->lines, mem);
    sx_buf_init(&g->families, mem);
    sx_buf_init(&g->pieces, mem);
    sx_buf_init(&g->order, mem);
    sx_buf_init(&g->labels, mem);
}

static int page_fini(struct page *g)
{
    int failed = (int)(g->heads.failed | g->lines.failed | g->families.failed | g->pieces.failed |
                       g->order.failed | g->labels.failed);

    sx_buf_fini(&g->heads);
    sx_buf_fini(&g->lines);
    sx_buf_fini(&g->families);
    sx_buf_fini(&g->pieces);
    sx_buf_fini(&g->order);
    sx_buf_fini(&g->labels);
    return failed;
}

/* --- families ----------------------------------------------------------------------------------
 */

static const char *type_word(uint32_t type)
{
    return type == SX_METRIC_COUNTER ? "counter" : type == SX_METRIC_GAUGE ? "gauge" : "histogram";
}

/* Index of the family, made at first sight; UINT32_MAX when the sample cannot be exported: no valid
 * name, a type that contradicts the family's, no memory. */
static uint32_t
family_of(struct page *g, const char *name, uint64_t n, uint32_t type, const char *help)
{
    struct family f = {0};

    if (!prom_name_ok(name, n) || type < SX_METRIC_COUNTER || type > SX_METRIC_HISTOGRAM)
        return UINT32_MAX;
    /* From the end: samples of one family mostly come in a row. */
    for (uint32_t i = g->n_families; i-- > 0;) {
        struct family *have = families_of(g) + i;
        if (have->name_n == n && memcmp(g->heads.p + have->name_at, name, n) == 0)
            return have->type == type ? i : UINT32_MAX;
    }
    f.type = type;
    f.rank = prom_family_rank(name, n);
    f.name_at = (uint32_t)g->heads.n;
    f.name_n = (uint32_t)n;
    sx_buf_add(&g->heads, name, n);
    f.head_at = (uint32_t)g->heads.n;
    sx_buf_adds(&g->heads, "# HELP ");
    sx_buf_add(&g->heads, g->prefix.p, g->prefix.n);
    sx_buf_add(&g->heads, name, n);
    sx_buf_addc(&g->heads, ' ');
    prom_put_help(&g->heads, help != NULL ? help : "");
    sx_buf_adds(&g->heads, "\n# TYPE ");
    sx_buf_add(&g->heads, g->prefix.p, g->prefix.n);
    sx_buf_add(&g->heads, name, n);
    sx_buf_addc(&g->heads, ' ');
    sx_buf_adds(&g->heads, type_word(type));
    sx_buf_addc(&g->heads, '\n');
    f.head_n = (uint32_t)g->heads.n - f.head_at;
    sx_buf_add(&g->families, &f, sizeof(f));
    if (g->heads.failed || g->families.failed)
        return UINT32_MAX;
    return g->n_families++;
}

/* --- samples -----------------------------------------------------------------------------------
 */

static uint32_t hash_labels(const struct sx_buf *b)
{
    uint32_t h = 2166136261u;

    for (uint64_t i = 0; i < b->n; i++)
        h = (h ^ (uint8_t)b->p[i]) * 16777619u;
    return h;
}

/* name[suffix]{labels[,le="bound"]} and a blank. */
static void
put_name(struct page *g, const char *name, uint64_t n, const char *suffix, const double *le)
{
    struct sx_buf *b = &g->lines;

    sx_buf_add(b, g->prefix.p, g->prefix.n);
    sx_buf_add(b, name, n);
    sx_buf_adds(b, suffix);
    if (g->labels.n != 0 || le != NULL) {
        sx_buf_addc(b, '{');
        sx_buf_add(b, g->labels.p, g->labels.n);
        if (le != NULL) {
            sx_buf_adds(b, g->labels.n != 0 ? ",le=\"" : "le=\"");
            prom_put_number(b, *le);
            sx_buf_addc(b, '"');
        }
        sx_buf_addc(b, '}');
    }
    sx_buf_addc(b, ' ');
}

static void put_u64_line(
    struct page *g, const struct sx_sample *s, const char *suffix, const double *le, uint64_t v)
{
    put_name(g, s->name, strlen(s->name), suffix, le);
    prom_put_u64(&g->lines, v);
    sx_buf_addc(&g->lines, '\n');
}

static void put_histogram(struct page *g, const struct sx_sample *s)
{
    const double inf = __builtin_inf();
    uint64_t seen = 0;

    for (uint32_t i = 0; i < s->n_buckets; i++) {
        /* A bucket read while another thread counts may lag behind: keep the series cumulative. */
        seen = s->buckets[i] > seen ? s->buckets[i] : seen;
        if (seen > s->count)
            seen = s->count;
        if (s->bounds[i] != inf)
            put_u64_line(g, s, "_bucket", &s->bounds[i], seen);
    }
    put_u64_line(g, s, "_bucket", &inf, s->count);
    put_name(g, s->name, strlen(s->name), "_sum", NULL);
    prom_put_number(&g->lines, s->sum);
    sx_buf_addc(&g->lines, '\n');
    put_u64_line(g, s, "_count", NULL, s->count);
}

static void piece_end(struct page *g, uint32_t family, uint64_t at)
{
    struct piece p = {0};

    p.family = family;
    p.seq = g->n_pieces;
    p.at = at;
    p.n = (uint32_t)(g->lines.n - at);
    p.hash = hash_labels(&g->labels);
    sx_buf_add(&g->pieces, &p, sizeof(p));
    if (!g->pieces.failed)
        g->n_pieces++;
}

static void add_gauge(struct page *g, const char *name, uint64_t n, const char *help, double v)
{
    uint32_t family = family_of(g, name, n, SX_METRIC_GAUGE, help);
    uint64_t at = g->lines.n;

    if (family == UINT32_MAX)
        return;
    put_name(g, name, n, "", NULL);
    prom_put_number(&g->lines, v);
    sx_buf_addc(&g->lines, '\n');
    piece_end(g, family, at);
}

/* rest_responses_duration_seconds -> rest_responses_{avg,min,max}_duration_seconds */
static void add_derived(struct page *g, const struct sx_sample *s)
{
    static const char tail[] = "_responses_duration_seconds";
    static const char last[] = "_duration_seconds";
    static const char *const word[] = {"_avg", "_min", "_max"};
    static const char *const help[] = {"average response duration", "minimum response duration",
                                       "maximum response duration"};
    const double value[] = {s->sum / (double)s->count, s->min, s->max};
    uint64_t n = strlen(s->name), stem;
    char name[128];

    if (s->count == 0 || n < sizeof(tail) || n + 5 > sizeof(name) ||
        memcmp(s->name + n + 1 - sizeof(tail), tail, sizeof(tail) - 1) != 0)
        return;
    stem = n + 1 - sizeof(last);
    for (uint32_t i = 0; i < SX_COUNT(word); i++) {
        memcpy(name, s->name, stem);
        memcpy(name + stem, word[i], 4);
        memcpy(name + stem + 4, last, sizeof(last) - 1);
        add_gauge(g, name, n + 4, help[i], value[i]);
    }
}

static void on_sample(struct sx_sample_sink *sink, const struct sx_sample *s)
{
    struct page *g = sink->arg;
    uint32_t family;
    uint64_t at = g->lines.n;

    if (s->name == NULL || !prom_is_shown(s))
        return;
    g->labels.n = 0;
    if (!prom_put_labels(&g->labels, s->labels, (int)g->query->anonymize))
        return;
    family = family_of(g, s->name, strlen(s->name), s->type, s->help);
    if (family == UINT32_MAX)
        return;
    if (s->type == SX_METRIC_HISTOGRAM) {
        put_histogram(g, s);
    } else {
        put_name(g, s->name, strlen(s->name), "", NULL);
        prom_put_number(&g->lines, s->value);
        sx_buf_addc(&g->lines, '\n');
    }
    piece_end(g, family, at);
    if (s->type == SX_METRIC_HISTOGRAM)
        add_derived(g, s);
}

/* --- order -------------------------------------------------------------------------------------
 */

/* By place of the family, then by label hash (so that equal labels meet), then by arrival. */
static int
piece_before(const struct page *g, const struct piece *a, const struct piece *b, int by_hash)
{
    const struct family *fs = (const struct family *)(const void *)g->families.p;

    if (fs[a->family].rank != fs[b->family].rank)
        return fs[a->family].rank < fs[b->family].rank;
    if (a->family != b->family)
        return a->family < b->family;
    if (by_hash && a->hash != b->hash)
        return a->hash < b->hash;
    return a->seq < b->seq;
}

/* Bottom-up merge sort: stable, no recursion, no worst case. tmp holds as many pieces as p. */
static void sort_pieces(const struct page *g, struct piece *p, struct piece *tmp, int by_hash)
{
    uint32_t n = g->n_pieces;
    struct piece *from = p, *to = tmp, *swap;

    for (uint64_t width = 1; width < n; width *= 2) {
        for (uint64_t lo = 0; lo < n; lo += 2 * width) {
            uint64_t mid = lo + width < n ? lo + width : n;
            uint64_t hi = lo + 2 * width < n ? lo + 2 * width : n;
            uint64_t i = lo, j = mid;
            for (uint64_t k = lo; k < hi; k++) {
                if (i < mid && (j == hi || !piece_before(g, &from[j], &from[i], by_hash)))
                    to[k] = from[i++];
                else
                    to[k] = from[j++];
            }
        }
        swap = from;
        from = to;
        to = swap;
    }
    if (from != p)
        memcpy(p, from, n * sizeof(*p));
}

/* Bytes of a piece's first line up to the blank before the value: name and labels. Both sides of a
 * comparison come from the same writer, so equal bytes are equal series. */
static uint32_t series_len(const struct page *g, const struct piece *p)
{
    const char *s = g->lines.p + p->at;
    int quoted = 0;

    for (uint32_t i = 0; i < p->n; i++) {
        if (quoted && s[i] == '\\')
            i++;
        else if (s[i] == '"')
            quoted = !quoted;
        else if (!quoted && s[i] == ' ')
            return i;
    }
    return p->n;
}

static int same_series(const struct page *g, const struct piece *a, const struct piece *b)
{
    uint32_t n = series_len(g, a);

    return a->family == b->family && a->hash == b->hash && series_len(g, b) == n &&
           memcmp(g->lines.p + a->at, g->lines.p + b->at, n) == 0;
}

/* Of two samples of one series the first stays; dropped ones get n = 0. */
static void drop_repeated(struct page *g)
{
    struct piece *p = pieces_of(g);

    for (uint32_t i = 0; i < g->n_pieces; i++) {
        if (p[i].n == 0)
            continue;
        for (uint32_t j = i + 1;
             j < g->n_pieces && p[j].family == p[i].family && p[j].hash == p[i].hash; j++)
            if (p[j].n != 0 && same_series(g, &p[i], &p[j]))
                p[j].n = 0;
    }
}

static void put_page(struct page *g, struct sx_buf *out)
{
    const struct piece *p = pieces_of(g);
    uint32_t last = UINT32_MAX;

    for (uint32_t i = 0; i < g->n_pieces; i++) {
        const struct family *f = families_of(g) + p[i].family;
        if (p[i].n == 0)
            continue;
        if (p[i].family != last)
            sx_buf_add(out, g->heads.p + f->head_at, f->head_n);
        last = p[i].family;
        sx_buf_add(out, g->lines.p + p[i].at, p[i].n);
    }
}

int prom_render(struct prom_self *p,
                const struct prom_query *query,
                struct sx_buf *out,
                struct sx_err *err)
{
    struct page g;
    struct sx_sample_sink sink = {on_sample, &g};
    char prefix[256];
    const struct prom_prefix *now;
    struct piece *tmp;
    int failed;

    page_init(&g, p->mem);
    g.query = query;
    p->epoch->enter();
    now = __atomic_load_n(&p->prefix, __ATOMIC_ACQUIRE); /* pairs with the exchange in plugin.c */
    if (now != NULL) {
        g.prefix.n = now->text.n < sizeof(prefix) ? now->text.n : (uint32_t)sizeof(prefix);
        memcpy(prefix, now->text.p, g.prefix.n);
    }
    p->epoch->leave();
    g.prefix.p = prefix;

    p->telem->walk(&sink);
    tmp = (struct piece *)(void *)sx_buf_reserve(&g.order, g.n_pieces * sizeof(*tmp) + 1);
    if (tmp != NULL && g.n_pieces != 0) {
        sort_pieces(&g, pieces_of(&g), tmp, 1);
        drop_repeated(&g);
        sort_pieces(&g, pieces_of(&g), tmp, 0);
        put_page(&g, out);
    }
    failed = page_fini(&g);
    if (failed || out->failed)
        return sx_err_set(err, SX_ENOMEM, "no memory for the metrics page");
    return SX_OK;
}

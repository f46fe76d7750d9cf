/* export-prometheus: what its files share.
 *
 * plugin.c    descriptor, key, the page /metrics
 * query.c     the page's query string
 * render.c    one walk over all samples -> text, families in the published order
 * families.c  the published order
 * responses.c which counters of answers are published
 * text.c      names, labels, numbers as the text format 0.0.4 writes them
 *
 * The exporter knows no value of its own but the server's version: whoever counts registers with
 * the host. It owns the rules of the format: every family once, HELP and TYPE before its samples,
 * no sample twice, labels well formed, histograms cumulative with +Inf. What breaks them is left
 * out rather than exported, since a scraper refuses the whole page for one bad line. */
#ifndef PROM_PROM_H
#define PROM_PROM_H

#include "sextant/sx_op.h"
#include "sextant/sx_plugin.h"

struct prom_conf {
    const char *prefix; /* service.metrics_prefix */
};

/* The prefix in force; replaced whole on reload. */
struct prom_prefix {
    const struct sx_mem *mem;
    struct sx_str text;
};

struct prom_self {
    /* never change after load */
    const struct sx_host *host;
    const struct sx_mem *mem;
    const struct sx_telem *telem;
    const struct sx_epoch *epoch;
    /* main thread stores (release), any thread loads (acquire) inside an epoch section */
    struct prom_prefix *prefix;
};

struct prom_query {
    uint32_t anonymize, per_collection;
    uint64_t timeout; /* seconds, 0 = not given */
};

/* --- query.c: [A]
 * --------------------------------------------------------------------------------- */

/* 0, or a code and the text for the client: SX_EBADREQ with its full text ("Deserialize error in
 * query parameters: ..."), SX_EVALID ("Validation error in ..."). Unknown keys are ignored. */
int prom_query_parse(struct sx_str text, struct prom_query *out, struct sx_err *err);

/* --- render.c: [W]
 * -------------------------------------------------------------------------------- */

int prom_render(struct prom_self *p,
                const struct prom_query *query,
                struct sx_buf *out,
                struct sx_err *err);

/* --- families.c: [A]
 * ------------------------------------------------------------------------------ */

/* Place of a family in the page; families nobody published come last, in the order they were met.
 */
uint32_t prom_family_rank(const char *name, uint64_t n);

/* --- responses.c: [A]
 * ----------------------------------------------------------------------------- */

/* 0 for a counter of answers that the page does not have. */
int prom_is_shown(const struct sx_sample *s);

/* --- text.c: [A]
 * ---------------------------------------------------------------------------------- */

int prom_name_ok(const char *s, uint64_t n);
/* Appends the text of HELP: backslash and line feed escaped. */
void prom_put_help(struct sx_buf *b, const char *s);
/* Integers without decimals, else the shortest text that reads back; +Inf, -Inf, NaN. */
void prom_put_number(struct sx_buf *b, double v);
void prom_put_u64(struct sx_buf *b, uint64_t v);
/* Appends `k="v",...` checked and with raw line feeds escaped; with `anonymize` the values of
 * labels that carry users' names become decimal hashes. 0 (buffer unchanged) when it is not well
 * formed. */
int prom_put_labels(struct sx_buf *b, const char *labels, int anonymize);

#endif

/* Kind tokenizer: tokens are well formed, come in order, and depend on the text alone.
 *
 * A tokenizer may split as it likes, so most checks compare it with itself: another scratch, a
 * scratch that served other texts, another handle, four threads at once. Texts and scratch lie
 * against unreadable pages. What a provider called "multilingual" makes of certain texts is
 * contract of the wire; those are checked by word. */
#include <pthread.h>
#include <string.h>

#include "sextant/sx_text.h"
#include "sextant/sx_tokenizer.h"

#include "suite.h"

#define TEXT_MAX 4096u /* bytes of a random text */
#define THREADS  4u

/* Letters of many scripts; what separates them; pieces that are easily cut wrongly. */
static const char *const pieces[] = {
    "the",
    "Quick",
    "x86",
    "3.14",
    "it's",
    "Caf\u00e9",
    "cafe\u0301",
    "\ufb01ne",
    "stra\u00dfe",
    "\u0130stanbul",
    "\u041f\u0440\u0438\u0432\u0435\u0442",
    "\u0391\u03b8\u03ae\u03bd\u03b1",
    "\u05e9\u05c1\u05dc\u05d5\u05dd",
    "\u0627\u0644\u0643\u062a\u0627\u0628",
    "\u0939\u093f\u0928\u094d\u0926\u0940",
    "\ud55c\uad6d\uc5b4",
    "\u4e16\u754c\u548c\u5e73",
    "\u6771\u4eac\u3067\u3059",
    "\uff76\uff9e\uff78",
    "\u0e09\u0e31\u0e19\u0e0a\u0e2d\u0e1a",
    "\u1797\u17b6\u179f\u17b6",
    "\U0001d407\U0001f600",
    "\u200b\u0301",
    "\u845b\U000e0100",
};
static const char *const separators[] = {" ", "", ", ", "-", "\n", "\u3002", "_", "\u00a0"};

/* What one call gave: enough to compare two. */
struct tokens {
    struct suite *s;
    struct sx_str text;
    const char *what; /* of the first token that is not well formed, NULL when all are */
    uint32_t n, crc, last_position, stop_at;
    const char *last_end;
};

struct ctx {
    struct suite *s;
    const struct sx_tokenizer_ops *ops;
    void *h;
    uint64_t scratch_bytes;
    void *scratch;
    struct sx_buf buf;
};

static const char *malformed(const struct tokens *r, const struct sx_token *t)
{
    uint64_t caps = r->s->pr->caps;
    if (t->size < sizeof(struct sx_token))
        return "has a wrong size";
    if (t->n == 0)
        return "is empty";
    if (!sx_utf8_valid(t->p, t->n))
        return "is not UTF-8";
    if ((t->flags & ~(SX_TOKEN_UNSTEMMED | SX_TOKEN_UNLIMITED)) != 0)
        return "has unknown flags";
    if (r->n == 0 ? t->position != 0
                  : t->position != r->last_position && t->position != r->last_position + 1)
        return "has a position out of order";
    if ((caps & SX_TOKENIZER_TRANSFORMS) != 0)
        return NULL;
    if (t->p < r->text.p || t->p + t->n > r->text.p + r->text.n)
        return "lies outside the text";
    if ((caps & SX_TOKENIZER_POSITIONS) != 0 && r->last_end != NULL && t->p < r->last_end)
        return "overlaps the one before";
    return NULL;
}

static int take(void *arg, const struct sx_token *t)
{
    struct tokens *r = arg;
    uint32_t head[3] = {t->n, t->position, t->flags};
    if (r->what == NULL)
        r->what = malformed(r, t);
    r->crc = sx_crc32c(sx_crc32c(r->crc, head, sizeof(head)), t->p, t->n);
    r->last_position = t->position;
    r->last_end = t->p + t->n;
    r->n++;
    return r->n == r->stop_at ? 7 : 0;
}

/* Scratch that ends where an unreadable page begins, as far as its alignment lets it. */
static uint64_t aligned(uint64_t n)
{
    return (n + 63) / 64 * 64;
}

static int ctx_begin(struct ctx *c)
{
    struct sx_err err = SX_ERR_INIT;
    struct sx_doc none = {0};
    int rc = c->ops->open(c->s->pr->self, none, &c->h, &err);
    c->scratch = NULL;
    sx_buf_init(&c->buf, c->s->host->mem);
    if (!sx_suite__check(c->s, rc == 0, "open without parameters fails with %d: %s", rc, err.msg))
        return 0;
    c->scratch_bytes = aligned(c->ops->scratch_size(c->s->pr->self, c->h));
    if (c->scratch_bytes == 0)
        return 1;
    c->scratch = sx_suite__guarded(c->scratch_bytes, 1);
    if (c->scratch != NULL)
        return sx_suite__check(c->s, 1, "scratch");
    c->ops->close(c->s->pr->self, c->h);
    return sx_suite__check(c->s, 0, "no memory for the suite");
}

static void scratch_fresh(struct ctx *c)
{
    if (c->scratch == NULL)
        return;
    if (SX_HAS(c->ops, scratch_end))
        c->ops->scratch_end(c->s->pr->self, c->h, c->scratch);
    memset(c->scratch, 0, c->scratch_bytes);
}

static void ctx_end(struct ctx *c)
{
    scratch_fresh(c);
    if (c->scratch != NULL)
        sx_suite__guarded_free(c->scratch, c->scratch_bytes, 1);
    sx_buf_fini(&c->buf);
    c->ops->close(c->s->pr->self, c->h);
}

static struct tokens split(struct ctx *c, struct sx_str text, uint32_t stop_at, int *rc)
{
    struct tokens r = {.s = c->s, .text = text, .stop_at = stop_at};
    struct sx_err err = SX_ERR_INIT;
    *rc = c->ops->split(c->s->pr->self, c->h, text, c->scratch, &c->buf, take, &r, &err);
    return r;
}

static uint32_t random_text(struct suite *s, char *out)
{
    uint32_t n = 0, words = sx_suite__random(s) % 60;
    for (uint32_t i = 0; i < words; i++) {
        const char *parts[2] = {pieces[sx_suite__random(s) % SX_COUNT(pieces)],
                                separators[sx_suite__random(s) % SX_COUNT(separators)]};
        for (uint32_t k = 0; k < 2; k++) {
            uint32_t bytes = (uint32_t)strlen(parts[k]);
            memcpy(out + n, parts[k], bytes);
            n += bytes;
        }
    }
    return n;
}

/* One text, at both ends of its page, with old and new scratch, stopped at every token. */
static void check_text(struct ctx *c, const char *bytes, uint32_t n)
{
    struct tokens first = {0};
    int rc;
    for (uint32_t round = 0; round < 3; round++) {
        char *p = sx_suite__guarded(n + 1, round != 1);
        if (!sx_suite__check(c->s, p != NULL, "no memory for the suite"))
            return;
        char *text = round != 1 ? p + 1 : p;
        memcpy(text, bytes, n);
        if (round == 2)
            scratch_fresh(c);
        struct tokens r = split(c, (struct sx_str){text, n, 0}, 0, &rc);
        sx_suite__check(c->s, rc == 0, "split fails with %d", rc);
        sx_suite__check(c->s, r.what == NULL, "a token %s", r.what != NULL ? r.what : "");
        sx_suite__check(c->s, memcmp(text, bytes, n) == 0, "split changed its text");
        if (round == 0)
            first = r;
        sx_suite__check(c->s, r.n == first.n && r.crc == first.crc,
                        round == 1 ? "the same text gives other tokens the second time"
                                   : "the same text gives other tokens with a new scratch");
        sx_suite__guarded_free(p, n + 1, round != 1);
    }
    for (uint32_t stop = 1; stop <= first.n && stop <= 3; stop++) {
        struct tokens r = split(c, (struct sx_str){bytes, n, 0}, stop, &rc);
        sx_suite__check(c->s, rc == 7 && r.n == stop,
                        "a sink that stops after %u tokens got %u, split gives %d", stop, r.n, rc);
    }
}

static void check_texts(struct suite *s, struct ctx *c)
{
    char text[TEXT_MAX];
    uint32_t rounds = (s->report->flags & SX_SUITE_QUICK) != 0 ? 50 : 400;
    int rc;
    struct tokens none = split(c, (struct sx_str){NULL, 0, 0}, 0, &rc);
    sx_suite__check(s, rc == 0 && none.n == 0, "an empty text gives %u tokens and %d", none.n, rc);
    for (uint32_t i = 0; i < SX_COUNT(pieces); i++)
        check_text(c, pieces[i], (uint32_t)strlen(pieces[i]));
    for (uint32_t i = 0; i < rounds; i++)
        check_text(c, text, random_text(s, text));
}

/* --- parameters, versions, handles --- */

static void check_open(struct suite *s, struct ctx *c)
{
    struct sx_err err = SX_ERR_INIT;
    struct sx_docb b;
    void *other = NULL;
    uint64_t version = c->ops->version(s->pr->self, c->h);
    sx_suite__check(s, version != 0, "version is 0");
    sx_docb_init(&b, s->host->mem, 0);
    sx_docb_obj(&b);
    sx_docb_close(&b);
    int rc = c->ops->open(s->pr->self, sx_docb_end(&b), &other, &err);
    if (sx_suite__check(s, rc == 0, "open with no parameters in an object gives %d", rc)) {
        sx_suite__check(s, c->ops->version(s->pr->self, other) == version,
                        "two handles of equal parameters have different versions");
        c->ops->close(s->pr->self, other);
    }
    sx_docb_reset(&b);
    sx_docb_obj(&b);
    sx_docb_ckey(&b, "no_such_parameter");
    sx_docb_i64(&b, 1);
    sx_docb_close(&b);
    rc = c->ops->open(s->pr->self, sx_docb_end(&b), &other, &err);
    if (!sx_suite__check(s, rc == SX_EINPUT && err.msg[0] != '\0',
                         "open with an unknown parameter gives %d", rc) &&
        rc == 0)
        c->ops->close(s->pr->self, other);
    sx_docb_fini(&b);
}

/* --- memory: the lent buffer cannot grow --- */

static void *no_alloc(const struct sx_mem *self, uint64_t n)
{
    (void)self;
    (void)n;
    return NULL;
}

static void *no_resize(const struct sx_mem *self, void *p, uint64_t n)
{
    (void)self;
    (void)p;
    (void)n;
    return NULL;
}

static void check_memory(struct suite *s, struct ctx *c)
{
    struct sx_mem none = *s->host->mem;
    struct sx_buf kept = c->buf;
    none.alloc = no_alloc;
    none.zalloc = no_alloc;
    none.resize = no_resize;
    for (uint32_t i = 0; i < SX_COUNT(pieces); i++) {
        struct sx_str text = {pieces[i], (uint32_t)strlen(pieces[i]), 0};
        int rc, good_rc;
        sx_buf_init(&c->buf, &none);
        struct tokens r = split(c, text, 0, &rc);
        sx_buf_fini(&c->buf);
        sx_buf_init(&c->buf, s->host->mem);
        struct tokens good = split(c, text, 0, &good_rc);
        sx_buf_fini(&c->buf);
        sx_suite__check(s, rc == SX_ENOMEM || (rc == 0 && r.n == good.n && r.crc == good.crc),
                        "split with a buffer that cannot grow gives %d and %u of %u tokens", rc,
                        r.n, good.n);
    }
    c->buf = kept;
}

/* --- threads: one handle, a scratch each --- */

struct worker {
    pthread_t thread;
    struct ctx c;
    const struct sx_str *texts;
    const uint32_t *crcs;
    uint32_t n, wrong;
};

static void *work(void *arg)
{
    struct worker *w = arg;
    for (uint32_t i = 0; i < w->n; i++) {
        struct tokens r = {.s = w->c.s, .text = w->texts[i]};
        int rc = w->c.ops->split(w->c.s->pr->self, w->c.h, w->texts[i], w->c.scratch, &w->c.buf,
                                 take, &r, NULL);
        w->wrong += rc != 0 || r.crc != w->crcs[i];
    }
    return NULL;
}

static void check_threads(struct suite *s, struct ctx *c)
{
    static const uint32_t n_texts = 64;
    char bytes[64][TEXT_MAX];
    struct sx_str texts[64];
    uint32_t crcs[64], started = 0, wrong = 0;
    struct worker workers[THREADS];
    for (uint32_t i = 0; i < n_texts; i++) {
        int rc;
        texts[i] = (struct sx_str){bytes[i], random_text(s, bytes[i]), 0};
        crcs[i] = split(c, texts[i], 0, &rc).crc;
    }
    for (; started < THREADS; started++) {
        struct worker *w = &workers[started];
        *w = (struct worker){.c = *c, .texts = texts, .crcs = crcs, .n = n_texts};
        sx_buf_init(&w->c.buf, s->host->mem);
        w->c.scratch = c->scratch_bytes > 0 ? sx_suite__guarded(c->scratch_bytes, 1) : NULL;
        if ((c->scratch_bytes > 0 && w->c.scratch == NULL) ||
            pthread_create(&w->thread, NULL, work, w) != 0) {
            if (w->c.scratch != NULL)
                sx_suite__guarded_free(w->c.scratch, c->scratch_bytes, 1);
            break;
        }
    }
    sx_suite__check(s, started == THREADS, "only %u threads could be started", started);
    for (uint32_t i = 0; i < started; i++) {
        struct worker *w = &workers[i];
        pthread_join(w->thread, NULL);
        wrong += w->wrong;
        if (w->c.scratch != NULL) {
            scratch_fresh(&w->c);
            sx_suite__guarded_free(w->c.scratch, c->scratch_bytes, 1);
        }
        sx_buf_fini(&w->c.buf);
    }
    sx_suite__check(s, wrong == 0, "%u texts gave other tokens on %u threads at once", wrong,
                    THREADS);
}

/* --- "multilingual": what the wire promises --- */

/* Tokens joined by '|'. */
struct joined {
    char p[256];
    uint32_t n;
};

static int join(void *arg, const struct sx_token *t)
{
    struct joined *j = arg;
    if (t->n + 2 > sizeof(j->p) - j->n)
        return SX_EINTERNAL;
    memcpy(j->p + j->n, t->p, t->n);
    j->n += t->n;
    j->p[j->n++] = '|';
    j->p[j->n] = '\0';
    return 0;
}

static struct joined joined_of(struct ctx *c, const char *text)
{
    struct joined j = {"|", 1};
    struct sx_str str = {text, (uint32_t)strlen(text), 0};
    int rc = c->ops->split(c->s->pr->self, c->h, str, c->scratch, &c->buf, join, &j, NULL);
    sx_suite__check(c->s, rc == 0, "split of \"%s\" gives %d", text, rc);
    return j;
}

static void check_multilingual(struct suite *s, struct ctx *c)
{
    static const char *const facts[][2] = {
        {"The Quick-Brown Fox", "|the|quick|brown|fox|"},
        {"don't stop", "|don|t|stop|"},
        {"3.14 abc123 42", "|abc123|"},
        {"Caf\u00e9 NA\u00cfVE", "|cafe|naive|"},
        {"foo_bar e-mail C++ 3d", "|foo|bar|e|mail|c|3d|"},
        {"\ufb01ne x\u00b2 \u2167 \u00df", "|fine|x2|viii|\u00df|"},
        {"O'Neil's U.S.A. a@b.com", "|o|neil|s|u|s|a|a|b|com|"},
        {"\u043a\u043e\u0448\u043a\u0438 \u041c\u0438\u0440", /* Russian */
         "|\u043a\u043e\u0448\u043a\u0438|\u043c\u0438\u0440|"},
        {"\u4e16\u754c\u548c\u5e73", "|\u4e16\u754c|\u548c\u5e73|"}, /* world, peace */
    };
    /* A word, a document in which readers look for it. */
    static const char *const found[][2] = {
        {"\u4e16\u754c", "\u4eba\u5de5\u667a\u80fd\u6b63\u5728\u6539\u53d8\u4e16\u754c"},
        {"\u4eba\u5de5\u667a\u80fd",
         "\u4eba\u5de5\u667a\u80fd\u6b63\u5728\u6539\u53d8\u4e16\u754c"},
        {"\u548c\u5e73", "\u4e16\u754c\u548c\u5e73\u5f88\u91cd\u8981"},
        {"\u6539\u8b8a", "\u6b63\u5728\u6539\u53d8\u4e16\u754c"}, /* traditional, simplified */
        {"\u6771\u4eac", "\u6771\u4eac\u306b\u884c\u304f"},       /* Japanese: Tokyo */
        {"\uff83\uff7d\uff84", "\u65e5\u672c\u8a9e\u306e\u30c6\u30b9\u30c8"}, /* half width */
        {"\u0e0a\u0e2d\u0e1a", "\u0e09\u0e31\u0e19\u0e0a\u0e2d\u0e1a\u0e2d\u0e48\u0e32\u0e19"},
        {"na\u00efve", "un naive"},
        {"\u05e9\u05dc\u05d5\u05dd", "\u05e9\u05c1\u05b8\u05dc\u05d5\u05b9\u05dd"}, /* Hebrew */
        {"\u0643\u062a\u0627\u0628", "\u0627\u0644\u0643\u062a\u0627\u0628"},       /* Arabic */
        {"\ud55c\uad6d\uc5b4", "\ud55c\uad6d\uc5b4, \uc601\uc5b4"},                 /* Korean */
    };
    for (uint32_t i = 0; i < SX_COUNT(facts); i++) {
        struct joined j = joined_of(c, facts[i][0]);
        sx_suite__check(s, strcmp(j.p, facts[i][1]) == 0, "\"%s\" becomes %s, not %s", facts[i][0],
                        j.p, facts[i][1]);
    }
    for (uint32_t i = 0; i < SX_COUNT(found); i++) {
        struct joined word = joined_of(c, found[i][0]), text = joined_of(c, found[i][1]);
        sx_suite__check(s, word.n > 1 && strstr(text.p, word.p) != NULL,
                        "%s of \"%s\" is not found in %s", word.p, found[i][0], text.p);
    }
}

void sx_suite__tokenizer(struct suite *s)
{
    struct ctx c = {.s = s, .ops = s->pr->ops};
    if (!ctx_begin(&c))
        return;
    check_open(s, &c);
    check_texts(s, &c);
    check_memory(s, &c);
    check_threads(s, &c);
    if (strcmp(s->pr->name, "multilingual") == 0)
        check_multilingual(s, &c);
    ctx_end(&c);
}

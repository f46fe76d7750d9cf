/* A text -> tokens: splitting, and the steps every token goes through.
 *
 * Most text is ASCII, and most words need nothing but lower case. So a word is found by a table of
 * 256 bytes that also tells what was in it; a word of small ASCII letters goes to the sink as the
 * piece of text it is, others are rewritten in the caller's buffer.
 *
 * The buffer holds [what the splitter keeps | folded | lowered]; space for all is reserved before
 * anything is written, because growing moves it. */
#include <string.h>

#include "text_priv.h"

#include "sextant/sx_ban.h"

/* Prefixes longer than this are left out, but the whole word is there: their total length grows
 * with the square of the word's. Words that long are no words. */
#define PREFIX_MAX 1024u

#define SMALL  4u /* a bit beside ENG__TEXT_SAW_*: ASCII that lower case leaves as it is */
#define U      ENG__TEXT_SAW_UPPER
#define L      SMALL
#define H      ENG__TEXT_SAW_HIGH
#define R16(x) x, x, x, x, x, x, x, x, x, x, x, x, x, x, x, x
/* By byte: 0 = ends a word. */
/* clang-format off */
static const uint8_t byte_class[256] = {
    R16(0), R16(0), R16(0),                         /* 00 ... 2f */
    L, L, L, L, L, L, L, L, L, L, 0, 0, 0, 0, 0, 0, /* 0-9 */
    0, U, U, U, U, U, U, U, U, U, U, U, U, U, U, U, /* A-O */
    U, U, U, U, U, U, U, U, U, U, U, 0, 0, 0, 0, 0, /* P-Z */
    0, L, L, L, L, L, L, L, L, L, L, L, L, L, L, L, /* a-o */
    L, L, L, L, L, L, L, L, L, L, L, 0, 0, 0, 0, 0, /* p-z */
    R16(H), R16(H), R16(H), R16(H), R16(H), R16(H), R16(H), R16(H)};
/* clang-format on */
#undef U
#undef L
#undef H
#undef R16

uint32_t eng__text_saw(struct sx_str s)
{
    uint32_t saw = 0;

    for (uint32_t i = 0; i < s.n; i++)
        saw |= byte_class[(unsigned char)s.p[i]];
    return saw & (ENG__TEXT_SAW_UPPER | ENG__TEXT_SAW_HIGH);
}

/* --- the end of the way ------------------------------------------------------------------- */

static int emit(struct eng__text_run *r, const char *p, uint32_t n, uint32_t marks)
{
    struct eng_text_token t = {{p, n, 0}, r->position, (marks & ENG__TEXT_COMPOUND) != 0};

    if (!t.is_compound)
        r->position++;
    return r->sink(r->arg, &t);
}

/* Bytes of the first n characters of s, or all. */
static uint32_t prefix_bytes(struct sx_str s, uint64_t n)
{
    uint32_t i = 0;

    while (i < s.n && n != 0) {
        i++;
        while (i < s.n && ((unsigned char)s.p[i] & 0xc0) == 0x80)
            i++;
        n--;
    }
    return i;
}

/* Documents: the first min, min + 1, ... characters up to max, or to the whole word when that is
 * not longer. */
static int emit_prefixes(struct eng__text_run *r, struct sx_str w, uint64_t chars)
{
    uint64_t n = r->a->p.has_min ? r->a->p.min_len : 1, max = r->a->p.max_len;
    uint32_t at = n < chars ? prefix_bytes(w, n) : 0;
    int rc = 0;

    for (; rc == 0 && n <= max; n++) {
        if (chars <= n)
            return emit(r, w.p, w.n, 0);
        if (n <= PREFIX_MAX)
            rc = emit(r, w.p, at, 0);
        at += prefix_bytes((struct sx_str){w.p + at, w.n - at, 0}, 1);
    }
    return rc;
}

static int finish(struct eng__text_run *r, struct sx_str w, uint32_t marks)
{
    const struct eng__text_params *p = &r->a->p;
    uint64_t chars;

    if (!r->has_limits || (marks & ENG__TEXT_UNLIMITED))
        return emit(r, w.p, w.n, marks);
    chars = sx_utf8_count(w.p, w.n);
    if (chars < p->min_len)
        return 0;
    if (p->tokenizer == ENG_TOK_PREFIX) {
        if (r->mode == ENG_TEXT_DOC || r->mode == ENG_TEXT_PHRASE)
            return emit_prefixes(r, w, chars);
        return emit(r, w.p, chars > p->max_len ? prefix_bytes(w, p->max_len) : w.n, 0);
    }
    return chars > p->max_len ? 0 : emit(r, w.p, w.n, marks);
}

/* --- folding and lower case --------------------------------------------------------------- */

/* *w becomes a piece of the buffer where it has to change. */
static int rewrite(struct eng__text_run *r, struct sx_str *w, uint32_t marks)
{
    int fold = r->a->p.fold && (marks & ENG__TEXT_SAW_HIGH) != 0;
    char *p, *end;

    if (!fold && !(r->a->p.lowercase && (marks & (ENG__TEXT_SAW_UPPER | ENG__TEXT_SAW_HIGH)) != 0))
        return 0;
    p = sx_buf_reserve(r->work, fold ? 4 * ENG__TEXT_ROOM(w->n) + 64 : ENG__TEXT_ROOM(w->n));
    if (p == NULL)
        return SX_ENOMEM;
    if (fold) {
        end = eng__text_fold(*w, p);
        *w = (struct sx_str){p, (uint32_t)(end - p), 0};
        p = end;
    }
    if (r->a->p.lowercase) {
        end = eng__text_lower(*w, p);
        *w = (struct sx_str){p, (uint32_t)(end - p), 0};
    }
    return 0;
}

/* Stop words of `prefix` are for documents only. */
static int asks_stop_words(const struct eng__text_run *r)
{
    return (r->a->stops.lists != 0 || r->a->stops.n_custom != 0) &&
           (r->a->p.tokenizer != ENG_TOK_PREFIX || r->mode == ENG_TEXT_DOC ||
            r->mode == ENG_TEXT_PHRASE);
}

int eng__text_word(struct eng__text_run *r, struct sx_str word, uint32_t marks)
{
    int rc;

    if (word.n == 0)
        return 0;
    rc = rewrite(r, &word, marks);
    if (rc != 0)
        return rc;
    if (r->as_is)
        return emit(r, word.p, word.n, marks);
    if (asks_stop_words(r) && eng__text_is_stop(&r->a->stops, word))
        return 0;
    if (r->a->p.stemmer != 0 && (marks & ENG__TEXT_UNSTEMMED) == 0) {
        rc = eng__text_stem(r->kit->stemmer, r->a->p.stemmer, word, &r->kit->stem, &word);
        if (rc != 0)
            return rc;
    }
    return finish(r, word, marks);
}

/* --- splitting ---------------------------------------------------------------------------- */

/* Behind the last character of the run of letters and digits at p; what was in it goes to *saw. */
static const char *word_end(const char *p, const char *end, uint32_t *saw)
{
    uint32_t seen = 0;

    while (p < end) {
        uint32_t class = byte_class[(unsigned char)*p];
        const char *next = p;

        if (class == ENG__TEXT_SAW_HIGH) {
            if (!sx_is_alnum(eng__text_next(&next, end)))
                break;
            p = next;
        } else if (class == 0) {
            break;
        } else {
            p++;
        }
        seen |= class;
    }
    *saw = seen;
    return p;
}

static int split_words(struct eng__text_run *r, struct sx_str text)
{
    const char *p = text.p, *end = text.p + text.n;
    int rc = 0;

    while (rc == 0) {
        const char *from;
        uint32_t saw;

        while (p < end && byte_class[(unsigned char)*p] == 0)
            p++;
        if (p == end)
            return 0;
        from = p;
        p = word_end(p, end, &saw);
        if (p == from) /* beyond ASCII and no letter */
            (void)sx_utf8_next(&p, end);
        else if (saw == SMALL && r->as_is)
            rc = emit(r, from, (uint32_t)(p - from), 0);
        else
            rc = eng__text_word(r, (struct sx_str){from, (uint32_t)(p - from), 0}, saw);
    }
    return rc;
}

static int split_white(struct eng__text_run *r, struct sx_str text)
{
    const char *p = text.p, *end = text.p + text.n, *from = p;
    int rc = 0;

    while (rc == 0) {
        const char *at = p;
        uint32_t c = p < end ? sx_utf8_next(&p, end) : ' ';

        if (!eng__text_is_space(c))
            continue;
        if (at > from) {
            struct sx_str word = {from, (uint32_t)(at - from), 0};

            rc = eng__text_word(r, word, eng__text_saw(word));
        }
        if (at == end)
            break;
        from = p;
    }
    return rc;
}

/* --- the multilingual module -------------------------------------------------------------- */

struct module_sink {
    struct eng__text_run *r;
    uint32_t number, position; /* the module's of the last token, and ours for it */
    uint32_t any, pad;
};

/* Alternatives of one word share its place in the sequence. */
static int module_token(void *arg, const struct sx_token *t)
{
    struct module_sink *s = arg;
    struct sx_str word = {t->p, t->n, 0};
    uint32_t next = s->r->position, marks = eng__text_saw(word);
    int rc;

    if (t->flags & SX_TOKEN_UNSTEMMED)
        marks |= ENG__TEXT_UNSTEMMED;
    if (t->flags & SX_TOKEN_UNLIMITED)
        marks |= ENG__TEXT_UNLIMITED;

    if (!s->any || t->position != s->number)
        s->position = next;
    s->any = 1;
    s->number = t->position;
    s->r->position = s->position;
    rc = eng__text_word(s->r, word, marks);
    if (s->r->position < next)
        s->r->position = next;
    return rc;
}

static int split_by_module(struct eng__text_run *r, struct sx_str text)
{
    const struct sx_provider *m = r->a->module;
    const struct sx_tokenizer_ops *ops = m->ops;
    struct module_sink sink = {r, 0, 0, 0, 0};

    r->kit->split.n = 0;
    r->kit->split.failed = 0;
    return ops->split(m->self, r->a->handle, text, r->kit->scratch, &r->kit->split, module_token,
                      &sink, NULL);
}

/* --- entry -------------------------------------------------------------------------------- */

static int split(struct eng__text_run *r, struct sx_str text)
{
    switch (r->a->p.tokenizer) {
    case ENG_TOK_WHITESPACE:
        return split_white(r, text);
    case ENG_TOK_MULTILINGUAL:
        return split_by_module(r, text);
    case ENG_TOK_CODE:
        return eng__text_split_code(r, text);
    default:
        return split_words(r, text);
    }
}

int eng_analyze(const struct eng_analyzer *a,
                int mode,
                struct sx_str text,
                struct sx_buf *work,
                int (*sink)(void *arg, const struct eng_text_token *t),
                void *arg)
{
    struct eng__text_run r = {.a = a, .work = work, .sink = sink, .arg = arg, .mode = mode};
    int rc;

    if (text.n == 0)
        return 0;
    work->n = 0;
    work->failed = 0;
    r.has_limits =
        a->p.min_len != 0 || a->p.max_len != ENG__TEXT_NO_MAX || a->p.tokenizer == ENG_TOK_PREFIX;
    r.as_is = a->stops.lists == 0 && a->stops.n_custom == 0 && a->p.stemmer == 0 && !r.has_limits;
    if (a->p.stemmer != 0 || a->module != NULL) {
        r.kit = eng__text_kit_take(a);
        if (r.kit == NULL)
            return SX_ENOMEM;
    }
    rc = split(&r, text);
    if (r.kit != NULL)
        eng__text_kit_give(a, r.kit);
    return rc;
}

/* tokenizer-icu: life of a handle.
 *
 * The tokenizer has no parameters, so all handles are one object: made by the first open() (a tenth
 * of a second, most of it reading the rules from traditional to simplified Chinese), given back
 * with the last close(). It is made without a lock; of two threads that make one at the same time
 * the second throws its own away.
 *
 * Version. The number of the library alone does not tell what its dictionaries do: a distribution
 * may build it without some, or with other models. So open() takes a fixed sample of every script
 * apart, which also loads the dictionaries, and the checksum of the tokens is part of the version.
 */
#include <string.h>
#include <unicode/utrans.h>
#include <unicode/uversion.h>

#include "sextant/sx_text.h"

#include "tokicu.h"

/* Last: it poisons names. */
#include "sextant/sx_ban.h"

/* Increased with every change of split.c, segment.c or fold.c that changes tokens. */
#define FORMAT 1u

#define TO_SIMPLIFIED "Traditional-Simplified"

/* A few words of each script with a dictionary, and one that is folded. */
static const char sample[] =
    "Caf\u00e9 "                                                                     /* Latin */
    "\u4eba\u5de5\u667a\u80fd\u6b63\u5728\u6539\u8b8a\u4e16\u754c "                  /* Chinese */
    "\u6771\u4eac\u90fd\u306b\u4f4f\u3093\u3067\u3044\u307e\u3059 "                  /* Japanese */
    "\u0e09\u0e31\u0e19\u0e0a\u0e2d\u0e1a\u0e01\u0e34\u0e19\u0e02\u0e49\u0e32\u0e27" /* Thai */
    " "
    "\u1781\u17d2\u1789\u17bb\u17c6\u1785\u17bc\u179b\u1785\u17b7\u178f\u17d2\u178f " /* Khmer */
    "\u0eaa\u0eb0\u0e9a\u0eb2\u0e8d\u0e94\u0eb5\u0e82\u0ec9\u0ead\u0e8d "             /* Lao */
    "\u1019\u103c\u1014\u103a\u1019\u102c\u1018\u102c\u101e\u102c\u1005\u1000\u102c"  /* Burmese */
    "\u1038";

int tokicu_fail(struct sx_err *err, UErrorCode code, const char *what)
{
    if (code == U_MEMORY_ALLOCATION_ERROR)
        return sx_err_set(err, SX_ENOMEM, "no memory for %s", what);
    return sx_err_set(err, SX_EINTERNAL, "ICU: %s: %s", what, u_errorName(code));
}

/* Fills the table by letting the library's rules work on every character, one a line. Their few
 * rules about neighbours do not fit a table and are left out. */
static UErrorCode fill_simplified(struct tokicu_handle *h, UChar *lines, UTransliterator *rules)
{
    UErrorCode code = U_ZERO_ERROR;
    int32_t n = 0, limit;
    for (uint32_t c = TOKICU_HAN_FIRST; c < TOKICU_HAN_END; c++) {
        lines[n++] = (UChar)c;
        lines[n++] = '\n';
    }
    limit = n;
    utrans_transUChars(rules, lines, &n, n, 0, &limit, &code);
    if (U_FAILURE(code))
        return code;
    for (uint32_t i = 0; i < TOKICU_HAN_END - TOKICU_HAN_FIRST; i++) {
        if ((int32_t)(2 * i + 1) >= n || lines[2 * i + 1] != '\n')
            return U_INVALID_FORMAT_ERROR; /* a rule that makes two characters of one */
        h->simplified[i] = lines[2 * i];
    }
    return code;
}

/* Without the rules the tokenizer works, and traditional and simplified words are different. */
static int load_simplified(const struct tokicu_plugin *p, struct tokicu_handle *h)
{
    const uint64_t bytes = 2 * sizeof(h->simplified);
    UChar id[sizeof(TO_SIMPLIFIED)], *lines;
    UErrorCode code = U_ZERO_ERROR;
    for (uint32_t i = 0; i < sizeof(TO_SIMPLIFIED); i++)
        id[i] = (UChar)TO_SIMPLIFIED[i];
    lines = p->mem->alloc(p->mem, bytes);
    if (lines == NULL)
        return SX_ENOMEM;
    UTransliterator *rules = utrans_openU(id, -1, UTRANS_FORWARD, NULL, 0, NULL, &code);
    if (U_SUCCESS(code)) {
        code = fill_simplified(h, lines, rules);
        utrans_close(rules);
    }
    p->mem->release(p->mem, lines);
    h->can_simplify = U_SUCCESS(code);
    for (uint32_t i = 0; !h->can_simplify && i < TOKICU_HAN_END - TOKICU_HAN_FIRST; i++)
        h->simplified[i] = (uint16_t)(TOKICU_HAN_FIRST + i);
    if (!h->can_simplify)
        sx_log(p->host, SX_LOG_WARN, "icu",
               "no rules from traditional to simplified Chinese (%s): they will be different words",
               u_errorName(code));
    return code == U_MEMORY_ALLOCATION_ERROR ? SX_ENOMEM : SX_OK;
}

static int sample_token(void *arg, const struct sx_token *t)
{
    uint32_t *crc = arg;
    *crc = sx_crc32c(*crc, t->p, t->n);
    *crc = sx_crc32c(*crc, "", 1);
    return 0;
}

static int find_version(const struct tokicu_plugin *p, struct tokicu_handle *h, struct sx_err *err)
{
    struct sx_str text = {sample, (uint32_t)sizeof(sample) - 1, 0};
    struct sx_buf buf;
    UVersionInfo icu;
    uint32_t crc = 0;
    struct tokicu_scratch *scratch = p->mem->zalloc(p->mem, sizeof(*scratch));
    if (scratch == NULL)
        return sx_err_set(err, SX_ENOMEM, "no memory for the tokenizer");
    sx_buf_init(&buf, p->mem);
    int rc = tokicu_split(NULL, h, text, scratch, &buf, sample_token, &crc, err);
    tokicu_scratch_end(NULL, h, scratch);
    sx_buf_fini(&buf);
    p->mem->release(p->mem, scratch);
    u_getVersion(icu);
    h->version = (uint64_t)(2 * FORMAT + h->can_simplify) << 48 | (uint64_t)icu[0] << 40 |
                 (uint64_t)icu[1] << 32 | crc;
    return rc;
}

static void destroy(const struct tokicu_plugin *p, struct tokicu_handle *h)
{
    if (h != NULL && h->words != NULL)
        ubrk_close(h->words);
    p->mem->release(p->mem, h);
}

static int create(const struct tokicu_plugin *p, struct tokicu_handle **out, struct sx_err *err)
{
    UErrorCode code = U_ZERO_ERROR;
    struct tokicu_handle *h = p->mem->zalloc(p->mem, sizeof(*h));
    if (h == NULL)
        return sx_err_set(err, SX_ENOMEM, "no memory for the tokenizer");
    h->decompose = unorm2_getNFKDInstance(&code);
    h->compose = unorm2_getNFKCInstance(&code);
    /* The root locale: no language changes where words begin. */
    h->words = ubrk_open(UBRK_WORD, "", NULL, 0, &code);
    int rc = U_FAILURE(code) ? tokicu_fail(err, code, "word breaks") : load_simplified(p, h);
    if (rc == SX_ENOMEM)
        sx_err_set(err, rc, "no memory for the tokenizer");
    if (rc == 0)
        rc = find_version(p, h, err);
    if (rc == 0)
        *out = h;
    else
        destroy(p, h);
    return rc;
}

static int check_params(struct sx_doc params, struct sx_err *err)
{
    uint32_t type = sx_doc_type(params);
    if (type == SX_DOC_NULL)
        return SX_OK;
    if (type != SX_DOC_OBJ)
        return sx_err_set(err, SX_EINPUT, "parameters of a tokenizer must be an object");
    if (sx_doc_count(params) > 0) {
        struct sx_str key;
        sx_doc_member(params, 0, &key);
        return sx_err_set(err, SX_EINPUT, "tokenizer 'multilingual' has no parameter '%.*s'",
                          (int)(key.n < 64 ? key.n : 64), key.p);
    }
    return SX_OK;
}

/* Takes a reference. `made`, when there is none yet, becomes the shared one. */
static struct tokicu_handle *share(struct tokicu_plugin *p, struct tokicu_handle *made)
{
    pthread_mutex_lock(&p->lock);
    if (p->shared == NULL)
        p->shared = made;
    struct tokicu_handle *h = p->shared;
    if (h != NULL)
        h->refs++;
    pthread_mutex_unlock(&p->lock);
    return h;
}

int tokicu_open(void *self, struct sx_doc params, void **out, struct sx_err *err)
{
    struct tokicu_plugin *p = self;
    int rc = check_params(params, err);
    if (rc != 0)
        return rc;
    struct tokicu_handle *h = share(p, NULL), *made = NULL;
    if (h == NULL) {
        rc = create(p, &made, err);
        if (rc != 0)
            return rc;
        h = share(p, made);
        if (h != made)
            destroy(p, made);
    }
    *out = h;
    return SX_OK;
}

void tokicu_close(void *self, void *handle)
{
    struct tokicu_plugin *p = self;
    struct tokicu_handle *h = handle;
    pthread_mutex_lock(&p->lock);
    int is_last = --h->refs == 0;
    if (is_last)
        p->shared = NULL;
    pthread_mutex_unlock(&p->lock);
    if (is_last)
        destroy(p, h);
}

uint64_t tokicu_version(void *self, void *handle)
{
    const struct tokicu_handle *h = handle;
    (void)self;
    return h->version;
}

uint64_t tokicu_scratch_size(void *self, void *handle)
{
    (void)self;
    (void)handle;
    return sizeof(struct tokicu_scratch);
}

void tokicu_scratch_end(void *self, void *handle, void *scratch)
{
    struct tokicu_scratch *sc = scratch;
    (void)self;
    (void)handle;
    if (sc->words != NULL)
        ubrk_close(sc->words);
    sc->words = NULL;
}

/* Walking over whole values: skipping them, turning them into documents.
 *
 * One loop serves both, because both must accept and refuse exactly the same texts; `b` is a
 * constant at each call and the compiler makes two copies. There is no recursion: the kinds of the
 * open containers are kept as one bit each. This is the hot path of payloads. */
#include "priv.h"

#define WALK_DEPTH 127u

struct walk {
    uint8_t is_obj[WALK_DEPTH + 1]; /* of the containers opened here */
    uint32_t depth;
};

static inline int walk_scalar(struct sx_json *j, struct sx_docb *b)
{
    struct sx_doc_num num;
    struct sx_str s;
    int rc;

    switch (*j->p) {
    case '"':
        rc = sx__json_string(j, b != NULL ? &s : NULL);
        if (b != NULL && rc == SX_OK)
            sx_docb_str(b, s.p, s.n);
        return rc;
    case 'n':
        rc = sx__json_word(j, "null", 4);
        if (b != NULL && rc == SX_OK)
            sx_docb_null(b);
        return rc;
    case 't':
        rc = sx__json_word(j, "true", 4);
        if (b != NULL && rc == SX_OK)
            sx_docb_bool(b, 1);
        return rc;
    case 'f':
        rc = sx__json_word(j, "false", 5);
        if (b != NULL && rc == SX_OK)
            sx_docb_bool(b, 0);
        return rc;
    default:
        break;
    }
    if (*j->p != '-' && !sx__is_digit(*j->p))
        return sx__json_syntax(j, j->p, "expected value");
    rc = sx__json_number(j, &num);
    if (b == NULL || rc < 0)
        return rc;
    if (num.type == SX_DOC_F64)
        sx_docb_f64(b, num.v.f);
    else if (num.type == SX_DOC_U64)
        sx_docb_u64(b, num.v.u);
    else
        sx_docb_i64(b, num.v.i);
    return SX_OK;
}

/* Opens the container at j->p. */
static inline int walk_open(struct sx_json *j, struct sx_docb *b, struct walk *w)
{
    uint8_t is_obj = *j->p == '{';

    if (j->depth + w->depth >= WALK_DEPTH)
        return sx__json_syntax(j, j->p, "recursion limit exceeded");
    w->is_obj[w->depth++] = is_obj;
    j->p++;
    if (b != NULL && is_obj)
        sx_docb_obj(b);
    else if (b != NULL)
        sx_docb_arr(b);
    return SX_OK;
}

/* Inside the innermost container: steps to its next value (1, a key is taken) or behind its end
 * (0). `first` is set right after opening. */
static inline int walk_next(struct sx_json *j, struct sx_docb *b, struct walk *w, int first)
{
    int is_obj = w->is_obj[w->depth - 1], rc;
    struct sx_str key;

    j->first = (uint32_t)first;
    if (!is_obj)
        rc = sx_json_arr_next(j);
    else
        rc = sx_json_obj_next(j, &key);
    if (rc < 0)
        return rc;
    if (rc == 0) {
        j->depth++; /* the public function took one of the caller's containers off */
        w->depth--;
        if (b != NULL)
            sx_docb_close(b);
        return 0;
    }
    if (b != NULL && is_obj)
        sx_docb_key(b, key.p, key.n);
    return 1;
}

static inline __attribute__((__always_inline__)) int walk_value(struct sx_json *j,
                                                                struct sx_docb *b)
{
    struct walk w;
    int rc;

    w.depth = 0;
    for (;;) {
        int more;

        j->p = sx__skip_space(j->p, j->end);
        if (SX_UNLIKELY(j->p == j->end))
            return sx__json_syntax(j, j->end, "EOF while parsing a value");
        if (*j->p == '{' || *j->p == '[') {
            rc = walk_open(j, b, &w);
            if (rc < 0)
                return rc;
            more = walk_next(j, b, &w, 1);
        } else {
            rc = walk_scalar(j, b);
            if (rc < 0)
                return rc;
            if (w.depth == 0)
                return SX_OK;
            more = walk_next(j, b, &w, 0);
        }
        /* Close as many containers as end here. */
        while (more == 0) {
            if (w.depth == 0)
                return SX_OK;
            more = walk_next(j, b, &w, 0);
        }
        if (more < 0)
            return more;
    }
}

int sx_json_skip(struct sx_json *j, struct sx_str *out)
{
    uint32_t depth = j->depth;
    const char *from;
    int rc;

    if (j->failed)
        return SX_EFORMAT;
    j->p = from = sx__skip_space(j->p, j->end);
    rc = walk_value(j, NULL);
    j->first = 0;
    j->depth = depth;
    if (rc < 0)
        return rc;
    if ((uint64_t)(j->p - from) > UINT32_MAX)
        return sx__json_enomem(j);
    if (out != NULL)
        *out = (struct sx_str){from, (uint32_t)(j->p - from), 0};
    return SX_OK;
}

int sx_json_doc(struct sx_json *j, struct sx_docb *b)
{
    uint32_t depth = j->depth;
    int rc;

    if (j->failed)
        return SX_EFORMAT;
    rc = walk_value(j, b);
    j->first = 0;
    j->depth = depth;
    if (rc < 0)
        return rc;
    return b->failed ? sx__json_enomem(j) : SX_OK;
}

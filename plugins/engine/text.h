/* Words of texts: what text indexes, text conditions and BM25 vectors see of a string.
 *
 * An analyzer is a tokenizer and the steps behind it, in this order: empty tokens dropped, folding
 * to ASCII, lower case, stop words, stemming, limits of length. It is made once of an index's
 * parameters, is immutable and used by any number of threads at once.
 *
 * text_params.c    parameters -> choices; text_names.c the names that may stand there
 * text_analyzer.c  life of an analyzer, and what one running analysis borrows of it
 * text_analyze.c   a text -> tokens; text_code.c the splitting of program text
 * text_chars.c     case, numbers, white space, folding; text_tables.c their tables
 * text_stop.c      stop words; text_stoplists.c the lists
 * text_stem.c      stemmers (libstemmer), made to agree with the algorithms that clients know */
#ifndef ENG_TEXT_H
#define ENG_TEXT_H

#include "sextant/sx_doc.h"
#include "sextant/sx_service.h"

enum {
    ENG_TOK_WORD = 0,
    ENG_TOK_WHITESPACE = 1,
    ENG_TOK_PREFIX = 2,
    ENG_TOK_MULTILINGUAL = 3,
    ENG_TOK_CODE = 4
};

struct eng_analyzer;

/* params: the object form of a text index, already checked for form by the transport: tokenizer,
 * min_token_len, max_token_len, lowercase, ascii_folding, stopwords (a name, or an object with
 * languages and custom), stemmer ({type, language}), phrase_matching. Absent or null = default;
 * other members are ignored. p NULL = all defaults (word, lower case): the analysis of unindexed
 * text. Borrowed for the call. reg (may be NULL) finds the module behind the multilingual
 * tokenizer. *out is owned: eng_analyzer_destroy(). Thread: any; may block while a module loads
 * dictionaries. SX_EINPUT with the client's text, SX_EUNSUPPORTED without such a module, SX_ENOMEM.
 */
int eng_analyzer_create(const struct sx_mem *mem,
                        const struct sx_reg *reg,
                        struct sx_doc params,
                        struct eng_analyzer **out,
                        struct sx_err *err);
/* Takes the analyzer (may be NULL); no analysis of it runs. */
void eng_analyzer_destroy(struct eng_analyzer *a);
/* Stored beside an index: another value = other tokens, the index is rebuilt. Covers parameters,
 * tables, the library of stemmers (as far as its stop words tell) and the tokenizer module. */
uint64_t eng_analyzer_version(const struct eng_analyzer *a);

enum {
    ENG_TEXT_DOC = 0,    /* documents of an index: prefix all prefixes, code parts and compounds */
    ENG_TEXT_QUERY = 1,  /* text, text_any: prefix the word, code parts */
    ENG_TEXT_PHRASE = 2, /* like documents, in sequence; code parts only */
    ENG_TEXT_BM25_QUERY = 3 /* prefix the word, code parts and compounds */
};
struct eng_text_token {
    struct sx_str text;   /* valid during the call of the sink; may be empty: a stem of nothing */
    uint32_t position;    /* 0, 1, ...: the sequence that phrases see, dropped tokens not counted */
    uint32_t is_compound; /* of `code`: has no place in the sequence, position says nothing */
};
/* Calls sink for every token in order; a non-zero answer of it stops and is returned. work: a
 * buffer of the caller's, its contents overwritten, kept between calls so that analysis allocates
 * nothing once it has grown. text: valid UTF-8. Returns 0, the sink's value or SX_ENOMEM (or an
 * error of a tokenizer module). Thread: any, several at once. */
int eng_analyze(const struct eng_analyzer *a,
                int mode,
                struct sx_str text,
                struct sx_buf *work,
                int (*sink)(void *arg, const struct eng_text_token *t),
                void *arg);

#endif

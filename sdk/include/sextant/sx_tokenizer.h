/* Kind tokenizer: text -> words, for text indexes, text filters and BM25 vectors.
 *
 * iface_version 0: has one provider and no user yet, so the user may still correct it.
 *
 * What it is for. The engine splits text itself where a rule of a few lines does (`word`,
 * `whitespace`, `prefix`, `code`); splitting Chinese, Japanese, Thai or Khmer needs dictionaries
 * and a library of tens of megabytes. That is a module beside the binary, and a server without it
 * is still whole: only the `multilingual` tokenizer is then refused at the moment a field asks for
 * it.
 *
 * Where its place ends. A tokenizer finds words. ASCII folding, lower-casing, stop words, stemming
 * and the limits on token length come afterwards, in that order, in the engine: they are the same
 * for every tokenizer and their order is contract. So a tokenizer gets the text as the user wrote
 * it and gives back pieces of it, which is why a token is a span of the input and not a string of
 * its own. One whose words have no meaning in the form they are written in (accents, vowel signs,
 * half-width kana) may fold them as well: it says TRANSFORMS, its tokens may lie in a buffer that
 * the caller lends, and they are what the engine's first step sees.
 *
 * What the engine does with a token. All steps, each on what the step before left:
 *   fold, lower    always if the field says so; on folded tokens they change little or nothing. A
 *                  provider that TRANSFORMS may have lowered case although the field says not to:
 *                  that is its contract, not an error
 *   stop words     always
 *   stem           not for SX_TOKEN_UNSTEMMED
 *   min, max       not for SX_TOKEN_UNLIMITED
 * The flags are there for Japanese: its particles of one character are words, and no stemmer knows
 * its grammar. They are flags of a token and not of a text, because texts mix languages.
 *
 * Who calls. The text field on its way in (the shard's writer, for one payload), the background
 * build of a text index (pool threads, many at once), a text filter and a BM25 document at query
 * time (a loop or pool thread). All through the same handle: split() is [A], pure, and keeps no
 * state between calls; whatever an engine of word breaks wants to reuse lies in the caller's
 * scratch of scratch_size() bytes. A provider whose library hands out iterators that are not thread
 * safe clones one into the scratch at the first call there. A scratch belongs to one handle and to
 * one thread at a time; it may serve one call or a thousand.
 *
 * Cost. Dictionaries are loaded by open(), never by load(): a server whose collections name no such
 * field does not touch them. open() is [W, blocks] and may take a tenth of a second; handles of
 * equal parameters may be shared, the provider counts.
 *
 * Determinism is part of the contract. The tokens of a text are stored as postings and compared
 * with tokens of a query made years later, perhaps by a newer library with a newer dictionary. So a
 * provider has a version(): the field stores it, and when it has changed the index is derived data
 * of an old version and is rebuilt in background, while answers come from the documents.
 *
 * Ownership. Text is borrowed for the call. A token's bytes lie in it or in the lent buffer and are
 * valid until the sink returns; sink copies what it keeps. sink returning non-zero ends the call
 * with that value, so a caller that needs the first word only pays for no more.
 *
 * Rejected:
 *  - a list of tokens as result: it allocates per text, and the commonest user (index build) hashes
 *    each token at once and drops it;
 *  - letting a tokenizer own the whole chain down to stems: two modules would disagree about
 *    stop words, and phrase positions would depend on who removed what;
 *  - tokens that live until split() returns: a provider that folds would have to keep every word of
 *    the text for a caller who has hashed it long ago;
 *  - guessing the language of a text by statistics: a query is too short for it, and would be cut
 *    in another way than its document. Scripts decide, and they stand in the characters. */
#ifndef SX_TOKENIZER_H
#define SX_TOKENIZER_H

#include "sextant/sx_service.h"

#ifdef __cplusplus
extern "C" {
#endif

#define SX_TOKENIZER_IFACE      0u
#define SX_TOKENIZER_TRANSFORMS 1ull /* tokens need not be spans of the input */
#define SX_TOKENIZER_POSITIONS                                                                     \
    2ull /* words come in the order of the text and do not overlap: phrases can be matched;        \
            absent: the engine refuses phrase matching on the field */

#define SX_TOKEN_UNSTEMMED 1u
#define SX_TOKEN_UNLIMITED 2u /* min_token_len and max_token_len do not apply */

struct sx_token {
    uint32_t size, flags; /* SX_TOKEN_* */
    const char *p;        /* UTF-8, at least one byte */
    uint32_t n;
    uint32_t position; /* 0, 1, 2, ...: equal for alternatives of one word */
};

struct sx_tokenizer_ops {
    uint32_t size, pad;
    /* [W, blocks] params: what the field says to its tokenizer alone (the steps after it are the
     * engine's); absent, null or an object. Returns an owned handle; SX_EINPUT with the client's
     * text for parameters it does not know. */
    int (*open)(void *self, struct sx_doc params, void **out, struct sx_err *err);
    void (*close)(void *self, void *h); /* [W] takes the handle; no split() on it runs */
    /* [A] stored beside what was made of the tokens, never 0; another value = rebuild. */
    uint64_t (*version)(void *self, void *h);
    /* [A] bytes, 64-byte aligned and zeroed before the first call with them; 0: split() takes NULL.
     */
    uint64_t (*scratch_size)(void *self, void *h);
    /* [A] the caller is about to give the memory back. NULL: nothing is left in it. */
    void (*scratch_end)(void *self, void *h, void *scratch);
    /* [A] Calls sink for every token in order. The text is valid UTF-8; other bytes give other
     * tokens and no harm. `buf` is for TRANSFORMS, else it may be NULL; the callee empties it as it
     * likes. 0, the sink's non-zero value, or a negative code. */
    int (*split)(void *self,
                 void *h,
                 struct sx_str text,
                 void *scratch,
                 struct sx_buf *buf,
                 int (*sink)(void *arg, const struct sx_token *t),
                 void *arg,
                 struct sx_err *err);
};

#ifdef __cplusplus
}
#endif
#endif

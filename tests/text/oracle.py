#!/usr/bin/env python3
"""Text analysis against another implementation, token by token.

    tests/text/oracle.py EMBED [--all] [--texts N] [--indexes N] [--seed S]

EMBED is the program of tests/text/embed.c. The other side is qdrant-edge-py (a package with the
engine of the server whose protocol we speak, used as a black box): both make BM25 vectors of the
same texts with the same options, and every index and every weight must be equal. An index is a hash
of a token, so this compares tokens.

Four parts: every code point in turn, between letters (what is a letter, a blank, a capital, what it
folds to, where program text is cut); every stop word of every language with every list; N random
texts with random options in all languages; and text indexes: which of some documents match text,
text_any and phrase and how BM25 scores them, as our tokens of both sides say and as a shard of theirs
does. A failure prints the smallest texts that differ.
"""
import argparse
import json
import math
import pathlib
import random
import subprocess
import sys
import tempfile

ROOT = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))
import pyenv  # noqa: E402

pyenv.need("qdrant_edge", "numpy")
import numpy  # noqa: E402
import qdrant_edge as edge  # noqa: E402

LISTS = sorted(p.stem for p in (ROOT / "plugins/engine/stopwords").glob("*.txt"))
STEMMERS = ("arabic armenian danish dutch english finnish french german greek hungarian italian "
            "norwegian portuguese romanian russian spanish swedish tamil turkish").split()
TOKENIZERS = "word whitespace prefix code".split()
PLAIN = {"stopwords": {}, "stemmer": {"type": "none"}}


# --- the two sides ----------------------------------------------------------------------------------

def enum(cls, name):
    return getattr(cls, name.capitalize())


def settings(options):
    """Options as the other side's classes have them."""
    kw = dict(options)
    if "tokenizer" in kw:
        kw["tokenizer"] = enum(edge.TokenizerType, kw["tokenizer"])
    if (stop := kw.get("stopwords")) is not None:
        if isinstance(stop, str):
            kw["stopwords"] = enum(edge.Language, stop)
        else:
            kw["stopwords"] = edge.StopwordsSet(
                languages={enum(edge.Language, x) for x in stop.get("languages") or []},
                custom=set(stop.get("custom") or []))
    if (stem := kw.get("stemmer")) is not None:
        kw["stemmer"] = edge.DisabledStemmer() if stem["type"] == "none" else \
            edge.SnowballParams(language=enum(edge.SnowballLanguage, stem["language"]))
    return kw


def theirs(options, text, query):
    """The other side's vector as {index: weight}."""
    model = edge.Bm25(edge.Bm25Config(**settings(options)))
    v = model.embed_query(text) if query else model.embed_document(text)
    return dict(zip(v.indices, (numpy.float32(x) for x in v.values)))


class Ours:
    """One run of the program for many cases."""

    def __init__(self, program):
        self.program = program

    def run(self, cases):
        lines = "".join(json.dumps(c) + "\n" for c in cases)
        done = subprocess.run([self.program], input=lines, stdout=subprocess.PIPE, check=True, text=True)
        out = done.stdout.split("\n")[:-1]
        assert len(out) == len(cases), f"{len(out)} answers to {len(cases)} texts"
        return [line if line.startswith("!") else json.loads(line) for line in out]

    def vectors(self, cases):
        for v in self.run([{"options": o, "text": t, "query": q} for o, t, q in cases]):
            if isinstance(v, dict):
                assert v["indices"] == sorted(set(v["indices"])), f"indices out of order: {v}"
                v = dict(zip(v["indices"], (numpy.float32(x) for x in v["values"])))
            yield v

    def tokens(self, params, mode, texts):
        """[token, place or None] of each text."""
        out = self.run([{"params": params, "text": t, "mode": mode} for t in texts])
        return [x["tokens"] for x in out]


def different(ours, cases):
    """The cases whose vectors are not equal."""
    return [case for case, mine in zip(cases, ours.vectors(cases)) if mine != theirs(*case)]


def narrowed(ours, cases, cut):
    """The parts of failing cases that still fail: cut(text) gives the parts."""
    parts = [(o, t, q) for o, text, q in cases for t in cut(text) if t]
    return different(ours, parts) if parts else []


# --- every code point -------------------------------------------------------------------------------

SWEEPS = [  # name, options, the text around a code point, what separates the texts
    ("letters", {"tokenizer": "word", "lowercase": False}, "xx{}yy", "\n"),
    ("blanks", {"tokenizer": "whitespace", "lowercase": False}, "xx{}yy", "\n"),
    ("lower case", {"tokenizer": "whitespace"}, "{}y{}x", "\n"),
    ("final sigma before", {"tokenizer": "whitespace"}, "a{}Σ", "\n"),
    ("final sigma after", {"tokenizer": "whitespace"}, "aΣ{}b", "\n"),
    ("final sigma alone", {"tokenizer": "whitespace"}, "{}Σ", "\n"),
    ("folding", {"tokenizer": "whitespace", "lowercase": False, "ascii_folding": True}, "x{}y", "\n"),
    ("folding, lower case", {"tokenizer": "word", "ascii_folding": True}, "x{}y", "\n"),
    ("code, capital", {"tokenizer": "code", "lowercase": False}, "a{}b", "\n"),
    ("code, last capital", {"tokenizer": "code", "lowercase": False}, "AB{}c", "\n"),
    ("code, plural", {"tokenizer": "code", "lowercase": False}, "ABs{}c", "\n"),
    ("code, first", {"tokenizer": "code", "lowercase": False}, "{}_b{}C", "\n"),
]


def code_points(every):
    """All, or without the planes in which nothing is assigned."""
    for c in range(1, 0x110000):
        used = c < 0x34000 or 0xe0000 <= c < 0xe1000
        if (used or every) and not 0xd800 <= c < 0xe000 and chr(c) != "\n":
            yield chr(c)


def sweep(ours, every):
    points = list(code_points(every))
    failed = 0
    for name, options, around, between in SWEEPS:
        options = {**PLAIN, **options}
        piece = 1500
        cases = [(options, between.join(around.replace("{}", c) for c in points[i:i + piece]), True)
                 for i in range(0, len(points), piece)]
        bad = narrowed(ours, different(ours, cases), lambda text: text.split(between))
        print(f"{name}: {len(points)} code points, {len(bad)} differ")
        for _, t, _ in bad[:10]:
            print("   ", ascii(t))
        failed += len(bad)
    return failed


# --- stop words -------------------------------------------------------------------------------------

def list_of(language):
    lines = (ROOT / f"plugins/engine/stopwords/{language}.txt").read_text(encoding="utf-8").split("\n")
    return [w for w in lines[1:] if w.split() == [w]]


def stop_words(ours):
    words = sorted({w for x in LISTS for w in list_of(x)} | {w.capitalize() for w in list_of("english")})
    cases = []
    for language in LISTS:
        options = {"tokenizer": "whitespace", "lowercase": False, "stopwords": language,
                   "stemmer": {"type": "none"}}
        cases += [(options, "\n".join(words[i:i + 500]), True) for i in range(0, len(words), 500)]
    bad = narrowed(ours, different(ours, cases), lambda text: text.split("\n"))
    print(f"stop words: {len(words)} words with {len(LISTS)} lists, {len(bad)} differ")
    for o, t, _ in bad[:10]:
        print("   ", o["stopwords"], t)
    return len(bad)


# --- random texts -----------------------------------------------------------------------------------

ALPHABETS = {"armenian": "աբգդեզէըթժիլխծկհձղճմյնշոչպջռսվտրցւփքօֆև",
             "tamil": "அஆஇஈஉஊஎஏஐஒஓஔகஙசஞடணதநபமயரலவழளறனாிீுூெேைொோௌ்"}
ENDINGS = {"english": "ing ed ly ness ational s es ies", "french": "ement ations euse guë ïque aient",
           "russian": "ами ость ёнок ёт ейший", "danish": "erne ende heden tt", "finnish": "ssa lla kaan tten",
           "german": "ungen heit lichen", "spanish": "amente aciones iendo", "italian": "mente zione ando",
           "turkish": "lar lerinden imiz", "hungarian": "okat ban ként", "swedish": "arna heten"}
ODD = "0123456789sSABs²½Ⅳ'’-._éëïßñÿœøåČŁЁёЇѝΣσςİıǅﬁﬀĳ①Ⓐ𝐀ªʰ́日本ｶﾞａＡ٣५ـ،؟H\u00ad\u200d🙂"
BETWEEN = [" ", " ", " ", " ", ", ", ". ", "\n", "-", "_", "'", "’", "/", "\u00a0", "\u3000", "—", "::", ""]


class Texts:
    def __init__(self, rng):
        self.rng = rng
        self.words = {x: list_of(x) for x in LISTS}
        for x, letters in ALPHABETS.items():
            self.words[x] = ["".join(rng.choices(letters, k=rng.randint(1, 12))) for _ in range(300)]
        self.letters = {x: sorted({c for w in ws for c in w}) for x, ws in self.words.items()}

    def word(self, language):
        rng, words = self.rng, self.words[language]
        w, how = rng.choice(words), rng.random()
        if how < .25:
            w = w[:rng.randint(1, len(w))] + rng.choice(words)[-rng.randint(1, 6):]
        elif how < .45 and language in ENDINGS:
            w += rng.choice(ENDINGS[language].split())
        elif how < .55:
            w = "".join(rng.choices(self.letters[language], k=rng.randint(1, 14)))
        elif how < .62:
            w = w.upper()
        elif how < .70:
            w = w.capitalize()
        elif how < .80:
            w += rng.choice(words).capitalize()
        elif how < .92:
            for _ in range(rng.randint(1, 3)):
                at = rng.randint(0, len(w))
                w = w[:at] + rng.choice(ODD) + w[at:]
        return w

    def text(self, language):
        rng = self.rng
        return "".join(self.word(language if rng.random() < .9 else rng.choice(list(self.words))) +
                       rng.choice(BETWEEN) for _ in range(rng.choice([0, 1, 2, 5, 20, 60])))

    def stop_words(self, language):
        rng = self.rng
        how = rng.random()
        if how < .3:
            return rng.choice(LISTS)
        if how < .5:
            return {}
        out = {}
        if rng.random() < .7:
            out["languages"] = rng.sample(LISTS, rng.randint(0, 3))
        if rng.random() < .7:
            out["custom"] = [self.word(language) for _ in range(rng.randint(0, 20))]
        return out

    def options(self, language):
        rng, o = self.rng, {}
        if rng.random() < .7:
            o["tokenizer"] = rng.choice(TOKENIZERS)
        for name, p in (("lowercase", .3), ("ascii_folding", .4)):
            if rng.random() < p:
                o[name] = rng.random() < .5
        if rng.random() < .4:
            o["stopwords"] = self.stop_words(language)
        if rng.random() < .5:
            o["stemmer"] = {"type": "none"} if rng.random() < .2 else {
                "type": "snowball",
                "language": language if language in STEMMERS and rng.random() < .8 else rng.choice(STEMMERS)}
        if rng.random() < .2:
            o["min_token_len"] = rng.randint(0, 5)
        if rng.random() < .2:
            o["max_token_len"] = rng.randint(0, 9)
        return o

    def case(self):
        rng = self.rng
        language = rng.choice(list(self.words))
        o = self.options(language)
        if language in LISTS and rng.random() < .8:
            o["language"] = language
        if rng.random() < .3:
            o.update(k=rng.choice([0, 0.5, 1.2, 2.0, 7.25]), b=rng.choice([0, 0.3, 0.75, 1.0]),
                     avg_len=rng.choice([1, 7.5, 256, 1e5]))
        return o, self.text(language), rng.random() < .3


def pieces(text):
    """Words of a text, as whitespace has them."""
    return text.split()


def random_texts(ours, n, seed):
    texts = Texts(random.Random(seed))
    bad = []
    for done in range(0, n, 5000):
        bad += different(ours, [texts.case() for _ in range(min(5000, n - done))])
    print(f"random texts: {n} with seed {seed}, {len(bad)} differ")
    small = narrowed(ours, bad[:200], pieces) or bad
    for o, t, q in small[:15]:
        print("   ", "query" if q else "document", json.dumps(o, ensure_ascii=False), ascii(t))
    return len(bad)


# --- text indexes -----------------------------------------------------------------------------------

DOC, QUERY, PHRASE, BM25_QUERY = range(4)


def sequence(tokens):
    out = [t for t, place in tokens if place is not None]
    assert [p for _, p in tokens if p is not None] == list(range(len(out))), tokens
    return out


def occurs(part, whole):
    n = len(part)
    return any(whole[i:i + n] == part for i in range(len(whole) - n + 1))


def expected(docs, query, phrase, bm25):
    """Of token lists: ids that match text, text_any, phrase, and the scores."""
    sets = [{t for t, _ in d} for d in docs]
    q, p = {t for t, _ in query}, sequence(phrase)
    text = {i for i, s in enumerate(sets) if q and q <= s}
    some = {i for i, s in enumerate(sets) if q & s}
    # One word alone is looked up; only several have a sequence.
    seq = {i for i, d in enumerate(docs)
           if p and set(p) <= sets[i] and (len(p) == 1 or occurs(p, sequence(d)))}
    n = sum(1 for d in docs if d)
    mean = sum(map(len, docs)) / n if n else 1
    scores = {}
    for term in {t for t, _ in bm25}:
        df = sum(1 for s in sets if term in s)
        idf = max(0, math.log((n - df + .5) / (df + .5) + 1))
        for i, d in enumerate(docs):
            if (tf := sum(1 for t, _ in d if t == term)):
                scores[i] = scores.get(i, 0) + idf * tf * 2.2 / (tf + 1.2 * (.25 + .75 * len(d) / mean))
    return text, some, seq, scores


class Shard:
    def __init__(self, params, texts, folder):
        self.n = len(texts)
        self.shard = edge.EdgeShard.create(folder, edge.EdgeConfig(
            vectors={"v": edge.EdgeVectorParams(size=1, distance=edge.Distance.Dot)}))
        self.shard.update(edge.UpdateOperation.upsert_points(
            [edge.Point(i, {"v": [1.0]}, {"t": t}) for i, t in enumerate(texts)]))
        self.shard.update(edge.UpdateOperation.create_field_index("t", edge.TextIndexParams(
            phrase_matching=True, scoring=True, **settings(params))))

    def match(self, m):
        found, _ = self.shard.scroll(edge.ScrollRequest(
            limit=self.n, filter=edge.Filter(must=[edge.FieldCondition("t", match=m)])))
        return {x.id for x in found}

    def answers(self, text):
        hits = self.shard.query(edge.QueryRequest(limit=self.n, query=edge.TextQuery("t", text)))
        return (self.match(edge.MatchText(text=text)), self.match(edge.MatchTextAny(text_any=text)),
                self.match(edge.MatchPhrase(phrase=text)), {h.id: h.score for h in hits})


def same_scores(a, b):
    return a.keys() == b.keys() and all(math.isclose(a[i], b[i], rel_tol=1e-5, abs_tol=1e-6) for i in a)


def index_case(ours, texts):
    """One index: how many of its queries differ."""
    rng = texts.rng
    language = rng.choice(LISTS)
    params = texts.options(language)
    docs = [texts.text(language) for _ in range(12)]
    asked = [texts.text(language) for _ in range(3)]
    for _ in range(12):  # pieces of documents: these match
        d = rng.choice(docs)
        at = rng.randint(0, len(d))
        asked.append(d[at:at + rng.choice([3, 8, 15, 40])])
    with tempfile.TemporaryDirectory() as folder:
        shard = Shard(params, docs, folder)
        have = [shard.answers(a) for a in asked]
        shard.shard.close()
    doc_tokens = ours.tokens(params, DOC, docs)
    modes = [ours.tokens(params, m, asked) for m in (QUERY, PHRASE, BM25_QUERY)]
    bad = 0
    for text, theirs_, *mine in zip(asked, have, *modes):
        want = expected(doc_tokens, *mine)
        if theirs_[:3] != want[:3] or not same_scores(theirs_[3], want[3]):
            bad += 1
            if bad == 1:
                print("   ", json.dumps(params, ensure_ascii=False), ascii(text), "theirs", theirs_, "ours", want)
    return bad


def indexes(ours, n, seed):
    texts = Texts(random.Random(seed))
    bad = sum(index_case(ours, texts) for _ in range(n))
    print(f"text indexes: {n} with 15 queries each, {bad} queries differ")
    return bad


def main():
    p = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    p.add_argument("embed")
    p.add_argument("--all", action="store_true", help="code points of empty planes too")
    p.add_argument("--texts", type=int, default=20000)
    p.add_argument("--indexes", type=int, default=60)
    p.add_argument("--seed", type=int, default=random.randrange(1 << 31))
    args = p.parse_args()
    print(f"seed {args.seed}")
    ours = Ours(args.embed)
    failed = (sweep(ours, args.all) + stop_words(ours) + random_texts(ours, args.texts, args.seed) +
              indexes(ours, args.indexes, args.seed))
    print("every token is the same" if failed == 0 else f"{failed} texts differ")
    return 1 if failed else 0


if __name__ == "__main__":
    sys.exit(main())

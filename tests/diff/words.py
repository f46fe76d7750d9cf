"""Full-text analysis as chapter 02 §9 and chapter 06 §3 describe it, for the words of pool.WORDS.

Stop words, stems and folded letters are those that occur there, no more: whole tables are compared
elsewhere (tests/text).
"""
import re

from qdrant_client import models as m

STOP_WORDS = {"the", "a"}
STEMS = {"running": "run", "runs": "run", "cats": "cat", "getusername": "getusernam",
         "getUserName": "getUserNam"}
FOLDED = {"ü": "u", "é": "e"}


class Analyzer:
    def __init__(self, params):
        self.tokenizer = params.get("tokenizer", "word")
        self.lower = params.get("lowercase") is not False
        self.fold = bool(params.get("ascii_folding"))
        self.phrases = bool(params.get("phrase_matching"))
        self.least, self.most = params.get("min_token_len"), params.get("max_token_len")
        stop = params.get("stopwords") or {}
        if isinstance(stop, str):
            stop = {"languages": [stop]}
        self.stop = set(STOP_WORDS) if stop.get("languages") else set()
        self.stop |= {w.lower() if self.lower else w for w in stop.get("custom", [])}
        self.stems = (params.get("stemmer") or {}).get("type") == "snowball"

    # --- §9.3, chapter 06 §3 ----------------------------------------------------------------------

    def split(self, text, compounds=True):
        if self.tokenizer == "whitespace":
            return text.split()
        if self.tokenizer == "code":
            return [t for word in re.findall(r"\w+", text) for t in code_parts(word, compounds)]
        return re.findall(r"[^\W_]+", text)

    def word(self, token, stop_words=True):
        """§9.2, steps 2 to 5; None: dropped."""
        if self.fold:
            token = "".join(FOLDED.get(c, c) for c in token)
        if self.lower:
            token = token.lower()
        if stop_words and token in self.stop:
            return None
        return STEMS.get(token, token) if self.stems else token

    def fits(self, token):
        return (self.least is None or len(token) >= self.least) and \
            (self.most is None or len(token) <= self.most)

    def document(self, text, compounds=True):
        tokens = [self.word(t) for t in self.split(text, compounds)]
        if self.tokenizer != "prefix":
            return [t for t in tokens if t and self.fits(t)]
        out = []
        for t in tokens:
            if t and len(t) >= (self.least or 1):
                most = len(t) if self.most is None else min(self.most, len(t))
                out += [t[:n] for n in range(self.least or 1, most + 1)]
        return out

    def query(self, text):
        if self.tokenizer != "prefix":
            return self.document(text, compounds=False)
        tokens = [self.word(t, stop_words=False) for t in self.split(text)]
        tokens = [t for t in tokens if t and len(t) >= (self.least or 1)]
        return [t if self.most is None else t[:self.most] for t in tokens]

    # --- §9.5 ---------------------------------------------------------------------------------------

    def matches(self, c, texts, knows_phrases=None):
        if isinstance(c, m.MatchPhrase):
            if not (self.phrases if knows_phrases is None else knows_phrases):
                return False
            wanted = self.document(c.phrase, compounds=False)
            return bool(wanted) and any(
                follows(self.document(t, compounds=False), wanted) or
                len(wanted) == 1 and wanted[0] in self.document(t) for t in texts)
        have = {w for t in texts for w in self.document(t)}
        if isinstance(c, m.MatchText):
            wanted = self.query(c.text)
            return bool(wanted) and all(w in have for w in wanted)
        return any(w in have for w in self.query(c.text_any))


def follows(have, wanted):
    return any(have[i:i + len(wanted)] == wanted for i in range(len(have) - len(wanted) + 1))


def code_parts(word, compounds):
    if word[0].isdigit():
        return [word.replace("_", "")]
    parts = []
    for piece in word.split("_"):
        parts += re.findall(r"[A-Z]+(?=[A-Z][a-z])|[A-Z]?[^A-Z]+|[A-Z]+", piece)
    return parts + ["".join(parts)] if compounds and len(parts) > 1 else parts

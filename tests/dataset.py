"""The vectors that demo and benchmarks run on: a packaged set, or a generated one.

A packaged set is a folder of
    vectors.f16.npy          (n, dim) float16
    queries.f32.npy          (m, dim) float32
    payload.jsonl.gz         one JSON object a row, with "package" and "summary" to show
    queries.jsonl            {"text": ...} a query
Row number = point id. load() takes the folder named by SEXTANT_DATA, else packages-384 beside the
repository, else it generates. Vectors stay in half precision: 65 536 values at most, so that the
text of a value comes from a table and 50 000 bodies are written in seconds.
"""
import gzip
import json
import os
import pathlib

import numpy as np

ROOT = pathlib.Path(__file__).resolve().parents[1]
BESIDE = ROOT.parent / "shared/data/packages-384"
SAME_SCORE = 1e-6  # closer scores may change places


class Dataset:
    def __init__(self, origin, vectors, payloads, queries, texts):
        self.origin = origin      # one line, for people
        self.vectors = vectors    # (n, dim) float16
        self.payloads = payloads  # n lines of JSON, bytes
        self.queries = queries    # (m, dim) float32
        self.texts = texts        # m strings
        self.n, self.dim = vectors.shape
        self._unit = None

    def unit(self):
        """The vectors as a cosine collection keeps them: float32, of length 1."""
        if self._unit is None:
            v = self.vectors.astype(np.float32)
            v /= np.sqrt(np.einsum("ij,ij->i", v, v))[:, None]
            self._unit = v
        return self._unit

    def cut(self, n):
        return Dataset(self.origin, self.vectors[:n], self.payloads[:n], self.queries, self.texts)


def unit_queries(queries):
    q = queries.astype(np.float64)
    return q / np.linalg.norm(q, axis=1)[:, None]


# --- where it comes from -------------------------------------------------------------------------

def read_folder(folder):
    folder = pathlib.Path(folder)
    with gzip.open(folder / "payload.jsonl.gz") as f:
        payloads = f.read().splitlines()
    texts = [json.loads(line)["text"] for line in open(folder / "queries.jsonl", encoding="utf-8")]
    vectors = np.load(folder / "vectors.f16.npy")
    queries = np.load(folder / "queries.f32.npy")
    if len(payloads) != len(vectors) or len(texts) != len(queries):
        raise SystemExit(f"{folder}: rows of vectors and payload, or of queries, differ in number")
    return Dataset(f"{folder}: {len(vectors)} x {vectors.shape[1]}", vectors, payloads, queries,
                   texts)


def _names(rng, n):
    """n names that can be told apart and pronounced."""
    syllables = [c + v for c in "bdfgklmnprstvz" for v in "aeiou"]
    out = set()
    while len(out) < n:
        out.add("".join(rng.choice(syllables, 3)))
    return sorted(out)


def generate(n=50000, dim=384, queries=1000, seed=7):
    """Points with the difficulty of real embeddings.

    Latent z (48 dimensions) = one of 2 000 cluster centres, drawn by Zipf 0.6, + 0.6 N(0,1);
    x = W2 tanh(1.5 W1 z) over 128 hidden units, + 0.3 N(0,1); both parts scaled by exp(-2 j / dim),
    then normalised. Queries are further draws. The payload names the cluster, so that a person sees
    whether a hit belongs.
    """
    rng = np.random.default_rng(seed)
    n_clusters, n_latent, n_hidden, total = 2000, 48, 128, n + queries
    centres = rng.standard_normal((n_clusters, n_latent))
    weight = np.arange(1, n_clusters + 1) ** -0.6
    cluster = rng.choice(n_clusters, total, p=weight / weight.sum())
    w1 = (rng.standard_normal((n_latent, n_hidden)) / np.sqrt(n_latent)).astype(np.float32)
    w2 = (rng.standard_normal((n_hidden, dim)) / np.sqrt(n_hidden)).astype(np.float32)
    scale = np.exp(-2 * np.arange(dim) / dim).astype(np.float32)
    z = (centres[cluster] + 0.6 * rng.standard_normal((total, n_latent))).astype(np.float32)
    x = np.tanh(1.5 * (z @ w1)) @ w2 + 0.3 * rng.standard_normal((total, dim), dtype=np.float32)
    x *= scale
    x /= np.linalg.norm(x, axis=1)[:, None]
    names = _names(rng, n_clusters)
    payloads = [json.dumps({"package": f"{names[c]}-{i}", "section": names[c],
                            "summary": f"a point of cluster {names[c]}",
                            "size": int(c) * 1000 + i % 1000}).encode()
                for i, c in enumerate(cluster[:n])]
    texts = [f"a point of cluster {names[c]}" for c in cluster[n:]]
    return Dataset(f"generated: {n} x {dim}, 2000 clusters, seed {seed}", x[:n].astype(np.float16),
                   payloads, x[n:].astype(np.float32), texts)


def load():
    """The set to use, and from where, in .origin."""
    named = os.environ.get("SEXTANT_DATA")
    if named:
        return read_folder(named)
    return read_folder(BESIDE) if BESIDE.is_dir() else generate()


# --- request bodies ------------------------------------------------------------------------------

def number_table(vectors, digits):
    """Text of every half-precision value that occurs: "short" as the shortest text that reads back
    as the float32, "long" as Python writes the value of a double (up to 17 digits)."""
    table = [None] * 65536
    kind = np.float32 if digits == "short" else np.float64
    for bits in np.unique(vectors.view(np.uint16)):
        value = kind(bits[None].view(np.float16)[0])
        table[int(bits)] = str(value)
    return table


def upsert_bodies(ds, batch=256, digits="short", with_payload=True, first_id=0):
    """Bodies of PUT /collections/{name}/points, as bytes."""
    text = number_table(ds.vectors, digits).__getitem__
    rows = ds.vectors.view(np.uint16)
    for at in range(0, ds.n, batch):
        points = []
        for i, row in enumerate(rows[at:at + batch].tolist(), at):
            payload = b',"payload":' + ds.payloads[i] if with_payload else b""
            points.append(b'{"id":%d,"vector":[%s]%s}'
                          % (first_id + i, ",".join(map(text, row)).encode(), payload))
        yield b'{"points":[' + b",".join(points) + b"]}"


def query_body(vector, limit=10, **more):
    numbers = ",".join(map(str, np.asarray(vector, np.float32)))
    extra = "".join(f',"{k}":{json.dumps(v)}' for k, v in more.items())
    return f'{{"query":[{numbers}],"limit":{limit}{extra}}}'.encode()


# --- the truth -----------------------------------------------------------------------------------

def exact(unit, queries, k=10, block=100, spare=20):
    """Ids and scores of the k nearest by cosine, best first: candidates by a float32 product, their
    order by a float64 one."""
    unit_q = unit_queries(queries)
    k = min(k, len(unit))
    m = min(k + spare, len(unit))
    ids, scores = np.empty((len(unit_q), k), np.int64), np.empty((len(unit_q), k))
    for at in range(0, len(unit_q), block):
        q = unit_q[at:at + block]
        rough = q.astype(np.float32) @ unit.T
        near = np.argpartition(-rough, m - 1, axis=1)[:, :m]
        for i, candidates in enumerate(near):
            s = unit[candidates].astype(np.float64) @ q[i]
            best = np.lexsort((candidates, -s))[:k]
            ids[at + i], scores[at + i] = candidates[best], s[best]
    return ids, scores


def difference(unit, query, ids, scores, true_ids, true_scores):
    """What is wrong with an answer, or None. Same ids in the same order, except between scores
    closer than SAME_SCORE; every returned score is that of its point."""
    if len(ids) != len(true_ids) or len(set(ids)) != len(ids):
        return f"{len(ids)} hits, {len(set(ids))} different, expected {len(true_ids)}"
    q = unit_queries(query[None])[0]
    for i, (a, b) in enumerate(zip(ids, true_ids)):
        own = float(unit[a].astype(np.float64) @ q)
        if a != b and abs(own - true_scores[i]) >= SAME_SCORE:
            return f"place {i + 1}: id {a} ({own:.7f}) instead of {b} ({true_scores[i]:.7f})"
        if abs(scores[i] - own) >= SAME_SCORE:
            return f"place {i + 1}: score {scores[i]:.7f} of id {a} should be {own:.7f}"
    return None

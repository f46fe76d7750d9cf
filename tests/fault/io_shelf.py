"""A collection, what was asked of it and what was answered, when some answers are errors.

The operations of one client come one after the other, so a collection goes through a chain of states.
An answer of success makes a state binding: from then on no earlier one may be found, not live, not
after a restart. After an error the state is read: it must be the one before or the one that the
operation makes (of a batch, the one that a first part of it makes); whatever is read is on the chain.
What was refused and is not visible may at most be found by the next start as the last operation of
all: a record that could not be taken back from a log that took no more.

So a state found after a restart must be one of the chain that is not older than the last success, or
the end of the chain and that one operation. Everything is compared: points with payloads and vectors,
indexes, vector names.
"""
import copy
import json


def canon(state):
    return json.dumps(state, sort_keys=True)


def point(pid, version, vectors, pad=0):
    """What a point of that version holds. vectors: {name: a function of the version}."""
    v = {name: make(pid, version) for name, make in vectors.items()}
    payload = {"v": version, "k": ("red", "green", "blue")[version % 3], "n": pid * 7 % 50,
               "t": f"word{version % 5} and word{pid % 4}"}
    if pad:
        payload["pad"] = f"{pid}.{version}." * (pad // 6)
    return {"id": pid, "payload": payload, "vector": v[""] if "" in v else v}


def dense(dim):
    return lambda pid, version: [((pid * 31 + version * 17 + j * 7) % 256 - 128) / 64 for j in range(dim)]


def multi(dim):
    return lambda pid, version: [dense(dim)(pid, version + i) for i in range(1 + version % 3)]


def sparse(pid, version):
    return {"indices": [pid % 9, 10 + version % 7], "values": [1.5, (version % 11 + 1) / 4]}


def fill(p):
    """A point as the state holds it: vectors by name."""
    v = p["vector"]
    return {"payload": copy.deepcopy(p["payload"]), "vector": dict(v) if isinstance(v, dict) else {"": v}}


class Unreadable(AssertionError):
    """A read that was answered with the server's own error: a collection that could not be opened."""


class Shelf:
    def __init__(self, name, config, vectors):
        self.name, self.config, self.vectors = name, config, vectors
        self.chain = []       # states; [] while it was never made
        self.bound = 0        # index of the last state that was answered as done
        self.extras = []      # (length of the chain, canonical state): refused, perhaps in the log
        self.absent = "must"  # "must", "may", "no": whether it may be missing
        self.refused = 0      # answers that were errors
        self.outcomes = []    # of operations, in order: done or not
        self.may_be_red = False  # a fault while it is opened may leave it unreadable until the next start
        self.red = False

    def now(self):
        return self.chain[-1]

    # --- lifetime ---

    def create(self, server):
        status, answer = ask(server, "PUT", f"/collections/{self.name}", self.config)
        if status == 200:
            names = list(self.config.get("vectors") or {}) if "size" not in self.config["vectors"] else [""]
            names += list(self.config.get("sparse_vectors") or {})
            self.chain = [{"points": {}, "fields": {}, "vectors": sorted(names)}]
            self.bound, self.extras, self.absent = 0, [], "no"
            return True
        self.refused += 1
        status, _ = server.get("GET", f"/collections/{self.name}")
        if status != 404:
            raise AssertionError(f"creation of {self.name} was answered with an error, but it is there")
        self.absent = "may-new"  # nothing, or an empty one
        return False

    def drop(self, server):
        status, answer = ask(server, "DELETE", f"/collections/{self.name}")
        if status == 200:
            self.absent = "must"
            status, answer = server.get("GET", f"/collections/{self.name}")
            if status != 404:
                raise AssertionError(f"{self.name} is dropped and answers {status}")
            return True
        self.refused += 1
        self.absent = "may"
        return False

    # --- operations ---

    def do(self, server, method, path, body, *steps):
        """One call that takes the steps, functions that change a state in place. True when done."""
        if self.red or self.absent == "must":
            return False
        status, answer = ask(server, method, f"/collections/{self.name}{path}", body)
        ways = [self.now()]
        for step in steps:
            ways.append(copy.deepcopy(ways[-1]))
            step(ways[-1])
        self.outcomes.append(status == 200)
        if status == 200:
            self.chain += ways[1:]
            self.bound, self.absent = len(self.chain) - 1, "no"
            return True
        self.refused += 1
        try:
            live = canon(read_state(server, self.name))
        except Unreadable:
            if not self.may_be_red:
                raise
            self.red = True
            return False
        fits = [i for i, way in enumerate(ways) if canon(way) == live]
        if not fits:
            raise AssertionError(f"{method} {path} of {self.name} was refused ({answer}), and then the "
                                 f"state is neither before nor after it: {differ(ways[0], live)}")
        self.chain += ways[1:fits[0] + 1]
        if fits[0] + 1 < len(ways):
            self.extras.append((len(self.chain), canon(ways[fits[0] + 1])))
        return False

    def upsert(self, server, ids, version, pad=0):
        return self.do(server, "PUT", "/points?wait=true", *self.upsert_op(ids, version, pad))

    def upsert_op(self, ids, version, pad=0):
        points = [point(i, version, self.vectors, pad) for i in ids]

        def step(state):
            for p in points:
                state["points"][str(p["id"])] = fill(p)
        return {"points": points}, step

    def delete(self, server, ids):
        return self.do(server, "POST", "/points/delete?wait=true", {"points": ids}, deletion(ids))

    # --- looking ---

    def check_live(self, server):
        """What readers see now is the end of the chain, by every way of reading."""
        if self.chain and not self.red and self.absent != "must":
            try:
                check_reads(server, self.name, self.now())
            except Unreadable:
                if not self.may_be_red:
                    raise
                self.red = True

    def may_be(self, state):
        """None, or what is wrong with a state found after a restart (None: no such collection)."""
        if state is None:
            return None if self.absent != "no" else f"collection {self.name} is missing"
        if self.absent == "must":
            return f"collection {self.name} is there"
        if self.absent == "may-new":
            return None if not state["points"] else f"collection {self.name} has points nobody wrote"
        found = canon(state)
        if any(canon(s) == found for s in self.chain[self.bound:]):
            return None
        if any(at > self.bound and at == len(self.chain) and x == found for at, x in self.extras):
            return None
        for i, s in enumerate(self.chain[:self.bound]):
            if canon(s) == found:
                return (f"collection {self.name} has the state after step {i}, but step {self.bound} of "
                        f"{len(self.chain) - 1} was answered as done")
        return (f"collection {self.name} has a state that never was; against the last one that was "
                f"answered: {differ(self.chain[self.bound], found)}")

    def adopt(self, state):
        """Goes on from a state found after a restart."""
        self.red = False
        if state is None:
            self.chain, self.absent = [], "must"
        else:
            self.chain, self.bound, self.extras, self.absent = [state], 0, [], "no"


class Aliases:
    """The second names of collections: one chain of states for the whole server, as for a shelf."""

    def __init__(self):
        self.chain, self.bound, self.refused, self.extras = [{}], 0, 0, []

    def do(self, server, *changes):
        """One call with all changes, which come true together: (name, collection or None)."""
        new, actions = dict(self.chain[-1]), []
        for name, to in changes:
            if name in new:
                actions.append({"delete_alias": {"alias_name": name}})
            if to is not None:
                actions.append({"create_alias": {"alias_name": name, "collection_name": to}})
            new.update({name: to}) if to is not None else new.pop(name, None)
        status, answer = ask(server, "POST", "/collections/aliases", {"actions": actions})
        if status == 200:
            self.chain.append(new)
            self.bound, self.extras = len(self.chain) - 1, []
            return True
        self.refused += 1
        live = read_aliases(server)
        if live not in (self.chain[-1], new):
            raise AssertionError(f"aliases were refused ({answer}), and are {live}, neither {self.chain[-1]} "
                                 f"nor {new}")
        (self.chain if live == new else self.extras).append(new)
        return False

    def check_live(self, server):
        live = read_aliases(server)
        if live != self.chain[-1]:
            raise AssertionError(f"aliases are {live}, wanted {self.chain[-1]}")

    def may_be(self, found):
        if found in self.chain[self.bound:] + self.extras:
            return None
        return f"aliases are {found}, answered was {self.chain[self.bound]}"

    def adopt(self, found):
        self.chain, self.bound, self.extras = [found], 0, []


def read_aliases(server):
    return {a["alias_name"]: a["collection_name"] for a in server.ok("GET", "/aliases")["aliases"]}


def deletion(ids):
    def step(state):
        for i in ids:
            state["points"].pop(str(i), None)
    return step


def differ(want, found):
    found = json.loads(found) if isinstance(found, str) else found
    out = [f"{k}: wanted {want[k]}, found {found[k]}" for k in ("fields", "vectors") if want[k] != found[k]]
    a, b = want["points"], found["points"]
    for i in sorted(set(a) | set(b)):
        if a.get(i) != b.get(i):
            out.append(f"point {i}: wanted {str(a.get(i))[:300]}, found {str(b.get(i))[:300]}")
    return f"{len(out)} differences: " + "; ".join(out[:4])


def ask(server, method, path, body=None):
    """(status, answer); an error must be the server's own and say why."""
    status, answer = server.get(method, path, body)
    if status == 200:
        return status, answer
    text = answer.get("status", {}).get("error", "") if isinstance(answer, dict) else ""
    if status < 500 or len(text) < 10:
        raise AssertionError(f"{method} {path}: {status} {str(answer)[:400]}")
    return status, text


def read_state(server, name):
    """The state of a collection as readers see it."""
    status, answer = server.get("GET", f"/collections/{name}")
    if status >= 500:
        raise Unreadable(f"collection {name} cannot be read: {status} {answer}")
    info = server.ok("GET", f"/collections/{name}")
    params = info["config"]["params"]
    names = [""] if "size" in (params["vectors"] or {}) else list(params["vectors"] or {})
    state = {"points": {}, "vectors": sorted(names + list(params.get("sparse_vectors") or {})),
             "fields": {k: v["data_type"] for k, v in info["payload_schema"].items()}}
    for p in server.ok("POST", f"/collections/{name}/points/scroll",
                       {"limit": 100000, "with_vector": True, "with_payload": True})["points"]:
        v = p.get("vector")
        state["points"][str(p["id"])] = {"payload": p["payload"] or {},
                                         "vector": v if isinstance(v, dict) else {} if v is None else {"": v}}
    return state


def check_reads(server, name, state):
    """Every way of reading agrees with the state: scroll, counts by conditions with and without an
    index, facets, exact search."""
    found = read_state(server, name)
    if canon(found) != canon(state):
        raise AssertionError(f"collection {name} is read as something else: {differ(state, found)}")
    points = state["points"]
    base = f"/collections/{name}/points"

    def count(what, condition, holds):
        got = server.ok("POST", f"{base}/count", {"exact": True, "filter": {"must": [condition]}})["count"]
        want = sum(bool(holds(p["payload"])) for p in points.values())
        if got != want:
            raise AssertionError(f"collection {name}: {got} points with {what}, {want} have it")

    for k in ("red", "green"):
        count(f"k {k}", {"key": "k", "match": {"value": k}}, lambda p: p.get("k") == k)
    count("n from 10 to 30", {"key": "n", "range": {"gte": 10, "lt": 30}},
          lambda p: "n" in p and 10 <= p["n"] < 30)
    if state["fields"].get("t") == "text":
        count("word1", {"key": "t", "match": {"text": "word1"}},
              lambda p: "word1" in p.get("t", "").split())
    if state["fields"].get("k"):
        hits = server.ok("POST", f"/collections/{name}/facet", {"key": "k", "exact": True})["hits"]
        want = {}
        for p in points.values():
            if "k" in p["payload"]:
                want[p["payload"]["k"]] = want.get(p["payload"]["k"], 0) + 1
        if {h["value"]: h["count"] for h in hits} != want:
            raise AssertionError(f"collection {name}: facet {hits}, wanted {want}")
    for vector in [v for v in state["vectors"] if v != "s"][:1]:
        some = next((p["vector"][vector] for p in points.values() if vector in p["vector"]), None)
        if some is None:
            continue
        body = {"query": some, "limit": 1000, "params": {"exact": True}}
        if vector:
            body["using"] = vector
        got = sorted(str(h["id"]) for h in server.ok("POST", f"{base}/query", body)["points"])
        want = sorted(i for i, p in points.items() if vector in p["vector"])
        if got != want:
            raise AssertionError(f"collection {name}: search in '{vector}' finds {got}, wanted {want}")

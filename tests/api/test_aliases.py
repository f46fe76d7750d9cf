"""Aliases beyond the recorded conversations: durability, damage, switches under readers."""
import json
import threading

import pytest

DOT4 = {"vectors": {"size": 4, "distance": "Dot"}}


def create(alias, collection):
    return {"create_alias": {"collection_name": collection, "alias_name": alias}}


def delete(alias):
    return {"delete_alias": {"alias_name": alias}}


def change(http, *actions):
    return http.ok("POST", "/collections/aliases", {"actions": list(actions)})


def aliases(http):
    return {a["alias_name"]: a["collection_name"] for a in http.ok("GET", "/aliases")["aliases"]}


@pytest.fixture
def own(make_server):
    s = make_server()
    for n in ("one", "two"):
        s.http.ok("PUT", f"/collections/{n}", DOT4)
    yield s


def test_they_survive_a_kill_and_a_stop(own):
    change(own.http, create("a", "one"), create("é/ü \" x", "two"))
    own.kill()
    own.start()
    assert aliases(own.http) == {"a": "one", "é/ü \" x": "two"}
    change(own.http, delete("a"), create("b", "two"))
    own.restart()
    assert aliases(own.http) == {"é/ü \" x": "two", "b": "two"}
    own.http.ok("DELETE", "/collections/two")
    own.kill()
    own.start()
    assert aliases(own.http) == {}
    assert json.loads((own.storage / "aliases/data.json").read_text()) == {}


def test_an_alias_of_a_collection_that_is_gone_is_left_out(own):
    change(own.http, create("a", "one"), create("b", "two"))
    own.kill()
    (own.storage / "collections/two").rename(own.storage / "elsewhere")
    own.start()
    assert aliases(own.http) == {"a": "one"}
    own.http.ok("PUT", "/collections/two", DOT4)  # another one of that name is not called b
    own.restart()
    assert aliases(own.http) == {"a": "one"}


@pytest.mark.parametrize("harm", ["flip", "cut", "empty", "lost"])
def test_damage_is_told_and_collections_serve(own, harm):
    change(own.http, create("a", "one"))
    change(own.http, create("b", "one"))
    own.kill()
    f = own.storage / "aliases/data.json"
    text = bytearray(f.read_bytes())
    if harm == "flip":
        text[text.index(b"one")] ^= 1
        f.write_bytes(text)
    elif harm == "cut":
        f.write_bytes(text[:-3])
    elif harm == "empty":
        f.write_bytes(b"")
    else:
        f.unlink()
    own.start()
    assert "aliases: data.json: checksum mismatch" in own.log_text()
    assert aliases(own.http) == {}
    status, answer = own.http("POST", "/collections/aliases", {"actions": [create("c", "one")]})
    assert status == 500 and "aliases: data.json: checksum mismatch" in answer["status"]["error"]
    assert own.http.ok("GET", "/collections/one")["status"] == "green"
    # Whoever repairs the map by hand takes the sums away.
    own.kill()
    f.write_text('{"mended": "two"}')
    (own.storage / "aliases/data.sum").unlink()
    own.start()
    assert aliases(own.http) == {"mended": "two"}
    change(own.http, create("c", "one"))
    own.kill()
    own.start()
    assert aliases(own.http) == {"mended": "two", "c": "one"}


def test_a_switch_is_never_seen_halfway(own):
    for i, n in enumerate(("one", "two")):
        own.http.ok("PUT", f"/collections/{n}/points?wait=true",
                    {"points": [{"id": 1, "vector": [1, 0, 0, 0], "payload": {"n": i}}]})
    change(own.http, create("a", "one"))
    stop, seen, bad = threading.Event(), set(), []

    def read():
        http = type(own.http)(own.port)
        while not stop.is_set():
            status, answer = http("GET", "/collections/a/points/1")
            if status != 200:
                bad.append(answer)
                return
            seen.add(answer["result"]["payload"]["n"])
        http.close()

    readers = [threading.Thread(target=read) for _ in range(4)]
    for t in readers:
        t.start()
    turns = 0
    while turns < 100 or (len(seen) < 2 and turns < 5000):
        change(own.http, delete("a"), create("a", ("two", "one")[turns % 2]))
        turns += 1
    stop.set()
    for t in readers:
        t.join()
    assert not bad
    assert seen == {0, 1}


def test_no_collection_takes_an_alias(own):
    change(own.http, create("a", "one"))
    status, answer = own.http("PUT", "/collections/a", DOT4)
    assert (status, answer["status"]["error"]) == (
        400, "Wrong input: Can't create collection with name a. Alias with the same name already exists")
    assert own.http.ok("DELETE", "/collections/a") is False
    assert aliases(own.http) == {"a": "one"}

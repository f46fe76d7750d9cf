"""Cleaning over the wire: what it moves it has verified."""
import time

N, DIM = 70000, 32


def vector(i):
    return [float(i % 251), float(i % 7)] + [1.0] * (DIM - 2)


def test_damage_is_not_given_new_checksums(make_server):
    """A byte of a living vector is wrong on disk, and no scrub runs. Most other points are deleted, so
    that its chunk is to be emptied: the damage is told, not moved."""
    s = make_server({"SEXTANT__PLUGINS__ENGINE__SCRUB_PAUSE_MS": "0",
                     "SEXTANT__PLUGINS__ENGINE__CHECKPOINT_IDLE_MS": "50"})
    s.http.ok("PUT", "/collections/c", {"vectors": {"size": DIM, "distance": "Dot"}})
    for at in range(0, N, 2000):
        s.http.ok("PUT", f"/collections/c/points?wait={str(at + 2000 >= N).lower()}",
                  {"points": [{"id": i, "vector": vector(i)} for i in range(at, min(at + 2000, N))]})
    s.restart()  # everything is in the files, with checksums
    victim = 12345
    f = s.storage / "collections/c/0/vec0.00000000"
    with open(f, "r+b") as file:
        file.seek(4096 + victim * DIM * 4 + 1)
        byte = file.read(1)
        file.seek(-1, 1)
        file.write(bytes([byte[0] ^ 0x40]))
    assert s.http.ok("POST", "/collections/c/points/count", {"exact": True})["count"] == N
    gone = [i for i in range(N) if i % 4 and i != victim]
    for at in range(0, len(gone), 10000):
        s.http.ok("POST", "/collections/c/points/delete?wait=true", {"points": gone[at:at + 10000]})
    end = time.monotonic() + 60
    while (info := s.http.ok("GET", "/collections/c"))["status"] != "red":
        assert time.monotonic() < end, "cleaning has not noticed the damage"
        time.sleep(0.05)
    assert "vec0.00000000" in str(info["optimizer_status"])
    # Reads go on; nothing of the chunk was moved.
    assert s.http.ok("POST", "/collections/c/points/count", {"exact": True})["count"] == N - len(gone)
    assert not (s.storage / "collections/c/0/vec0.00000002").exists()

"""What is refused, and that the server is well afterwards."""

from __future__ import annotations

import io
import re
import struct
import sys
import zlib

import numpy as np
import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="needs the extra studio: pip install -e '.[studio]'")
from fastapi.testclient import TestClient

from vaegan.studio import guard
from vaegan.studio.app import create_app
from vaegan.studio.guard import Access
from vaegan.studio.registry import Registry

BASE = "http://127.0.0.1:8000"
BARS = "/api/models/bars"


@pytest.fixture
def client(registry):
    """At the end the server still answers as it should."""
    client = TestClient(create_app(registry), base_url=BASE, raise_server_exceptions=False)
    yield client
    answer = client.get(f"{BARS}/samples?num=2")
    assert answer.status_code == 200
    assert len(answer.json()["images"]) == 2


def png(width: int, height: int) -> bytes:
    """The start of a PNG of any size: header, a little data."""

    def chunk(kind: bytes, content: bytes) -> bytes:
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0))
    return b"\x89PNG\r\n\x1a\n" + header + chunk(b"IDAT", zlib.compress(b"\0" * 100)) + chunk(b"IEND", b"")


def whole(form: str) -> bytes:
    file = io.BytesIO()
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    Image.fromarray(noise).save(file, form)
    return file.getvalue()


@pytest.mark.parametrize(
    ("content", "status", "words"),
    [
        (b"", 415, "cannot read"),
        (b"hello, I am text", 415, "cannot read"),
        (b"%PDF-1.7 ...", 415, "cannot read"),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", 415, "cannot read"),
        (whole("PCX"), 415, "cannot read"),
        (whole("GIF")[:2000], 422, "damaged"),
        (whole("TIFF")[:300], 422, "damaged"),
        (whole("PNG")[:500], 422, "damaged"),
        (whole("JPEG")[:700], 422, "damaged"),
        (whole("WEBP")[:300], 422, "damaged"),
        (whole("PNG")[:20], 422, "damaged"),
        (png(100, 100), 422, "damaged"),
        (png(20_000, 10_000), 413, "pixels"),
        (png(10_000, 8_000), 413, "10,000 x 8,000"),
        (png(2_000_000_000, 2_000_000_000), 413, "pixels"),
        (png(0, 5), 415, "cannot read"),
    ],
)
def test_bad_uploads(client, content, status, words):
    for path in ("encode", "reconstruct"):
        answer = client.post(f"{BARS}/{path}", files={"file": ("x.png", content)})
        assert (answer.status_code, words in answer.json()["error"]) == (status, True), answer.text
        assert "\n" not in answer.json()["error"]


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP", "BMP", "TIFF"])
def test_good_uploads(client, form, monkeypatch):
    if form == "TIFF":
        monkeypatch.setitem(sys.modules, "tifffile", None)
        answer = client.post(f"{BARS}/encode", files={"file": ("x", whole(form))})
        assert (answer.status_code, "TIFF images need the extra tiff" in answer.json()["error"]) == (415, True)
        monkeypatch.undo()
        pytest.importorskip("tifffile", reason="TIFF needs the extra tiff")
    assert client.post(f"{BARS}/encode", files={"file": ("any name/../x", whole(form))}).status_code == 200


def test_bodies_have_a_bound(client):
    upload = client.post(f"{BARS}/encode", files={"file": b"0" * (guard.MAX_UPLOAD + 1)})
    assert upload.status_code == 413
    plain = {"content-type": "application/json"}
    assert client.post(f"{BARS}/decode", content=b"[" * (guard.MAX_JSON + 1), headers=plain).status_code == 413
    endless = (b"[" * 100_000 for _ in range(200))  # its length is not announced
    assert client.post(f"{BARS}/decode", content=endless, headers=plain).status_code == 413
    form = {"content-type": "multipart/form-data; boundary=x"}
    start = b'--x\r\nContent-Disposition: form-data; name="file"; filename="a"\r\n\r\n'
    endless = (start if i == 0 else b"0" * 1_000_000 for i in range(30))
    assert client.post(f"{BARS}/encode", content=endless, headers=form).status_code == 413
    assert client.post(f"{BARS}/decode", content=b"", headers={"content-length": "many"}).status_code == 400


@pytest.mark.parametrize(
    "path",
    [
        "/api/models/..%2F..%2Fetc%2Fpasswd",
        "/api/models/%2Fetc%2Fpasswd/samples",
        "/api/models/bars/../../../etc/passwd",
        "/api/models/bars%00/samples",
        "/..%2Fpyproject.toml",
        "/studio.css/../../app.py",
        "/api/models/bars/snapshots/checkpoints/1",
        "/api/models/bars/snapshots/..%2Fcheckpoints/1",
        "/api/models/bars/snapshots/samples/..%2F..%2Fconfig.yaml",
        "/api/models/bars/snapshots/samples/-1",
        "/api/models/bars/snapshots/samples/1e3",
        "/api/models/bars/examples/..%2F1",
        "/api/models/bars/samples?prior=../../etc/passwd",
        "/api/models/bars/samples?label=../../etc/passwd",
        "/api/models/bars/clusters?split=../train",
        "/api/models/bars/map?how=../../x",
    ],
)
def test_path_tricks(client, path):
    answer = client.get(path)
    assert 400 <= answer.status_code < 500
    assert set(answer.json()) == {"error"}
    assert "root:" not in answer.text


def test_links_out_of_the_run_are_not_followed(studio_run, tmp_path):
    import shutil

    run = tmp_path / "linked"
    shutil.copytree(studio_run, run)
    secret = tmp_path / "secret.png"
    secret.write_bytes(whole("PNG"))
    (run / "samples" / "000000000007.png").symlink_to(secret)
    (run / "triptychs").exists() and shutil.rmtree(run / "triptychs")
    (run / "triptychs").symlink_to(tmp_path)
    (tmp_path / "5.png").write_bytes(whole("PNG"))
    registry = Registry([str(run)])
    client = TestClient(create_app(registry), base_url=BASE)
    told = client.get("/api/models/linked/training").json()["snapshots"]
    assert 7 not in told["samples"]
    assert told["triptychs"] == []
    assert client.get("/api/models/linked/snapshots/samples/7").status_code == 404
    assert client.get("/api/models/linked/snapshots/triptychs/5").status_code == 404
    registry.batcher.close()


@pytest.mark.parametrize(
    ("path", "body", "status", "words"),
    [
        ("decode", {"codes": [[1, 2, 3]]}, 422, "have 4 dimensions, not 3"),
        ("decode", {"codes": []}, 422, "codes"),
        ("decode", {"codes": [["a"]]}, 422, "codes"),
        ("decode", {"codes": [[0, 0, 0, 1e39]]}, 422, "codes"),
        ("decode", {"codes": [[0, 0, 0, 0]] * 513}, 422, "codes"),
        ("decode", {"codes": [[0, 0, 0, 0]], "attributes": {"smile": 1}}, 404, "available: right, height, said"),
        ("decode", {"codes": [[0, 0, 0, 0]], "dimensions": {"4": 1}}, 422, "no dimension 4"),
        ("decode", {"codes": [[0, 0, 0, 0]], "dimensions": {"-1": 1}}, 422, "no dimension -1"),
        ("decode", {"codes": [[0, 0, 0, 0]], "told": {"label": "left"}}, 400, "unconditional"),
        ("decode", {"codes": [[0, 0, 0, 0]], "form": "exe"}, 422, "form"),
        ("decode", {"codes": [[0, 0, 0, 0]], "colour": 1}, 422, "colour"),
        ("interpolate", {"codes": [[0, 0, 0, 0]]}, 422, "codes"),
        ("interpolate", {"codes": [[0, 0, 0, 0]] * 5}, 422, "codes"),
        ("interpolate", {"codes": [[0, 0, 0, 0]] * 2, "places": [[2, 0]]}, 422, "places"),
        ("interpolate", {"codes": [[0, 0, 0, 0]] * 2, "steps": 10**6}, 422, "steps"),
        ("traverse", {"code": [0, 0, 0, 0], "dimensions": [9]}, 422, "no dimension 9"),
        ("reconstruct", {"file": "x"}, 422, "file"),
    ],
)
def test_bad_bodies(client, path, body, status, words):
    answer = client.post(f"{BARS}/{path}", json=body)
    assert answer.status_code == status
    assert words in answer.json()["error"]


def test_bad_json_and_unknown_names(client):
    headers = {"content-type": "application/json"}
    for content in (b"{", b"\xff\xfe", b"[" * 100_000, b'{"codes": [[NaN, 0, 0, 0]]}'):
        assert client.post(f"{BARS}/decode", content=content, headers=headers).status_code in (400, 422)
    assert client.get("/api/models/bar").json()["error"] == "no model 'bar' (perhaps you meant 'bars')"
    assert client.get(f"{BARS}/samples?prior=gausian").status_code == 404
    assert client.get(f"{BARS}/samples?label=up").status_code == 404
    assert client.get(f"{BARS}/samples?num=100000").status_code == 422
    for attribute in ("right=nan", "right=inf", "right=", "right", "=1e39", "right=x"):
        assert client.get(f"{BARS}/samples", params={"attribute": attribute}).status_code == 422
    assert client.get(f"{BARS}/samples", params={"attribute": "right=1"}).status_code == 400
    assert client.get(f"{BARS}/examples/{10**30}").status_code == 404
    assert client.get(f"{BARS}/snapshots/samples/{'9' * 5000}").status_code == 422
    assert client.get(f"{BARS}/clusters?k=50&num=20").status_code == 400
    assert client.delete(BARS).status_code == 405


def test_too_many_slow_requests_are_put_off(client, registry):
    """While as many as are let in wait for something that takes long, the next is told to come back."""
    waiting = registry["bars"].waiting
    while waiting.acquire(blocking=False):
        pass
    try:
        answer = client.get(f"{BARS}/clusters?num=33&k=2&seed=77")
    finally:
        for _ in range(4):
            waiting.release()
    assert answer.status_code == 429
    assert answer.headers["retry-after"] == "1"
    assert client.get(f"{BARS}/clusters?num=33&k=2&seed=77&split=train").status_code == 200


def test_other_hosts_and_origins_are_refused(client):
    assert client.get("/api/models", headers={"host": "evil.example"}).status_code == 403
    assert client.get("/api/models", headers={"host": "localhost:8000"}).status_code == 200
    assert client.get("/api/models", headers={"host": "[::1]:8000"}).status_code == 200
    assert client.get("/api/models", headers={"host": "[::1"}).status_code == 403
    assert client.get("/api/models", headers={"origin": "http://evil.example"}).status_code == 403
    assert client.get("/api/models", headers={"origin": BASE}).status_code == 200
    another_port = BASE.replace("8000", "8001")
    assert client.get("/api/models", headers={"origin": another_port}).status_code == 403
    assert client.get("/api/models", headers={"origin": "http://127.0.0.1"}).status_code == 403


def test_a_token_is_asked_for(registry):
    client = TestClient(create_app(registry, Access("a-long-token", None)), base_url="http://box.example")
    for path in ("/api/models", f"{BARS}/samples", "/docs", "/openapi.json"):
        assert client.get(path).status_code == 401
        for wrong in ("Bearer wrong", "Bearer", "a-long-token", "Basic a-long-token", "Bearer \u00e9".encode()):
            assert client.get(path, headers={"authorization": wrong}).status_code == 401
        assert client.get(path, headers={"authorization": "Bearer a-long-token"}).status_code == 200
    assert client.get("/").status_code == 200  # the page asks for it
    assert client.post("/api/token", json={"token": "wrong"}).status_code == 401
    assert client.get("/api/models", headers={"cookie": "vaegan-token=wrong"}).status_code == 401
    among_others = {"cookie": 'other={"a": 1}; path=x; vaegan-token=a-long-token'}  # of other ports of the host
    assert client.get("/api/models", headers=among_others).status_code == 200
    given = client.post("/api/token", json={"token": "a-long-token"})
    assert given.status_code == 200
    assert "HttpOnly" in given.headers["set-cookie"]
    assert client.get("/api/models").status_code == 200


def test_the_page_needs_nothing_from_elsewhere(client):
    page = client.get("/")
    assert "default-src 'none'" in page.headers["content-security-policy"]
    named = re.findall(r'(?:href|src)="([a-z]+\.(?:css|js))"', page.text)
    assert {"studio.css", "start.js", "image.js"} < set(named)
    for path in ("/", *named):
        answer = client.get(path)
        assert answer.status_code == 200, path
        text = answer.text.replace("http://www.w3.org/2000/svg", "")
        assert "http://" not in text
        assert "https://" not in text
        assert len(text) > 500


def test_without_the_page_the_root_leads_to_the_documentation(registry):
    client = TestClient(create_app(registry, Access("a-long-token", None), page=False), base_url="http://box.example")
    root = client.get("/", follow_redirects=False)
    assert (root.status_code, root.headers["location"]) == (307, "/docs")
    health = client.get("/health")
    assert (health.status_code, health.json()["status"]) == (200, "ok")
    assert client.get("/docs").status_code == 401


@pytest.mark.parametrize("origin", ["http://[::1", "null", "", "://", "http://127.0.0.1:8000@evil.example", "\udcff"])
def test_malformed_origins_are_refused(client, origin):
    headers = {"origin": origin.encode("utf-8", "surrogateescape")}
    assert client.get("/api/models", headers=headers).status_code == 403


def test_pages_of_other_sites_cannot_ask(client):
    for site, status in {"cross-site": 403, "same-site": 403, "same-origin": 200, "none": 200}.items():
        assert client.get(f"{BARS}/samples?num=1", headers={"sec-fetch-site": site}).status_code == status
    assert client.get("/", headers={"sec-fetch-site": "cross-site", "sec-fetch-mode": "navigate"}).status_code == 200


def test_all_answers_have_the_headers_that_keep_other_sites_out(client, registry, monkeypatch):
    def broken():
        raise OSError("broken")

    answers = [client.get(path) for path in ("/", "/health", "/docs", "/nothing", "/api/models", f"{BARS}/samples")]
    answers.append(client.get("/api/models", headers={"host": "evil.example"}))
    monkeypatch.setattr(registry["bars"], "current_version", broken)
    answers.append(client.get(f"{BARS}/samples"))
    monkeypatch.undo()
    assert [answer.status_code for answer in answers] == [200, 200, 200, 404, 200, 200, 403, 500]
    for answer in answers:
        assert answer.headers["x-content-type-options"] == "nosniff"
        assert answer.headers["cross-origin-resource-policy"] == "same-origin"


def test_lone_surrogates_are_answered(client):
    surrogate = r'"\ud800"'
    headers = {"content-type": "application/json"}
    for body in (
        f'{{"codes": [[0, 0, 0, 0]], "attributes": {{{surrogate}: 1}}}}',
        f'{{"codes": [[0, 0, 0, 0]], "told": {{"label": {surrogate}}}}}',
        f'{{"codes": [[0, 0, 0, 0]], {surrogate}: 1}}',
        f'{{"codes": {surrogate}}}',
    ):
        answer = client.post(f"{BARS}/decode", content=body, headers=headers)
        assert answer.status_code in (404, 422), body
    assert client.post("/api/token", content=f'{{"token": {surrogate}}}', headers=headers).status_code in (200, 422)
    assert client.get(f"{BARS}/samples?label=%ED%A0%80").status_code == 404


@pytest.mark.parametrize(
    ("query", "words"),
    [
        ("num=0", "num: must be greater than or equal to 1"),
        ("num=x", "num: must be a whole number"),
        ("num=1.5", "num: must be a whole number"),
        ("form=exe", "form: must be 'json', 'png', 'gif' or 'npz'"),
        (f"prior={'x' * 200}", "prior: must have at most 100 characters"),
    ],
)
def test_refused_queries_are_in_our_words(client, query, words):
    assert client.get(f"{BARS}/samples?{query}").json()["error"] == words


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({}, "codes: missing; give it a value"),
        ({"codes": 3}, "codes: must be a list"),
        ({"codes": []}, "codes: must have at least 1 entries"),
        ({"codes": [["a"]]}, "codes.0.0: must be a number"),
        ({"codes": [[0]], "colour": 1}, "colour: unknown; leave it out"),
        ([], "the request: must be an object"),
    ],
)
def test_refused_bodies_are_in_our_words(client, body, words):
    assert client.post(f"{BARS}/decode", json=body).json()["error"] == words


def test_many_wrong_tokens_are_slowed():
    now = [0.0]
    access = Access("a-long-token", None, clock=lambda: now[0])
    for k in range(guard.FREE_GUESSES + 1):
        assert access.refusal(f"guess {k}", "10.0.0.1")[0] == 401
    assert access.refusal("another", "10.0.0.1")[0] == 429
    assert access.refusal("a-long-token", "10.0.0.1")[0] == 429  # else a guess would be free
    assert access.refusal("a-long-token", "10.0.0.2") is None
    now[0] += 1
    assert access.refusal("a-long-token", "10.0.0.1") is None
    for _ in range(100):  # a page that is open since before the server started again
        assert access.refusal("stale", "10.0.0.3")[0] == 401
        assert access.refusal(None, "10.0.0.3")[0] == 401
    assert access.refusal("a-long-token", "10.0.0.3") is None


@pytest.mark.parametrize("name", ["顔", "a\nb", "x" * 250, 'quo"te', "semi;colon"])
def test_runs_of_any_name_are_served(studio_run, tmp_path, name):
    import shutil
    from urllib.parse import quote, unquote

    try:
        shutil.copytree(studio_run, tmp_path / name)
    except OSError as error:
        pytest.skip(f"this disk has no such names: {error}")
    registry = Registry([str(tmp_path / name)])
    client = TestClient(create_app(registry), base_url=BASE)
    (listed,) = client.get("/api/models").json()["models"]
    assert listed["name"].isprintable()
    path = f"/api/models/{quote(listed['name'], safe='')}"
    for form in ("json", "png", "gif", "npz"):
        assert client.get(f"{path}/samples?num=2&form={form}").status_code == 200
    answer = client.get(f"{path}/snapshots/samples")
    plain, _, any_letters = answer.headers["content-disposition"].partition("; filename*=UTF-8''")
    assert plain.isascii()
    assert unquote(any_letters) == f"{listed['name']}-samples.gif"
    registry.batcher.close()


def test_one_odd_model_does_not_hide_the_others(studio_run, tmp_path):
    import shutil

    shutil.copytree(studio_run, tmp_path / "odd")
    registry = Registry([str(studio_run), str(tmp_path / "odd")])
    registry["odd"]._version = None
    (tmp_path / "odd" / "model" / "config.json").write_text('{"format": 1, "info": 3}')
    client = TestClient(create_app(registry), base_url=BASE)
    models = client.get("/api/models").json()["models"]
    assert [model["ready"] for model in models] == [True, False]
    assert "config.json" in models[1]["reason"]
    registry.batcher.close()


@pytest.mark.parametrize(
    "error", [MemoryError(), RuntimeError("CUDA out of memory."), OSError(24, "Too many open files")]
)
def test_exhausted_servers_say_so(client, registry, monkeypatch, error):
    def broken():
        raise error

    monkeypatch.setattr(registry["bars"], "current_version", broken)
    answer = client.get(f"{BARS}/samples")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "1")
    monkeypatch.undo()

"""Models to and from a hub: a small one of our own behind the real client, at the address in HF_ENDPOINT."""

from __future__ import annotations

import base64
import hashlib
import json
import re
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from urllib.parse import unquote, urlparse

import pytest
import torch

from vaegan.errors import UserError
from vaegan.latent.attribute_vectors import find_vectors, save_vectors
from vaegan.models import Model
from vaegan.sharing.hub import check_name, download_model, upload_folder

VECTORS = ("attributes.safetensors", "attributes.json")


class Hub(ThreadingHTTPServer):
    """As much of the Hugging Face hub's HTTP interface as a push and a download of a model need.

    Whoever asks with the token 'may-write' may make and change models; 'secret/model' is nobody's to see.
    """

    daemon_threads = True

    def __init__(self):
        super().__init__(("127.0.0.1", 0), Handler)
        self.models: dict[str, dict[str, bytes]] = {}
        self.asked: list[str] = []
        self.address = f"http://127.0.0.1:{self.server_port}"

    def sha(self, name):
        """A commit's id: it changes with the files."""
        return hashlib.sha1(repr(sorted(self.models[name].items())).encode()).hexdigest()


class Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: Hub

    def log_message(self, *_):
        pass

    def do_POST(self):
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        path = urlparse(self.path).path
        self.server.asked.append(f"POST {path}")
        if path == "/api/validate-yaml":
            wrong = [] if "license: wtfpl" not in json.loads(body)["content"] else [{"message": '"license" is wrong'}]
            return self.answer({"errors": wrong, "warnings": []}, 400 if wrong else 200)
        if not path.startswith("/api/repos") and not path.startswith("/api/models"):
            return self.answer({}, 404)
        if self.headers.get("Authorization") != "Bearer may-write":
            return self.answer({"error": "Invalid username or password."}, 401)
        if path == "/api/repos/create":
            asked = json.loads(body)
            name = f"{asked.get('organization') or 'me'}/{asked['name']}"
            there = name in self.server.models
            self.server.models.setdefault(name, {})
            return self.answer({"url": f"{self.server.address}/{name}", "name": name}, 409 if there else 200)
        name, what = re.fullmatch(r"/api/models/([^/]+/[^/]+)/(\w+)/main", path).groups()
        if what == "preupload":
            files = [file["path"] for file in json.loads(body)["files"]]
            return self.answer(
                {"files": [{"path": file, "uploadMode": "regular", "shouldIgnore": False} for file in files]}
            )
        for line in map(json.loads, body.decode().splitlines()):
            if line["key"] == "file":
                self.server.models[name][line["value"]["path"]] = base64.b64decode(line["value"]["content"])
            elif line["key"] == "deletedFile":
                del self.server.models[name][line["value"]["path"]]
        sha = self.server.sha(name)
        commit = {"success": True, "commitOid": sha, "commitUrl": f"{self.server.address}/{name}/commit/{sha}"}
        return self.answer(commit)

    def do_HEAD(self):
        self.do_GET()

    def do_GET(self):
        path = unquote(urlparse(self.path).path)
        self.server.asked.append(f"{self.command} {path}")
        api = re.fullmatch(r"/api/models/([^/]+/[^/]+)(?:/(revision|tree)/([^/]+))?/?", path)
        file = re.fullmatch(r"/([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path)
        found = api or file
        if found is None:
            return self.answer({}, 404)
        name = found[1]
        if name not in self.server.models:
            return self.answer({"error": "Repository not found"}, 404, {"X-Error-Code": "RepoNotFound"})
        sha, files = self.server.sha(name), self.server.models[name]
        if api and api[3] not in (None, "main", sha):
            return self.answer({"error": "Revision not found"}, 404, {"X-Error-Code": "RevisionNotFound"})
        if api and api[2] == "tree":
            about = {path: {"oid": hashlib.sha1(each).hexdigest(), "size": len(each)} for path, each in files.items()}
            return self.answer([{"type": "file", "path": path, **each} for path, each in about.items()])
        if api:
            return self.answer({"id": name, "sha": sha, "siblings": [{"rfilename": path} for path in files]})
        if file[3] not in files:
            return self.answer({}, 404, {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": sha})
        content = files[file[3]]
        return self.answer(content, 200, {"X-Repo-Commit": sha, "ETag": f'"{hashlib.sha1(content).hexdigest()}"'})

    def answer(self, content, status=200, headers=()):
        body = content if isinstance(content, bytes) else json.dumps(content).encode()
        self.send_response(status)
        for name, value in {"Content-Type": "application/json", "Content-Length": len(body), **dict(headers)}.items():
            self.send_header(name, str(value))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)


@pytest.fixture
def hub():
    hub = Hub()
    threading.Thread(target=hub.serve_forever, daemon=True).start()
    yield hub
    hub.shutdown()
    hub.server_close()


@pytest.fixture
def model():
    part = {"hidden": [7], "norm": "batch"}
    torch.manual_seed(0)
    return Model.from_architecture(
        {"kind": "vaegan", "network": "mlp", "image_shape": [1, 4, 4], "latent_dim": 3, "output": "tanh"}
        | {"init": "paper", "encoder": part, "decoder": part, "discriminator": part},
        {"recipe": "tiny", "data": "blobs"},
    )


JOB = """
import logging, sys
import torch, vaegan
from vaegan.cli import main
from vaegan.settings import DataSettings
from vaegan.latent.attribute_vectors import load_vectors
from vaegan.studio.served_model import ServedModel

def told(*words):
    return main(list(words))

assert told("push", "saved", "me/blobs", "--license", "mit") == 0
assert told("push", "saved", "me/blobs", "--private") == 0        # again, into what is there
pushed = vaegan.load("me/blobs")
saved = vaegan.load("saved")
assert all(torch.equal(a, b) for a, b in zip(saved.state_dict().values(), pushed.state_dict().values(), strict=True))
assert torch.equal(saved.sample(4, seed=1), pushed.sample(4, seed=1))
assert pushed.kind == "vaegan" and pushed.info == saved.info
assert vaegan.Model.from_pretrained("me/blobs", revision="main", token=False).latent_dim == 3
assert torch.equal(load_vectors("me/blobs")["hat"], load_vectors("saved")["hat"])
assert ServedModel("blobs", "me/blobs", DataSettings(source=""), None).version().vectors.names == ("hat",)
assert told("sample", "me/blobs", "--num", "4", "--out", "samples.png") == 0
assert told("push", "saved", "me/blobs", "--license", "wtfpl") == 2
assert told("sample", "me/other") == 2
assert told("sample", "some/text") == 2
try:
    vaegan.Model.from_pretrained("me/blobs", revision="nothing")
except vaegan.UserError as error:
    print("REVISION", error)
"""


@pytest.fixture
def client(hub, python, tmp_path, monkeypatch):
    """Run code with the real client in a process of its own, which reads the hub's address as it starts."""
    monkeypatch.chdir(tmp_path)
    settings = {"HF_ENDPOINT": hub.address, "HF_HOME": str(tmp_path / "hf"), "NO_PROXY": "127.0.0.1"}
    for name, value in {**settings, "HF_HUB_DISABLE_TELEMETRY": "1", "HF_HUB_OFFLINE": "0"}.items():
        monkeypatch.setenv(name, value)
    return lambda code: python("-c", code)


def test_pushed_by_one_and_loaded_by_another(hub, model, client, tmp_path, monkeypatch):
    model.save(tmp_path / "saved")
    save_vectors(tmp_path / "saved", find_vectors(torch.randn(9, 3), torch.arange(9)[:, None] % 2, ["hat"]))
    hub.models["some/text"] = {"README.md": b"of another library", "pytorch_model.bin": b"a pickle"}
    monkeypatch.setenv("HF_TOKEN", "may-write")
    done = client(JOB)
    assert done.returncode == 0, done.stderr
    files = hub.models["me/blobs"]
    assert set(files) == {"README.md", "config.json", "model.safetensors", "images/samples.png", *VECTORS}
    assert b"license: unknown" in files["README.md"]  # of the second push, which named none
    assert f"model and card uploaded: {hub.address}/me/blobs/commit/{hub.sha('me/blobs')}" in done.stdout
    assert (tmp_path / "samples.png").is_file()
    assert re.search('could not push me/blobs: the hub refused: .*"license" is wrong', done.stderr)
    assert "the hub has no model me/other that you can access" in done.stderr
    assert "some/text on the hub is not a model of vaegan (no config.json)" in done.stderr
    assert not any("pytorch_model.bin" in line for line in hub.asked)
    assert "on the hub me/blobs has no revision 'nothing'" in done.stdout


def test_without_a_token_it_is_said_how_to_log_in(hub, model, client, tmp_path, monkeypatch):
    code = "import sys; from vaegan.cli import main; sys.exit(main(['push', 'saved', 'me/blobs']))"
    model.save(tmp_path / "saved")
    monkeypatch.delenv("HF_TOKEN", raising=False)
    done = client(code)
    assert done.returncode == 2
    assert re.search(r"^vaegan push: could not push me/blobs: the hub .*`hf auth login`", done.stderr, re.MULTILINE)
    assert sum(line.startswith("vaegan push: ") for line in done.stderr.splitlines()) == 1
    assert hub.models == {}


@pytest.mark.parametrize("name", ["x", "a b/c", "me/", "a/b/c", "-me/x", "me/x.git"])
def test_what_is_no_id_is_refused_before_anything_is_written(name, model):
    with pytest.raises(UserError, match=r"is not a model id of the hub: .*; write owner/name"):
        model.push_to_hub(name)
    with pytest.raises(UserError):
        check_name(name)


def test_offline_is_told_in_one_line(tmp_path, monkeypatch):
    """Nobody listens where the client asks."""

    def unreached(*_, **__):
        raise ConnectionError("Name or service not known.\nand more")

    monkeypatch.setattr("huggingface_hub.snapshot_download", unreached)
    monkeypatch.setattr("huggingface_hub.HfApi.create_repo", unreached)
    with pytest.raises(UserError, match=r"^no run or saved model at me/x, and the hub cannot be reached \(.* known\)"):
        download_model("me/x", ["config.json"])
    with pytest.raises(
        UserError, match=r"^could not push me/x: the hub cannot be reached \(.* known\); go online,"
    ) as e:
        upload_folder(tmp_path, "me/x", replaced=[], message="x")
    assert "\n" not in str(e.value)

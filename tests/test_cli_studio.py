"""``vaegan studio`` and ``vaegan serve``, from their words to a server that answers."""

from __future__ import annotations

import base64
import http.client
import io
import json
import shutil
import signal
import socket
import subprocess
import sys

import pytest
from PIL import Image

pytest.importorskip("fastapi", reason="needs the extra studio: pip install -e '.[studio]'")
from fastapi.testclient import TestClient

import vaegan
from vaegan.settings_io import dump_yaml, load_yaml
from vaegan.studio import server as starting


@pytest.fixture
def started(monkeypatch, command):
    """Run a command that would serve, and return its exit code, the application and the door's port."""

    def run(*words):
        served = {}

        def keep(app, listening, announce):
            served.update(app=app, port=listening.getsockname()[1])
            announce()
            listening.close()

        monkeypatch.setattr(starting, "start", keep)
        return command(*words), served

    return run


def client_of(served, host="127.0.0.1"):
    return TestClient(served["app"], base_url=f"http://{host}:{served['port']}")


def test_the_studio_has_a_page_and_finds_the_runs_data(started, studio_run, capsys):
    code, served = started("studio", studio_run, studio_run / "model", "--port", "0")
    assert code == 0
    assert f"bars, bars-2: http://127.0.0.1:{served['port']}/" in capsys.readouterr().out
    client = client_of(served)
    assert client.get("/").status_code == 200
    assert [about["name"] for about in client.get("/api/models").json()["models"]] == ["bars", "bars-2"]
    for name in ("bars", "bars-2"):
        assert client.get(f"/api/models/{name}/examples").status_code == 200
    served["app"].state.registry.batcher.close()


def test_serve_has_the_api_alone(started, studio_run, capsys):
    code, served = started("serve", studio_run, "--port", "0", "--batch-size", "8", "--bands", "1")
    assert code == 0
    assert served["app"].state.registry["bars"].version().shown.bands == (1,)
    assert "/docs" in capsys.readouterr().out
    client = client_of(served)
    assert client.get("/").url.path == "/docs"
    assert client.get("/api/models/bars/samples").status_code == 200
    assert served["app"].state.registry.batcher.max_rows == 8
    served["app"].state.registry.batcher.close()


def test_other_data_are_named(started, studio_run, tmp_path):
    shutil.copytree(studio_run / "model", tmp_path / "alone")
    _, served = started("serve", tmp_path / "alone", "--port", "0")
    assert client_of(served).get("/api/models/alone/examples").status_code == 409
    _, served = started("serve", tmp_path / "alone", "--port", "0", "--data", "digits")
    assert client_of(served).get("/api/models/alone/examples").status_code == 200
    _, served = started("serve", studio_run, "--port", "0", "--data.held-out", "0.4")
    settings = served["app"].state.registry["bars"].version().run.data_settings
    assert settings.held_out == 0.4
    assert settings.source.endswith("told0")


def test_an_option_counts_where_it_names_the_built_in_default(started, studio_run, tmp_path):
    run = shutil.copytree(studio_run, tmp_path / "bars")
    config = load_yaml(run / "config.yaml")
    data = config.data.model_copy(update={"limit": 50, "crop": "none", "crop_size": 9})
    dump_yaml(config.model_copy(update={"data": data}), run / "config.yaml")
    _, served = started("studio", run, "--port", "0", "--data.limit", "none", "--data.crop", "center")
    settings = served["app"].state.registry["bars"].version().run.data_settings
    assert (settings.limit, settings.crop, settings.crop_size) == (None, "center", 9)


@pytest.mark.parametrize("where", ["elsewhere", "same folder"])
def test_a_run_that_is_trained_again_on_other_images_shows_those(started, studio_run, told_images, tmp_path, where):
    run, images = shutil.copytree(studio_run, tmp_path / "bars"), shutil.copytree(told_images, tmp_path / "images")
    config = load_yaml(run / "config.yaml")

    def trained_on(folder, fingerprint):
        data = config.data.model_copy(update={"source": str(folder), "held_out": 0.3})
        dump_yaml(config.model_copy(update={"data": data}), run / "config.yaml")
        (run / "data.json").write_text(json.dumps({"name": "images", "fingerprint": fingerprint}))

    trained_on(images, "first")
    _, served = started("studio", run, "--port", "0", "--data.held-out", "0.4")
    client = client_of(served)
    (before,) = client.get("/api/models/bars/examples?num=1").json()["images"]
    others = images if where == "same folder" else shutil.copytree(images, tmp_path / "others")
    for path in others.glob("*/*.png"):
        Image.new("L", (8, 8), 90).save(path)
    trained_on(others, "second")
    assert client.get("/api/models/bars/examples?num=1").json()["images"] == [before]  # until there is a new model
    vaegan.load(run).save(run / "model")
    (after,) = client.get("/api/models/bars/examples?num=1").json()["images"]
    content = base64.b64decode(after.partition(",")[2])
    assert Image.open(io.BytesIO(content)).convert("L").getextrema() == (90, 90)
    settings = served["app"].state.registry["bars"].version().run.data_settings
    assert (settings.source, settings.held_out) == (str(others), 0.4)
    assert client.get("/api/models/bars").json()["data"] == str(others)
    served["app"].state.registry.batcher.close()


def test_a_printed_link_holds_any_token(started, studio_run, capsys):
    _, served = started("studio", studio_run, "--port", "0", "--token", "a+b&c=%20/#")
    assert f":{served['port']}/#token=a%2Bb%26c%3D%2520%2F%23 " in capsys.readouterr().out


def test_away_from_loopback_a_token_is_printed_and_asked_for(started, studio_run, capsys):
    _, served = started("studio", studio_run, "--port", "0", "--host", "0.0.0.0")
    (line,) = (line for line in capsys.readouterr().out.splitlines() if line.startswith("token: "))
    token = line.removeprefix("token: ")
    assert len(token) > 16
    client = client_of(served, "box.example")
    assert client.get("/api/models").status_code == 401
    assert client.get("/api/models", headers={"authorization": f"Bearer {token}"}).status_code == 200
    _, served = started("studio", studio_run, "--port", "0", "--token", "of-my-own")
    assert client_of(served).get("/api/models").status_code == 401
    assert client_of(served).get("/api/models", headers={"authorization": "Bearer of-my-own"}).status_code == 200


def test_mistakes_are_told_in_a_line(command, studio_run, tmp_path, capsys):
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert command("serve", studio_run, "--port", port) == 2
    assert f"--port {port}: Address already in use; choose another" in capsys.readouterr().err
    assert command("studio", tmp_path / "nothing", "--port", "0") == 2
    assert "no run or saved model" in capsys.readouterr().err
    assert command("studio", "--port", "0") == 2
    assert "no run is named" in capsys.readouterr().err
    assert command("serve", studio_run, "--port", "0", "--host", "no.such.host.invalid") == 2
    assert "--host no.such.host.invalid" in capsys.readouterr().err


def test_a_process_answers_until_it_is_interrupted(studio_run):
    words = [sys.executable, "-m", "vaegan", "serve", str(studio_run), "--port", "0"]
    with subprocess.Popen(words, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        port = int(process.stdout.readline().split("127.0.0.1:")[1].split("/")[0])
        connection = http.client.HTTPConnection("127.0.0.1", port, timeout=600)
        connection.request("GET", "/api/models")
        answer = json.loads(connection.getresponse().read())
        connection.close()
        process.send_signal(signal.SIGINT)
        _, err = process.communicate(timeout=600)
    assert answer["models"][0]["name"] == "bars"
    assert (process.returncode, err) == (0, "")

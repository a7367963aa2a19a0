"""One process is a world too: nothing changes in it. And the group of one, with real all-reduces."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
import torch.distributed as dist
from torch import Tensor, nn

from vaegan.distributed import (
    SyncBatchNorm,
    World,
    current,
    joined,
    load_bytes,
    synchronise_batch_norms,
)
from vaegan.errors import UserError


@pytest.fixture
def group_of_one(tmp_path: Path) -> Iterator[None]:
    dist.init_process_group("gloo", init_method=f"file://{tmp_path}/meeting", rank=0, world_size=1)
    yield
    dist.destroy_process_group()


def test_alone_nothing_changes() -> None:
    world = current()
    assert world == World(rank=0, size=1, local_rank=0)
    assert world.is_first
    tensors = [torch.randn(3, 2, generator=torch.Generator().manual_seed(0)), torch.tensor(4.0)]
    before = [t.clone() for t in tensors]
    world.average_(tensors)
    world.average_([])
    world.share_first(tensors)
    assert all(torch.equal(t, b) for t, b in zip(tensors, before, strict=True))
    for data in (b"", b"some bytes"):
        assert world.share_bytes(data) == data
    assert world.any(True)
    assert not world.any(False)


def test_alone_a_mistake_is_ones_own() -> None:
    def fail() -> None:
        raise UserError("here")

    assert World().together(lambda: 3) == 3
    with pytest.raises(UserError, match="here"):
        World().together(fail)


def test_joining_alone_starts_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("WORLD_SIZE", raising=False)
    with joined("cpu") as world:
        assert world == World()
        assert not dist.is_initialized()


@pytest.mark.parametrize(
    ("environment", "message"),
    [
        ("WORLD_SIZE=2", "environment variable WORLD_SIZE is 2, but RANK is missing; use torchrun, or unset it"),
        ("WORLD_SIZE=2 RANK=2", "RANK is '2': set it to a whole number from 0 to 1, or unset it"),
        ("WORLD_SIZE=2 RANK=0 LOCAL_RANK=2", "LOCAL_RANK is '2': set it to a whole number from 0 to 1"),
        ("WORLD_SIZE=4 RANK=0 LOCAL_RANK=1 LOCAL_WORLD_SIZE=1", "LOCAL_RANK is '1': set it to a whole number from 0"),
        ("WORLD_SIZE=2 RANK=0 LOCAL_WORLD_SIZE=x", "LOCAL_WORLD_SIZE is 'x': set it to a whole number from 1 to 2"),
        (
            "WORLD_SIZE=2 RANK=0",
            r"cannot join the 2 processes of WORLD_SIZE \(.*MASTER_ADDR .*\); start all of them with",
        ),
        ("WORLD_SIZE=2 RANK=0 MASTER_ADDR=localhost MASTER_PORT=x", "cannot join the 2 processes of WORLD_SIZE"),
    ],
)
def test_processes_that_cannot_join_are_one_line(
    environment: str, message: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("WORLD_SIZE", "RANK", "LOCAL_RANK", "LOCAL_WORLD_SIZE", "MASTER_ADDR", "MASTER_PORT"):
        monkeypatch.delenv(name, raising=False)
    for word in environment.split():
        monkeypatch.setenv(*word.split("="))
    with pytest.raises(UserError, match=message), joined("cpu"):
        pass


def test_processes_that_share_a_gpu_are_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    """NCCL connects them at the first collective, and says there what it refuses."""

    def fail() -> None:
        raise RuntimeError("Duplicate GPU detected\nat length")

    for name, value in {"WORLD_SIZE": 2, "RANK": 1, "LOCAL_WORLD_SIZE": 2, "LOCAL_RANK": 1}.items():
        monkeypatch.setenv(name, str(value))
    monkeypatch.setattr(torch.cuda, "set_device", lambda device: None)
    monkeypatch.setattr(dist, "init_process_group", lambda *args, **options: None)
    monkeypatch.setattr(dist, "barrier", fail)
    message = r"cannot join the 2 processes of WORLD_SIZE \(Duplicate GPU detected\); .* each has its own GPU"
    with pytest.raises(UserError, match=message) as caught, joined("cuda:0"):
        pass
    assert "\n" not in str(caught.value)


@pytest.mark.usefixtures("group_of_one")
def test_a_local_rank_that_is_no_number_is_one_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("LOCAL_RANK", "first")
    with pytest.raises(UserError, match="LOCAL_RANK is 'first'"):
        current()


def test_work_of_the_first_process_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its mistake is raised by all: the others hear of it, and do not work themselves."""

    def fail() -> None:
        raise UserError("the disk is full")

    heard: list[bool] = []

    def hear(self: World, flag: bool) -> bool:
        heard.append(flag)
        return True

    monkeypatch.setattr(World, "any", hear)
    with pytest.raises(UserError, match="the disk is full"):
        World(0, 2).first(fail)
    with pytest.raises(UserError, match="stopped because another process failed"):
        World(1, 2).first(fail)
    assert heard == [True, False]


@pytest.mark.parametrize("value", [None, True, 0.1, float("inf"), {"a": [1, "two"]}, "odd name \udcff"])
def test_what_the_first_process_decides(value: object) -> None:
    assert World().first(lambda: value) == value
    assert World().from_first(lambda: value) == value


def test_tensors_come_back_from_bytes(tmp_path: Path) -> None:
    torch.save({"a": torch.arange(3), "b": [1, "two"]}, tmp_path / "a.pt")
    back = load_bytes((tmp_path / "a.pt").read_bytes())
    assert torch.equal(back["a"], torch.arange(3))
    assert back["b"] == [1, "two"]


@pytest.mark.usefixtures("group_of_one")
def test_averaging_keeps_shapes_types_and_layouts() -> None:
    world = World(rank=0, size=2)  # of which one is here: means are halves
    tensors = [
        torch.arange(24.0).view(2, 3, 2, 2).to(memory_format=torch.channels_last),
        torch.arange(6.0, dtype=torch.float64).view(2, 3).t(),
        torch.tensor(5.0, dtype=torch.bfloat16),
        nn.Parameter(torch.ones(3)),
    ]
    wanted = [t.detach().clone() / 2 for t in tensors]
    strides = [t.stride() for t in tensors]
    world.average_(tensors)
    for t, w, stride in zip(tensors, wanted, strides, strict=True):
        assert t.dtype == w.dtype
        assert t.stride() == stride
        torch.testing.assert_close(t.detach(), w)


@pytest.mark.usefixtures("group_of_one")
def test_sharing_through_a_group() -> None:
    world = World(rank=0, size=2)
    for data in (b"", b"x", bytes(range(256)) * 1000):
        assert world.share_bytes(data) == data
    map_ = torch.arange(24.0).view(2, 3, 2, 2).to(memory_format=torch.channels_last)
    before = map_.clone()
    world.share_first([map_])
    assert torch.equal(map_, before)
    assert world.any(True)
    assert not world.any(False)


def norms(maps: bool) -> tuple[nn.Module, nn.Module, Tensor]:
    """A batch norm, the same one made into ours, and a batch."""
    g = torch.Generator().manual_seed(0)
    x = torch.randn(*((6, 4, 3, 3) if maps else (6, 4)), generator=g, dtype=torch.float64)
    plain = nn.Sequential((nn.BatchNorm2d if maps else nn.BatchNorm1d)(4)).double()
    ours = nn.Sequential((nn.BatchNorm2d if maps else nn.BatchNorm1d)(4)).double()
    with torch.no_grad():
        for name, p in plain.named_parameters():
            p.copy_(torch.randn(4, generator=g, dtype=torch.float64))
            ours.get_parameter(name).copy_(p)
    synchronise_batch_norms(ours)
    assert isinstance(ours[0], SyncBatchNorm)
    assert list(ours.state_dict()) == list(plain.state_dict())
    return plain, ours, 3 * x + 1


def assert_same(plain: nn.Module, ours: nn.Module, x: Tensor) -> None:
    g = torch.randn(x.shape, generator=torch.Generator().manual_seed(1), dtype=x.dtype)
    found = []
    for norm in (plain, ours):
        inputs = x.clone().requires_grad_()
        out = norm(inputs)
        found.append([out, *torch.autograd.grad(out, [inputs, *norm.parameters()], g)])
    for a, b in zip(*found, strict=True):
        torch.testing.assert_close(b, a)
    for name, buffer in plain.named_buffers():
        if buffer.is_floating_point():
            torch.testing.assert_close(ours.get_buffer(name), buffer)


@pytest.mark.parametrize("maps", [False, True])
def test_synchronised_norm_in_evaluation_is_batch_norm(maps: bool) -> None:
    plain, ours, x = norms(maps)
    for norm in (plain, ours):
        norm(x)  # without a group it is batch norm in training too
        norm.eval()
    assert_same(plain, ours, x)


@pytest.mark.parametrize("maps", [False, True])
@pytest.mark.usefixtures("group_of_one")
def test_synchronised_norm_over_one_process_is_batch_norm(maps: bool) -> None:
    plain, ours, x = norms(maps)
    assert_same(plain, ours, x)
    assert_same(plain, ours, 2 * x)
    plain.eval()
    ours.eval()
    assert_same(plain, ours, x)

"""The page of ``vaegan compare``: pictures and figures of all models, section by section."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING

from ..config import KINDS
from ..errors import UserError
from .compare_runs import Opened

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray
    from torch import Tensor

    from ..data.dataset import ImageData
    from ..evaluation.comparison import ComparedModel, FigureGroup
    from ..pages import Block, Section

NUM_ORIGINALS = 12
NUM_SAMPLES, LINES = 24, 2
_ABOUT = {
    "samples": "As many samples of each model as the real-data baseline has training images.",
    "reconstructions": "Held-out images, encoded and decoded again.",
    "likelihood": "How probable held-out images are under each model, with pixels Gaussian around the decoded code.",
    "codes": "How well simple classifiers predict labels from the codes.",
    "cost": "Time is that of each training, without snapshots, on whatever machine it ran. FLOPs count matrix products "
    "and convolutions, two for each multiply-add.",
}
INTERVALS = (
    "Below each figure is its interval of 95 %: over seeds (Student's t) where a model has several runs, over images "
    "(bootstrap) where it has one, which says nothing about other seeds. ★ marks a clear winner, whose interval "
    "overlaps with no other; otherwise the models whose intervals overlap with that of the best mean are named. An "
    "interval of no width counts as unknown."
)


class Showing:
    """What the page shows.

    Args:
        groups: runs of each model.
        models: the same, measured.
        figures: their figures.
        data: real images.
        seed: of pictures.
        batch_size: images computed at a time.
    """

    def __init__(
        self,
        groups: Sequence[Sequence[Opened]],
        models: Sequence[ComparedModel],
        figures: Sequence[FigureGroup],
        data: ImageData,
        seed: int,
        batch_size: int,
    ) -> None:
        self.runs = [group[0] for group in groups]
        self.groups, self.models, self.figures = groups, models, figures
        self.data, self.seed, self.batch_size = data, seed, batch_size

    def page(self) -> str:
        """Return the HTML."""
        from ..pages import Facts, render_page

        first = self.models[0].runs[0].evaluation
        facts = Facts(
            [
                ("data", str(first["data"]["name"])),
                ("held-out images", f"{first['data']['num']:,}"),
                ("samples", f"{first['yardstick']['frechet_distance']['num']:,}"),
                ("features of", str(first["extractor"]["name"])),
                ("seed", str(first["seed"])),
            ]
        )
        num = sum(len(model.runs) for model in self.models)
        lead = f"{num} runs of {len(self.models)} models, with the same images, counts and seeds for all."
        return render_page(self.title, lead, facts, self._sections(), "vaegan compare")

    @property
    def title(self) -> str:
        """The models by name."""
        *some, last = (model.name for model in self.models)
        return f"{', '.join(some)} and {last}" if some else last

    def _sections(self) -> list[Section]:
        from ..pages import Note, Section
        from ..pages.comparison_tables import head_of, matrix_of, spread_matrices, summary_groups, summary_rows

        main = summary_groups(self.figures)
        short: list[Block] = [matrix_of(head_of(group), summary_rows(group), self.models) for group in main]
        sections = [Section("Summary", short, INTERVALS)]
        for group in self.figures:
            blocks = [*self._pictures(group), self._table(group), *self._missing(group)]
            sections.append(Section(head_of(group), blocks, _ABOUT[group.of] + self._priors(group)))
        spread: list[Block] = list(spread_matrices(self.figures, self.models))
        if not spread:
            spread = [Note("No model has several runs that differ in their seed alone.")]
        about = "Standard deviations over the runs of a model, with intervals of 95 %: lower depends less on the seed."
        sections.append(Section("Spread over seeds", spread, about))
        return [*sections, self._runs()]

    def _table(self, group: FigureGroup) -> Block:
        """All figures; folded where the short table has some of them already."""
        from ..pages import Fold
        from ..pages.comparison_tables import matrix_of, summary_rows

        table = matrix_of("", group.rows, self.models)
        is_folded = summary_rows(group) and group.of != "cost"
        return Fold(f"All figures ({len(group.rows)})", [table]) if is_folded else table

    def _missing(self, group: FigureGroup) -> list[Block]:
        """Say of each model without these figures why."""
        from ..pages import Note

        told: dict[str, None] = {}
        members = [(model.name, one) for model in self.models for one in model.runs]
        for name, member in members if group.of != "cost" else ():
            if member.figures(group.of, group.prior):
                continue
            left_out = member.evaluation["left_out"]
            why = left_out.get(group.name) or left_out.get(group.of) or f"it has no prior {group.prior}".rstrip()
            told[f"{name} is left out: {why}."] = None
        return [Note(words) for words in told]

    def _priors(self, group: FigureGroup) -> str:
        """Say which priors are the models' own, where they are shown."""
        from ..pages.comparison_tables import default_priors

        if group.of != "samples" or group.prior:
            return ""
        return f" Default priors, which fit the codes best: {default_priors(self.models)}."

    def _pictures(self, group: FigureGroup) -> list[Block]:
        if group.of == "samples":
            return self._samples(group.prior)
        return self._reconstructions() if group.of == "reconstructions" else []

    def _reconstructions(self) -> list[Block]:
        import torch

        from ..pixels import to_uint8, to_unit

        images = self.data.test.some(NUM_ORIGINALS, self.seed)
        x = to_unit(torch.from_numpy(images.images))

        def made(run: Opened) -> Tensor:
            c = run.model.condition_of(images)
            return run.model.reconstruct(x, condition=c, batch_size=self.batch_size)

        caption = f"{len(images)} held-out images, and each model's reconstructions of them."
        return self._strips({"original": to_uint8(x)}, made, caption, 1)

    def _samples(self, prior: str) -> list[Block]:
        from ..evaluation.reference import samples_of

        def made(run: Opened) -> Tensor:
            c = run.model.condition_in_turn(NUM_SAMPLES)
            (x,) = samples_of(run.model, NUM_SAMPLES, self.seed, prior or run.prior or "", NUM_SAMPLES, c)
            return x

        return self._strips({}, made, f"{NUM_SAMPLES} samples of each model, drawn with the same seed.", LINES)

    def _strips(
        self, rows: dict[str, NDArray[np.uint8]], make: Callable[[Opened], Tensor], caption: str, lines: int
    ) -> list[Block]:
        """Return a row of each model that can make one; of several runs the first."""
        import numpy as np

        from ..pages import strips
        from ..pixels import to_uint8

        for model, run in zip(self.models, self.runs, strict=True):
            try:
                rows[model.name] = to_uint8(make(run))
            except UserError:  # the notes at the end say what is missing
                continue
        if any(len(model.runs) > 1 for model in self.models):
            caption += " Of several runs the first is shown."
        alts = [f"Images of {name}" for name in rows]
        return [strips(np.stack(list(rows.values())), caption, alts, list(rows), lines=lines)]

    def _runs(self) -> Section:
        from ..pages import Section, Table

        rows = []
        for model, group in zip(self.models, self.groups, strict=True):
            for member, run in zip(model.runs, group, strict=True):
                known = (run.config.recipe if run.config else "–", KINDS[run.model.kind].title)
                seen = "–" if run.images is None else f"{run.images:,}"
                seed = "–" if member.seed is None else str(member.seed)
                rows.append((run.name, model.name, *known, seed, seen))
        head = ("run", "model", "recipe", "kind", "seed", "images seen")
        return Section("Runs", [Table("", head, rows)], "Runs of equal settings but for the seed count as one model.")

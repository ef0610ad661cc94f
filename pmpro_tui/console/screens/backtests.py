"""The screen of backtests: launch, progress, results, their curves, two side by side."""

import math
from datetime import UTC, date, datetime
from functools import partial
from typing import Any, ClassVar

import msgspec
from textual.app import ComposeResult

from engine.model.jobs import BacktestSpec, JobView, Variant
from engine.model.times import NS_PER_S
from engine.model.views.details import Backtest, BacktestOf, Backtests, BacktestsOf, BacktestView
from engine.model.views.snapshot import Snapshot
from pmpro_tui.console.context import Runs
from pmpro_tui.console.draw.columns import MARK_WIDTH
from pmpro_tui.console.draw.form import Field, Form, Values
from pmpro_tui.console.draw.lines import Painted
from pmpro_tui.console.draw.table import Table, title_line
from pmpro_tui.console.draw.text import Line, Span, line
from pmpro_tui.console.hub import Hub
from pmpro_tui.console.screens import backtest_rows
from pmpro_tui.console.screens.log_rows import TOLD, RecordLine, told
from pmpro_tui.console.screens.page import Box, Detailed, Stack

EVERY_S = 10.0
FOREVER_S = 3600.0

Days = tuple[str, str]
"""First day and the day after the last, ISO."""


class BacktestsPage(Detailed):
    """Jobs above results and the marked one's curve; enter tells one in full, or two of them."""

    PANELS: ClassVar[dict[str, str]] = {
        "results": "Results",
        "jobs": "Running",
        "curve": "Equity",
    }
    FILTER: ClassVar[str] = "portfolio, symbols, period"
    DEFAULT_CSS = """
    BacktestsPage #jobs { height: 9; }
    BacktestsPage #curve { height: 14; }
    """

    def __init__(self, hub: Hub) -> None:
        super().__init__(hub)
        self._base: BacktestView | None = None
        self._opened: BacktestView | JobView | None = None
        self._n_done = 0

    def compose(self) -> ComposeResult:
        """Lay out the panels."""
        columns = backtest_rows.result_columns(_day, lambda view: view == self._base)
        with Box(), Stack():
            yield Table[JobView]("Running", backtest_rows.JOBS, key=lambda j: j.id, id="jobs")
            yield Table[BacktestView]("Results", columns, key=lambda b: b.id, id="results")
            yield Painted(self._paint_curve, id="curve", classes="panel")
        yield Table[RecordLine]("Result", TOLD, key=lambda told: told.number, id="detail")

    def draw(self, now: Snapshot | None) -> None:
        """Draw jobs of the picture, and what was told of the stored ones."""
        if now is not None:
            self._draw_jobs(now)
        told = self._told()
        table = self.query_one("#results", Table)
        table.say(self._why_empty(told))
        rows = [] if told is None else [b for b in told.stored if self._matches(b)]
        table.title = f"Results {len(rows)} {self.hub.inquiries.remark(self._known)}".strip()
        self.fill(table, rows)
        self.paint("curve")
        if self.opened:
            self._draw_detail()

    def _draw_jobs(self, now: Snapshot) -> None:
        n_done = sum(job.state == "DONE" for job in now.jobs)
        if n_done != self._n_done:  # there is a new result
            self._n_done = n_done
            self.hub.inquiries.forget()
        table = self.query_one("#jobs", Table)
        open_jobs = sum(job.state in ("RUNNING", "WAITING") for job in now.jobs)
        ended = f", ended {n_ended}" if (n_ended := len(now.jobs) - open_jobs) else ""
        table.title = f"Running {open_jobs}{ended}"
        table.say("nothing runs: n launches a backtest")
        self.fill(table, now.jobs)

    def _told(self) -> Backtests | None:
        self._known = self.hub.detail(BacktestsOf(), every_s=EVERY_S)
        return self._known.answer if isinstance(self._known.answer, Backtests) else None

    def _why_empty(self, told: Backtests | None) -> str:
        if told is None:
            return self._known.fault or "asking the engine …"
        if told.database != "ok":
            return f"the database cannot tell: {told.database}"
        return "none is stored yet: n launches one" if not told.stored else "nothing matches"

    def _matches(self, view: BacktestView) -> bool:
        period = f"{_day(view.from_ns)} {_day(view.to_ns)}"
        text = f"{view.name} {view.portfolio} {' '.join(view.symbols)} {period}"
        return all(word in text.casefold() for word in self.words.casefold().split())

    def _paint_curve(self, width: int, height: int) -> list[Line]:
        marked = self._marked()
        name = f"Equity of {marked.id}" if marked is not None else "Equity"
        title = [] if self.narrow else [title_line(name, "", width, active=False)]
        if marked is None:
            return [*title, line(Span("  nothing is marked", "muted"))]
        told = self._one(marked)
        if not isinstance(told, Backtest):
            return [*title, line(Span(f"  {told}", "muted"))]
        return [*title, *backtest_rows.curve(told, _day, width, height - len(title))]

    def _draw_detail(self) -> None:
        table = self.query_one("#detail", Table)
        lines = self._detail_lines(table)
        self.fill(table, [told(number, one) for number, one in enumerate(lines)])

    def _detail_lines(self, table: Table[Any]) -> list[Line]:
        width, height = self.size.width - MARK_WIDTH, self.size.height - 2
        opened = self._opened
        if isinstance(opened, JobView):
            table.title = f"Job {opened.id}, esc leaves"
            return backtest_rows.job_lines(opened, width)
        views = [opened] if opened is not None else []
        if self._base is not None and self._base != opened:
            views.insert(0, self._base)
        more = "refusals" if len(views) > 1 else "refusals, months, strategies, trades"
        what = "Results side by side" if len(views) > 1 else "Result"
        table.title = f"{what}, below: {more}; esc leaves"
        found = [self._one(view) for view in views]
        missing = [line(Span(one, "muted")) for one in found if isinstance(one, str)]
        results = [one for one in found if isinstance(one, Backtest)]
        return missing or backtest_rows.told_lines(results, _day, width, height)

    def _one(self, view: BacktestView) -> Backtest | str:
        """Return a stored result, or in words why it is not there."""
        known = self.hub.detail(BacktestOf(id=view.id), every_s=FOREVER_S)
        if isinstance(known.answer, Backtest):
            return known.answer
        return known.fault or "asking the engine …"

    # -- actions --------------------------------------------------------------------------

    def runs(self) -> Runs:
        """Return the actions that this screen runs itself."""
        return super().runs() | {
            "compare": self.do_compare,
            "open": self.do_open,
            "cancel": self.do_cancel,
            "launch": self.do_launch,
        }

    def why_not(self, name: str) -> str | None:
        """Return why an action has nothing to act on."""
        of_job = name == "open" and self._selected_job() is not None
        if name in ("open", "compare") and (self.opened or not (of_job or self._marked())):
            return "mark a result first"
        if name == "launch" and (told := self._told()) is not None and not told.data:
            return "there are no bars to test on: set `backtest.data` to a directory of them"
        if name == "cancel" and self._marked_job() is None:
            return "mark a job that runs or waits first: tab gives the jobs the keys"
        return super().why_not(name)

    def do_compare(self) -> None:
        """Keep the marked result as the one that the next is set beside; again to let go."""
        marked = self._marked()
        self._base = None if marked == self._base else marked
        self.query_one("#results", Table).draw()

    def do_open(self) -> None:
        """Show the marked result beside the kept one, or alone; a job's, or why it has none."""
        job = self._selected_job()
        self._opened = self._marked() if job is None else self._result_of(job) or job
        self.query_one("#detail", Table).set_rows(())
        self.open_detail()

    def do_cancel(self) -> None:
        """End the marked job."""
        job = self._marked_job()
        if job is not None:
            self.hub.tell(self.hub.send("cancel", str(job.id)))

    def do_launch(self) -> None:
        """Ask what to test."""
        told, days = self._told(), self._usual_days()
        files = ", ".join(told.portfolios) if told is not None and told.portfolios else "none"
        traded = " ".join(told.symbols) if told is not None else ""
        data = told.data if told is not None else "not known yet"
        fields = (
            Field("portfolio", "Portfolio", hint="empty: the running one"),
            Field("symbols", "Symbols", hint=f"empty: all ({traded})"),
            Field("from_day", "From", hint=f"empty: {days[0]}"),
            Field("to_day", "To, not included", hint=f"empty: {days[1]}"),
            Field("commission", "Commission a lot", hint="per side; empty: the portfolio's"),
            Field("spread", "Spread, points", hint="where bars have none; empty: the portfolio's"),
            Field("source", "Source of bars", hint="where files overlap; empty: any"),
        )

        def launch(values: Values | None) -> None:
            if values is not None:
                text = msgspec.json.encode(_spec(values, days)).decode()
                self.hub.tell(self.hub.send("backtest", text=text))
                if self.back():  # it is among the jobs that it can be watched
                    self.place(narrow=self.narrow)
                    self.draw(self.hub.shown)

        body = f"Bars: {data}\nPortfolio files: {files}"
        check = partial(_fault, days=days)
        form = Form("Launch a backtest", body, fields, verb="Launch", check=check)
        self.app.push_screen(form, launch)

    def _usual_days(self) -> Days:
        """Return the period of the newest stored result, or last year."""
        told = self._told()
        if told is not None and told.stored:
            return _day(told.stored[0].from_ns), _day(told.stored[0].to_ns)
        year = datetime.fromtimestamp(self.hub.now_ns() // NS_PER_S, UTC).year
        return f"{year - 1}-01-01", f"{year}-01-01"

    def _marked(self) -> BacktestView | None:
        row: BacktestView | None = self.query_one("#results", Table).selected
        return row

    def _selected_job(self) -> JobView | None:
        job: JobView | None = self.query_one("#jobs", Table).selected
        return job if self.active == "jobs" else None

    def _marked_job(self) -> JobView | None:
        job = self._selected_job()
        return None if job is None or job.ended_ns else job

    def _result_of(self, job: JobView) -> BacktestView | None:
        told = self._told()
        stored = () if told is None or not job.result_id else told.stored
        return next((view for view in stored if view.id == job.result_id), None)


def _spec(values: Values, days: Days) -> BacktestSpec:
    return BacktestSpec(
        portfolio=values["portfolio"],
        source=values["source"],
        from_day=values["from_day"] or days[0],
        to_day=values["to_day"] or days[1],
        variant=Variant(
            symbols=tuple(values["symbols"].replace(",", " ").upper().split()),
            commission_per_lot_ccy=_number(values["commission"]),
            spread_points=_number(values["spread"]),
        ),
    )


def _number(text: str) -> float | None:
    return float(text) if text else None


def _fault(values: Values, days: Days) -> str | None:
    """Return what is wrong with a launch, None for nothing; the engine checks the rest."""
    first, last = values["from_day"] or days[0], values["to_day"] or days[1]
    for text in (first, last):
        try:
            date.fromisoformat(text[:10])
        except ValueError:
            return f"{text!r} is no date: write 2018-06-01"
    if first >= last:
        return f"{first} must be before {last}"
    for name in ("commission", "spread"):
        try:
            value = _number(values[name])
        except ValueError:
            return f"{values[name]!r} is no number"
        if value is not None and not (0.0 <= value < math.inf):
            return f"{values[name]} must be 0 or more"
    return None


def _day(time_ns: int) -> str:
    return datetime.fromtimestamp(time_ns // NS_PER_S, UTC).strftime("%Y-%m-%d")

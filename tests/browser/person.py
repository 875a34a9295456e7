"""What a person does in the pages of Prefect and MLflow, as they find their way by what is written.

Each step can leave a picture of what the person then sees.
"""

import io
import os
import re
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path

from PIL import Image
from playwright.sync_api import Browser, Locator, Page, expect, sync_playwright

from flows.services.services import MLFLOW_USER, Services

SIZE = {"width": 1200, "height": 750}
PATIENCE = 60_000  # milliseconds that a page may take on a busy machine
RUN_PATIENCE = 600_000  # and a run of the pipeline
# Prefect draws the graph of a run sixty times a second, without a GPU on the processor.
FEW_FRAMES = "window.requestAnimationFrame = draw => setTimeout(() => draw(performance.now()), 500)"
# Names of states, Prefect's and ours.
ENDED = re.compile("^(Completed|Failed|Invalid|Unavailable|Crashed|Cancelled)$")


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium, without a window."""
    # Its sandbox wants a user other than root.
    options = ["--no-sandbox"] if os.geteuid() == 0 else []
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=shutil.which("chromium"), args=options)
        try:
            yield browser
        finally:
            browser.close()


@dataclass
class Person:
    """Someone who knows the passwords of the services.

    Attributes:
        pictures: folder for what is seen; None for no pictures.
    """

    browser: Browser
    services: Services
    pictures: Path | None = None
    _prefect: Page = field(init=False)
    _mlflow: Page = field(init=False)

    def enter_prefect(self) -> None:
        """Log in to Prefect's page."""
        self._prefect = self._page()
        self._prefect.goto(self.services.url("prefect"))
        self._prefect.locator("input").fill(self.services.prefect_login)
        self._prefect.get_by_role("button", name="Login").click()
        self._prefect.wait_for_url("**/dashboard**")

    def start_run(self, deployment: str) -> None:
        """Find a deployment and run it with what it is set to."""
        page, choice = self._prefect, self._way_to_run(deployment, "Quick run")
        page.wait_for_load_state("networkidle")  # until then grey bars stand for its past runs
        self._see(page, "prefect-deployment")
        choice.click()
        page.get_by_role("button", name="View run").click()
        page.wait_for_url("**/runs/flow-run/**")

    def start_run_with(self, deployment: str, settings: list[str]) -> str:
        """Find a deployment, fill in the settings of its form, and run it; return the run's id."""
        page = self._prefect
        self._way_to_run(deployment, "Custom run").click()
        label = page.get_by_text("settings (Optional)", exact=True)
        field = page.locator("div.group").filter(has=label)
        for line in settings:
            field.get_by_role("button", name="Add item").click()
            field.get_by_role("textbox").last.fill(line)
        self._see(page, "prefect-settings")
        page.get_by_role("button", name="Submit").click()
        page.get_by_role("button", name="View run").click()
        page.wait_for_url("**/runs/flow-run/**")
        return page.url.rpartition("/flow-run/")[2].partition("?")[0]

    def _way_to_run(self, deployment: str, way: str) -> Locator:
        """Open the menu of a deployment's button; return the choice with these words."""
        page = self._prefect
        page.get_by_text("Deployments", exact=True).click()
        name = page.get_by_role("link", name=deployment, exact=True)
        row = page.get_by_role("row").filter(has=name)
        row.locator("a[href*='/deployments/deployment/']").click()
        page.get_by_role("button", name="Run", exact=True).click()
        choice = page.get_by_role("menu").get_by_text(way)
        choice.wait_for()
        return choice

    def watch_run(self, stages: list[str]) -> str:
        """Watch a run until it has ended; its state, once the page names every stage."""
        page = self._prefect
        page.get_by_text("Running", exact=True).first.wait_for()
        page.get_by_role("tab", name="Task Runs").click()
        self._look_again(stages[:1])  # those that wait have no name yet
        self._see(page, "prefect-running")
        ended = page.get_by_text(ENDED).first
        ended.wait_for(timeout=RUN_PATIENCE)
        state = ended.inner_text().strip()
        self._look_again(stages)
        self._see(page, "prefect-finished")
        return state

    def _look_again(self, stages: list[str]) -> None:
        """Load the page of a run anew, and see every stage in it.

        Prefect's page of a run that has just begun goes on saying that it has no tasks.
        """
        self._stage(stages[0]).wait_for()
        self._prefect.reload()
        for stage in stages:
            self._stage(stage).wait_for(state="attached")
        self._prefect.wait_for_load_state("networkidle")

    def _stage(self, name: str) -> Locator:
        return self._prefect.get_by_role("link", name=name, exact=True).first

    def enter_mlflow(self) -> None:
        """Open MLflow's list of models, and clear away what lies in front of it."""
        login = {"username": MLFLOW_USER, "password": self.services.secrets["mlflow"]}
        page = self._mlflow = self._page(http_credentials=login)
        page.goto(f"{self.services.url('mlflow')}/#/models")
        page.get_by_role("button", name="Try it now").click()
        page.get_by_role("dialog").wait_for(state="hidden")
        page.get_by_role("button", name="Close", exact=True).click()
        page.get_by_role("button", name="Toggle sidebar").click()

    def find(self, model: str, alias: str) -> str:
        """The version of a model that has an alias."""
        page = self._mlflow
        search = page.get_by_placeholder("Search registered models")
        search.fill(model)  # the list shows a page of names at a time
        search.press("Enter")
        page.get_by_role("link", name=model, exact=True).click()
        row = page.get_by_role("row").filter(has_text=f"@ {alias}")
        row.wait_for()
        self._see(page, f"mlflow-{alias}")
        return row.get_by_role("link", name=re.compile("^Version ")).inner_text().split()[1]

    def compare(self, *versions: str) -> str:
        """What MLflow says about versions of the model side by side."""
        page = self._mlflow
        for version in versions:
            row = self._row(version)
            row.hover()  # its box to tick appears then
            row.get_by_role("checkbox").check(force=True)
        page.get_by_role("button", name="Compare", exact=True).click()
        page.get_by_role("heading", name=f"Comparing {len(versions)} Versions").wait_for()
        page.get_by_text("Metrics", exact=True).wait_for()
        self._see(page, "mlflow-compare")
        text = page.inner_text("body")
        page.go_back()
        return text

    def give_alias(self, version: str, alias: str) -> None:
        """Give a version an alias; the version that had it loses it."""
        page = self._mlflow
        self._row(version).get_by_role("button").last.click()  # the pencil beside the aliases
        dialog = page.get_by_role("dialog")
        dialog.get_by_role("combobox").fill(alias)
        dialog.get_by_role("combobox").press("Enter")
        self._see(page, "mlflow-alias")
        dialog.get_by_role("button", name="Save aliases").click()
        dialog.wait_for(state="hidden")
        page.reload()  # the list of versions does not follow by itself
        expect(self._row(version)).to_contain_text(f"@ {alias}", timeout=PATIENCE)
        self._see(page, "mlflow-moved")

    def _row(self, version: str) -> Locator:
        link = self._mlflow.get_by_role("link", name=f"Version {version}", exact=True)
        row = self._mlflow.get_by_role("row").filter(has=link)
        row.wait_for()
        return row

    def _page(self, **options) -> Page:
        page = self.browser.new_context(viewport=SIZE, **options).new_page()
        page.add_init_script(FEW_FRAMES)
        page.set_default_timeout(PATIENCE)
        return page

    def _see(self, page: Page, name: str) -> None:
        if self.pictures is None:
            return
        picture = Image.open(io.BytesIO(page.screenshot(animations="disabled")))
        # In 256 colours, a third of the bytes.
        picture.convert("RGB").quantize(256).save(self.pictures / f"{name}.png", optimize=True)

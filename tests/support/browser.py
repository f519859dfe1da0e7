"""Chromium without a window, driven by selenium; what a test asks of it runs in a thread, while the gateway answers."""

import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from tempfile import TemporaryDirectory
from typing import Any, TypeVar

import trio
from selenium import webdriver
from selenium.common.exceptions import StaleElementReferenceException
from selenium.webdriver.chrome.service import Service
from selenium.webdriver.common.by import By
from selenium.webdriver.common.keys import Keys
from selenium.webdriver.remote.webelement import WebElement

from tests.support.needs import find_browser, find_driver

T = TypeVar("T")

PATIENCE = 20.0
"""Seconds for the page to show something."""

FLAGS = (
    "--headless=new",
    "--no-sandbox",
    "--disable-gpu",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
    "--hide-scrollbars",
    "--lang=en",
)


class Page:
    """What a person sees, and does."""

    def __init__(self, driver: webdriver.Chrome) -> None:
        self._driver = driver

    async def open(self, url: str) -> None:
        await self._run(lambda: self._driver.get(url))

    async def see(self, selector: str, text: str = "", *, times: int | None = None) -> list[str]:
        """Waits until an element has this text in it, or so many have; gives the texts of all."""

        def look() -> list[str] | None:
            shown = [each.text for each in self._find(selector) if each.is_displayed()]
            found = [each for each in shown if text in each]
            return shown if (len(found) == times if times is not None else found) else None

        return await self._until(look, f"{selector} with {text!r}")

    async def texts(self, selector: str) -> list[str]:
        return await self._run(lambda: [each.text for each in self._find(selector)])

    async def gone(self, selector: str) -> None:
        await self._until(lambda: not any(e.is_displayed() for e in self._find(selector)) or None, f"no {selector}")

    async def click(self, selector: str) -> None:
        await self.see(selector)
        await self._run(lambda: next(e for e in self._find(selector) if e.is_displayed()).click())

    async def type(self, selector: str, text: str, *, enter: bool = True) -> None:
        await self.see(selector)
        keys = (text, Keys.ENTER) if enter else (text,)
        await self._run(lambda: self._find(selector)[0].send_keys(*keys))

    async def press(self, *keys: str) -> None:
        """To whatever has the focus."""
        await self._run(lambda: self._driver.switch_to.active_element.send_keys(*keys))

    async def focus(self) -> tuple[str, str]:
        """What has the focus: its id or class, and its text."""
        said: list[str] = await self.script(
            "const e = document.activeElement; return [e.id || e.className || e.tagName, e.textContent]"
        )
        return said[0], said[1]

    async def script(self, source: str) -> Any:
        return await self._run(lambda: self._driver.execute_script(source))

    async def screenshot(self, name: str) -> None:
        """Written where `$TRIOLOGUE_SCREENSHOTS` says, if it does."""
        if folder := os.environ.get("TRIOLOGUE_SCREENSHOTS"):
            picture = await self._run(self._driver.get_screenshot_as_png)
            await trio.Path(folder, f"{name}.png").write_bytes(picture)

    async def complaints(self) -> list[str]:
        """What the browser has to say of errors and of what the policy forbids."""
        said = await self._run(lambda: self._driver.get_log("browser"))  # type: ignore[no-untyped-call]
        return [each["message"] for each in said if each["level"] in ("SEVERE", "WARNING")]

    def _find(self, selector: str) -> list[WebElement]:
        return self._driver.find_elements(By.CSS_SELECTOR, selector)

    async def _run(self, do: Callable[[], T]) -> T:
        return await trio.to_thread.run_sync(do)

    async def _until(self, look: Callable[[], T | None], what: str) -> T:
        def poll() -> T | None:
            deadline = time.monotonic() + PATIENCE
            while time.monotonic() < deadline:
                try:
                    if (found := look()) is not None:
                        return found
                except StaleElementReferenceException:
                    pass  # it was changed while it was looked at
                time.sleep(0.02)
            return None

        found = await self._run(poll)
        if found is None:
            page = await self._run(lambda: self._driver.find_element(By.TAG_NAME, "body").text)
            raise AssertionError(f"the page does not show {what}; it shows:\n{page}\n{await self.complaints()}")
        return found


@contextmanager
def open_page(width: int = 1280, height: int = 800, *, is_dark: bool = False) -> Iterator[Page]:
    """A browser of its own, of this size in pixels."""
    with TemporaryDirectory() as profile:
        driver = webdriver.Chrome(options=_options(profile), service=Service(str(find_driver())))
        try:
            size = {"width": width, "height": height, "deviceScaleFactor": 1, "mobile": width < 600}
            driver.execute_cdp_cmd("Emulation.setDeviceMetricsOverride", size)
            scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
            driver.execute_cdp_cmd("Emulation.setEmulatedMedia", {"features": [scheme]})
            yield Page(driver)
        finally:
            driver.quit()


def _options(profile: str) -> webdriver.ChromeOptions:
    options = webdriver.ChromeOptions()
    options.binary_location = str(find_browser())
    for flag in (*FLAGS, f"--user-data-dir={profile}"):
        options.add_argument(flag)
    options.set_capability("goog:loggingPrefs", {"browser": "ALL"})
    return options

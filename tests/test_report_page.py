"""The page of results in a real browser: offline, wide and narrow, light and dark."""

from __future__ import annotations

from pathlib import Path

import pytest
from browser import REQUIRED, Browser, browser

pytest.importorskip("typer")
from benchmarks import report

ROOT = Path(__file__).resolve().parent.parent / "benchmarks" / "results"
SIZES = pytest.mark.parametrize(("width", "phone"), [(390, True), (820, True), (1400, False)],
                                ids=["phone", "tablet", "desk"])

OVERFLOWING = """
const width = document.documentElement.clientWidth, found = [];
if (document.documentElement.scrollWidth > width) found.push(
    'page ' + document.documentElement.scrollWidth);
for (const one of document.querySelectorAll('main *')) {
  if (one.closest('.scroll') && !one.matches('.scroll')) continue;  // scrolls by itself
  if (one.closest('svg') && !one.matches('svg')) continue;  // drawn into its viewBox
  if (one.closest('details:not([open])') && !one.matches('details, summary')) continue;
  const box = one.getBoundingClientRect();
  if (box.right > width + 0.5 || box.left < -0.5) found.push(
      one.tagName + '.' + one.className + ' ' + box.left + '..' + box.right);
}
return found.slice(0, 20);
"""
PLOTS = """
return [...document.querySelectorAll('svg.plot')].filter(one => one.checkVisibility()).map(one => {
  const box = one.getBoundingClientRect(), marks = [...one.querySelectorAll('.mark')].filter(
      mark => mark.getBoundingClientRect().width > 0);
  const outside = marks.filter(mark => {
    const at = mark.getBoundingClientRect();
    return at.left < box.left || at.right > box.right || at.top < box.top
        || at.bottom > box.bottom; });
  const small = [...one.querySelectorAll('text')].map(text =>
      parseFloat(getComputedStyle(text).fontSize) * box.width / one.viewBox.baseVal.width);
  return [one.id, box.width, box.height, marks.length, outside.length, Math.min(...small)]; });
"""
TEXTS = """
return [...document.querySelectorAll('[data-source]')].map(
    one => [one.getAttribute('data-source'), one.textContent]);
"""
CONTRAST = """
function light(color) {
  const parts = color.match(/[\\d.]+/g).slice(0, 3).map(v => v / 255).map(
      v => v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
  return 0.2126 * parts[0] + 0.7152 * parts[1] + 0.0722 * parts[2]; }
function behind(one) {
  for (; one; one = one.parentElement) {
    const color = getComputedStyle(one).backgroundColor;
    if (!color.startsWith('rgba(0, 0, 0, 0')) return color; }
  return 'rgb(255, 255, 255)'; }
const found = {};
for (const one of document.querySelectorAll(
    'p, td, th, caption, summary, a, h1, h2, h3, li, figcaption span, svg text, .mark > *')) {
  if (!one.checkVisibility()) continue;
  const style = getComputedStyle(one), drawn = one.closest('svg');
  const [a, b] = [light(drawn ? style.fill : style.color), light(behind(one))];
  const ratio = (Math.max(a, b) + 0.05) / (Math.min(a, b) + 0.05);
  const name = drawn ? 'svg ' + one.tagName + '.' + one.getAttribute('class') : one.tagName;
  found[name] = Math.min(found[name] ?? 99, ratio); }
return found;
"""


@pytest.fixture(scope="module")
def page(tmp_path_factory) -> Path:
    path = tmp_path_factory.mktemp("page") / "report.html"
    path.write_text(report.page(ROOT))
    return path


@pytest.fixture(scope="module")
def window(tmp_path_factory):
    with browser(tmp_path_factory.mktemp("browser")) as opened:
        yield opened


def test_the_page_opens_from_one_file_without_errors_or_requests(window: Browser, page):
    window.requests()
    window.open(page)
    assert window.script("return document.readyState") == "complete"
    asked = [url for url in window.requests() if not url.startswith("data:")]
    assert asked == [page.resolve().as_uri()]
    assert window.console() == []
    assert window.script("return document.title") == "Edge SDK, measured"


def test_what_the_browser_shows_are_the_numbers_of_the_results(window: Browser, page):
    from benchmarks.report_source import resolve

    window.open(page)
    texts = window.script(TEXTS)
    wanted = {"x86-64-amd-epyc/elastic.json#/executorch/none/ram/xl_mb",
              "x86-64-amd-epyc/codes.json#/parts/ed/rows/0/ours",
              "x86-64-amd-epyc/fastgrnn.json#/parts/latency/us_a_frame/step/LiteRT"}
    shown = {source: text for source, text in texts if source in wanted}
    assert shown.keys() == wanted
    for source, text in shown.items():
        assert float(text) == pytest.approx(resolve(ROOT, source), rel=0.005)


@SIZES
def test_nothing_runs_over_the_edge(window: Browser, page, width, phone):
    window.resize(width, phone=phone)
    window.open(page)
    room = window.script("return document.documentElement.clientWidth")
    assert room == width if phone else width - 20 <= room <= width  # beside a scroll bar
    assert window.script(OVERFLOWING) == []


@SIZES
def test_nothing_runs_over_the_edge_when_all_is_opened(window: Browser, page, width, phone):
    window.resize(width, phone=phone)
    window.open(page)
    window.script("document.querySelectorAll('details').forEach(one => one.open = true)")
    assert window.script(OVERFLOWING) == []


@SIZES
def test_every_plot_is_seen_with_all_its_marks_and_text_large_enough(
        window: Browser, page, width, phone):
    window.resize(width, phone=phone)
    window.open(page)
    plots = window.script(PLOTS)
    assert len(plots) >= 15
    for name, wide, high, marks, outside, smallest_px in plots:
        assert wide > 250, name
        assert high > 100, name
        assert marks > 0, name
        assert outside == 0, name
        assert smallest_px >= 6.5, name


@pytest.mark.parametrize("scheme", ["light", "dark"])
def test_text_and_marks_stand_out_from_what_is_behind(window: Browser, page, scheme):
    window.scheme(scheme)
    window.open(page)
    ratios = window.script(CONTRAST)
    for name, ratio in ratios.items():  # WCAG 2: 4.5 for text, 3 for graphics
        assert ratio >= (3.0 if name.startswith("svg") and "text" not in name else 4.5), name
    window.scheme("")


def test_light_and_dark_are_different_papers(window: Browser, page):
    papers = []
    for scheme in ("light", "dark"):
        window.scheme(scheme)
        window.open(page)
        papers.append(window.script("return getComputedStyle(document.body).backgroundColor"))
    window.scheme("")
    assert papers[0] != papers[1]


POINTED = """
const one = [...document.querySelectorAll('td.number [data-source]')].find(
    at => at.checkVisibility());
one.scrollIntoView({block: 'center'});
const box = one.getBoundingClientRect();
return [box.x + box.width / 2, box.y + box.height / 2, one.getAttribute('data-source'),
        getComputedStyle(one, '::after').content];
"""


def test_pointing_at_a_number_shows_its_source(window: Browser, page):
    window.resize(1400)
    window.open(page)
    x, y, source, said = window.script(POINTED)
    assert said == "none"
    window.devtools("Input.dispatchMouseEvent", type="mouseMoved", x=x, y=y)
    assert window.script(POINTED)[3] == f'"{source}"'


def test_the_keyboard_reaches_links_details_and_tables(window: Browser, page):
    window.resize(390, phone=True)
    window.open(page)
    reached = []
    for _ in range(30):
        window.call("POST", "/actions", {"actions": [{"type": "key", "id": "k", "actions": [
            {"type": "keyDown", "value": "\ue004"}, {"type": "keyUp", "value": "\ue004"}]}]})
        reached.append(window.script("const at = document.activeElement; "
                                     "return at.tagName + '.' + at.className"))
    assert reached[0] == "A.skip"
    assert {"A.", "SUMMARY.", "DIV.scroll"} <= set(reached)


def test_a_missing_browser_skips_the_tests_and_fails_them_where_it_is_required(
        monkeypatch, tmp_path):
    monkeypatch.setattr("browser.shutil.which", lambda name: None)
    monkeypatch.delenv(REQUIRED, raising=False)
    with pytest.raises(pytest.skip.Exception, match="chromium"), browser(tmp_path):
        pass
    monkeypatch.setenv(REQUIRED, "1")
    with pytest.raises(pytest.fail.Exception, match="chromium"), browser(tmp_path):
        pass


def test_these_checks_notice_a_page_that_fetches_fails_and_overflows(window: Browser, tmp_path):
    bad = tmp_path / "bad.html"
    bad.write_text("<!doctype html><meta name=viewport content='width=device-width'>"
                   "<main><div style='width: 5000px'>wide</div><p style='color: #ddd'>pale</p>"
                   "<img src='gone.png'><script>throw new Error('broken')</script></main>")
    window.resize(390, phone=True)
    window.requests(), window.console()
    window.open(bad)
    assert (tmp_path / "gone.png").as_uri() in window.requests()
    assert any("broken" in line for line in window.console())
    assert len(window.script(OVERFLOWING)) == 2
    assert window.script(CONTRAST)["P"] < 4.5

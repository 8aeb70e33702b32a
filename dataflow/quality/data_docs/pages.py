"""Great Expectations' page of a validation result, drawn by its own renderers around our frame.

Imported when a page is drawn: Great Expectations takes seconds.
"""
# pyright: basic
# Great Expectations' own annotations are incomplete.

from __future__ import annotations

import warnings
from collections.abc import Mapping, Sequence
from functools import cache
from typing import Any

from great_expectations import __version__
from great_expectations.core.expectation_validation_result import expectationSuiteValidationResultSchema
from great_expectations.render.components import RenderedHeaderContent, RenderedStringTemplateContent
from great_expectations.render.renderer.column_section_renderer import ValidationResultsColumnSectionRenderer
from great_expectations.render.renderer.content_block.validation_results_table_content_block import (
    ValidationResultsTableContentBlockRenderer,
)
from great_expectations.render.renderer.page_renderer import ValidationResultsPageRenderer
from great_expectations.render.view.view import DefaultJinjaPageView
from jinja2 import ChoiceLoader, PackageLoader

from dataflow.quality import gx_polars  # noqa: F401 - makes its expectations known, so that they can be drawn
from dataflow.quality.data_docs.results import as_markup, shown

_SECTIONS = {
    "module_name": __name__,
    "class_name": "ColumnSection",
    "table_renderer": {"module_name": __name__, "class_name": "RuleTable"},
}


class ColumnSection(ValidationResultsColumnSectionRenderer):
    """The expectations about one column."""

    @classmethod
    def _get_column_name(cls, ge_object: Any) -> str:
        return as_markup(super()._get_column_name(ge_object))


class RuleTable(ValidationResultsTableContentBlockRenderer):
    """A row an expectation, with the name and severity of its rule."""

    @classmethod
    def _get_content_block_fn(cls, expectation_type: str, expectation_config: Any = None) -> Any:
        try:
            draw: Any = super()._get_content_block_fn(expectation_type, expectation_config)
        except Exception:
            # Of a package or release that is not here any more: what it found is told all the same.
            draw = super()._get_content_block_fn(expectation_type)

        def row(configuration: Any = None, result: Any = None, **options: Any) -> Any:
            ((status, *told),) = draw(configuration=configuration, result=result, **options)
            of_rule = result.expectation_config.meta
            return [[status, [of_rule["rule"]], [of_rule["severity"]], *told]]

        return row

    @classmethod
    def _process_content_block(cls, content_block: Any, has_failed_evr: Any, render_object: Any = None) -> None:
        super()._process_content_block(content_block, has_failed_evr, render_object)
        content_block.header_row = ["Status", "Rule", "Severity", "Expectation", "Observed Value"]


class _Page(ValidationResultsPageRenderer):
    """A result by column, without a link to a suite that has no page."""

    def _determine_page_title(self, run_name: str, run_time: str, data_asset_name: str, expectation_suite_name: str):
        return ""  # ours says it

    @classmethod
    def _render_validation_header(cls, validation_results: Any) -> RenderedHeaderContent:
        word, sign = ("all met", "fa-check-circle text-success")
        if not validation_results.success:
            word, sign = ("not all met", "fa-times text-danger")
        about = {
            "content_block_type": "string_template",
            "string_template": {
                "template": "Stage ${stage}\nBatch ${batch}\nExpectations ${html_success_icon} ${word}",
                "params": {
                    "stage": validation_results.suite_name,
                    "batch": validation_results.meta["run_id"]["run_name"],
                    "html_success_icon": f'<i class="fas {sign}"></i>',
                    "word": word,
                },
                "styling": {"params": {"stage": {"tag": "strong"}, "batch": {"tag": "strong"}}},
            },
        }
        return RenderedHeaderContent(
            content_block_type="header",
            header="Overview",
            subheader=RenderedStringTemplateContent(**about),
            styling={"classes": ["col-12", "p-0"], "header": {"classes": ["alert", "alert-secondary"]}},
        )


@cache
def _environment() -> Any:
    """The templates of Great Expectations, ours before its own."""
    environment: Any = DefaultJinjaPageView().env
    environment.loader = ChoiceLoader([PackageLoader("dataflow.quality.data_docs", "templates"), environment.loader])
    return environment


def batch_page(stage: str, batch_id: str, judged_at: str, result: Mapping[str, Any]) -> str:
    """The page of one batch: every expectation with its rule, its severity and what was found, in counts."""
    told: Any = expectationSuiteValidationResultSchema.load(shown(stage, batch_id, judged_at, result))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the libraries that it draws with
        document = _without_tracebacks(_Page(_SECTIONS, run_info_at_end=True).render(told).to_json_dict())
        del document["sections"][-1]  # what it tells of the run, the header has
        title = f"{stage}, batch {batch_id}, judged at {judged_at[:19].replace('T', ' ')} UTC"
        about = {"page_title": as_markup(title), "root": "../../", "ge_version": __version__}
        return _environment().get_template("batch.j2").render(document | about)


def index_page(stages: Mapping[str, Sequence[Mapping[str, Any]]]) -> str:
    """The page that lists all batches, by stage."""
    about = {"page_title": "all batches by stage", "root": "", "ge_version": __version__}
    return _environment().get_template("index.j2").render(about, stages=stages)


def _without_tracebacks(block: Any) -> Any:
    """The document without the folds that Great Expectations makes for tracebacks."""
    match block:
        case {"content_block_type": "collapse", "collapse_toggle_link": str(link)} if "traceback" in link:
            return None
        case dict():
            return {key: _without_tracebacks(value) for key, value in block.items()}
        case list():
            return [kept for each in block if (kept := _without_tracebacks(each)) is not None]
        case _:
            return block

"""Every page of docs/howto is executed: which test reads it, and why nobody runs the rest of its commands.

A block of commands that no test runs says so before it, on the page (tests/lab/howto.py). A page's test takes note of every command that it
runs, and ends by asking the page whether one was left out; configuration of all pages is test_configuration_blocks'.
"""

import ast
import re
from functools import cache

import pytest

from tests.lab.howto import FOLDER, HowTo

from .test_links import ROOT

_EXECUTED = "tests/unit/docs/test_executed.py::test_a_page_does_what_it_says"
READ_BY = {
    "acceptance-test.md": "tests/training/test_acceptance.py::test_what_was_tested_is_accepted_by_name_and_for_that_digest_alone",
    "audit.md": "tests/node/test_audit.py::test_the_trail_of_one_study",
    "back-up-and-restore.md": "tests/node/test_restore_page.py::test_the_page_brings_a_lost_node_back",
    "be-told.md": "tests/node/test_notify.py::test_a_parked_job_reaches_mailbox_and_webhook",
    "bring-a-model.md": "tests/unit/cli/test_models_page.py::test_the_page_is_followed",
    "call-a-model.md": "tests/unit/engines/test_calling.py::test_the_entry_of_the_page_is_one",
    "cardiac-phase.md": "tests/training/test_cardiac_phase.py::test_the_page_is_followed",
    "change-routes.md": _EXECUTED,
    "change-the-configuration.md": "tests/peers/test_howtos.py::test_a_pacs_is_connected_and_the_configuration_changed",
    "choose-what-a-sink-gets.md": _EXECUTED,
    "connect-a-pacs.md": "tests/peers/test_howtos.py::test_a_pacs_is_connected_and_the_configuration_changed",
    "console.md": _EXECUTED,
    "debian-package.md": "tests/package/test_debian_package.py::test_the_page_leads_from_an_empty_debian_to_results_in_orthanc",
    "describe-a-model.md": "tests/peers/test_described_model.py::test_an_onnx_file_becomes_results_in_the_pacs",
    "encrypt-at-rest.md": "tests/peers/test_howtos.py::test_a_store_is_encrypted",
    "erase-a-patient.md": _EXECUTED,
    "few-labels.md": "tests/training/test_pretraining.py::test_the_page_is_followed",
    "head-bleed.md": "tests/peers/test_head_bleed.py::test_urgent_before_routine",
    "held-instances.md": _EXECUTED,
    "hospital-login.md": "tests/peers/test_ldap_login.py::test_the_block_of_the_page_lets_people_in",
    "import-nnunet.md": "tests/peers/test_nnunet.py::test_the_page_is_followed",
    "left-ventricle.md": "tests/training/test_left_ventricle.py::test_the_page_is_followed",
    "many-nodes.md": "tests/peers/test_many_nodes.py::test_studies_sent_to_both_receivers_and_one_split_over_them",
    "mend-a-parked-job.md": _EXECUTED,
    "nodule-data.md": "tests/training/test_nodule_readers.py::test_the_page_names_what_there_is",
    "prognosis.md": "tests/training/test_prognosis.py::test_the_page_is_typed_as_it_stands",
    "run-a-container.md": "tests/peers/test_container.py::test_the_page_leads_from_a_module_of_mercure_to_results_in_the_pacs",
    "run-on-triton.md": "tests/triton/test_howto.py::test_the_page_is_followed",
    "secure-the-node.md": "tests/peers/test_howtos.py::test_a_node_is_secured_and_runs_an_application_of_its_owners",
    "several-hospitals.md": "tests/training/test_federated.py::test_two_sites_learn_what_nvflare_averages_by_their_cases",
    "short-series.md": "tests/node/test_short.py::test_what_the_node_refused_is_run_on_the_operators_word_and_once_more_when_it_is_whole",
    "storage-commitment.md": _EXECUTED,
    "traces.md": "tests/node/test_traces.py::test_every_step_of_a_study_is_a_span_of_one_trace_and_none_says_whose_it_is",
    "train-a-classifier.md": "tests/training/test_classifier_page.py::test_a_table_becomes_a_served_classifier",
    "train-a-detector.md": "tests/training/test_detector_page.py::test_a_table_of_boxes_becomes_a_served_detector",
    "train-a-model.md": "tests/training/test_train_page.py::test_the_page_is_followed",
    "train-a-regression.md": "tests/training/test_regression_page.py::test_a_table_becomes_a_served_regression",
    "train-on-several-series.md": "tests/peers/test_classifier_of_roles.py::test_several_series_become_one_answer",
    "train-on-other-layouts.md": "tests/training/test_layouts_page.py::test_a_raw_folder_becomes_a_served_application",
    "train-on-your-own-studies.md": "tests/training/test_segmentation.py::test_the_demo_shows_it",
    "typical-mistakes.md": "tests/unit/docs/test_typical_mistakes.py::test_a_typical_mistake_gets_the_sentence_of_the_page",
    "upgrade.md": "tests/package/test_upgrade.py::test_the_page_upgrades_a_node_with_its_history",
    "which-check-when.md": "tests/unit/docs/test_which_check.py::test_each_check_runs_and_touches_what_the_page_says",
    "withdraw-results.md": "tests/unit/flow/test_withdrawals.py::test_the_profile_of_the_page_withdraws",
    "write-an-application.md": "tests/peers/test_howtos.py::test_a_node_is_secured_and_runs_an_application_of_its_owners",
}
"""Page: the test that executes it. Pages that are not here have no commands, or none that a test runs."""
PAGES = sorted(path.name for path in FOLDER.glob("*.md"))


@pytest.mark.parametrize("name", PAGES)
def test_every_block_of_commands_is_run_or_says_why_not(name: str) -> None:
    """A page that no test reads has none without a reason; each reason stands before a block of commands."""
    page = HowTo(name)
    blocks = [block for block in page.all_blocks() if block.commands]
    assert page.text.count("<!-- not run by a test: ") == sum(bool(block.reason) for block in blocks), "a reason is not before its block"
    if name not in READ_BY:
        assert [block.text for block in blocks if not block.reason] == []


@pytest.mark.parametrize("name", READ_BY)
def test_the_test_that_is_named_reads_the_page(name: str) -> None:
    """It is there, and its file names the page."""
    assert name in PAGES
    file, _, function = READ_BY[name].partition("::")
    tests, texts = _contents(file)
    assert function in tests
    assert any(text == name or text.endswith(f"/{name}") for text in texts), f"{file} does not read {name}"


@pytest.mark.parametrize("test", sorted(set(READ_BY.values())))
def test_the_test_that_is_named_asks_whether_all_was_run(test: str) -> None:
    """Once for each page with commands that are run: for the whole page, or its file for every part that has some."""
    file, _, function = test.partition("::")
    pages = [page for name in READ_BY if READ_BY[name] == test and _run(page := HowTo(name))]
    asked = _asked(file)
    if test == _EXECUTED:
        assert asked[function] == [""], "it is called once a page"
    elif not any(asked[function]):
        assert len(asked[function]) == len(pages)
    else:
        (page,) = pages
        headings = {one for one in re.findall("^##? (.+)$", page.text, re.MULTILINE) if _run(page, one)}
        assert headings == {one for found in asked.values() for one in found}


def _run(page: HowTo, heading: str = "") -> bool:
    """Whether a page, or a part, has commands that are run."""
    return any(block.commands and not block.reason for block in page.all_blocks(heading))


@cache
def _asked(file: str) -> dict[str, list[str]]:
    """The functions of a file of tests, each with the parts of pages that it asks about, "" for a whole page."""
    functions = [node for node in ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))) if isinstance(node, ast.FunctionDef)]
    return {
        function.name: [
            str(ast.literal_eval(node.args[0])) if node.args else ""
            for node in ast.walk(function)
            if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr == "followed"
        ]
        for function in functions
    }


@cache
def _contents(file: str) -> tuple[frozenset[str], frozenset[str]]:
    """The functions and the texts of a file of tests."""
    nodes = list(ast.walk(ast.parse((ROOT / file).read_text(encoding="utf-8"))))
    functions = frozenset(node.name for node in nodes if isinstance(node, ast.FunctionDef))
    return functions, frozenset(node.value for node in nodes if isinstance(node, ast.Constant) and isinstance(node.value, str))

"""The scaffold fills the template in, and refuses what would do harm. ``just try-template`` runs its product."""

from pathlib import Path

import pytest

from templates.new_flow import scaffold


@pytest.mark.parametrize(
    ("name", "module", "parents"), [("orders", "flows.orders", 1), ("shop/late_orders", "flows.shop.late_orders", 2)]
)
def test_the_name_is_everywhere(name: str, module: str, parents: int, tmp_path: Path):
    written = scaffold(name, tmp_path)
    texts = [path.read_text() for path in written]
    assert [] == [text for text in texts if "my_flow" in text.lower() or "My flow" in text]
    last = name.split("/")[-1]
    assert f"pipeline: {last}\n" in texts[0]
    assert f"function: {module}:type_orders" in texts[0]
    assert f'parents[{parents}] / "config" / "{last}.yaml"' in texts[1]
    assert f"from {module} import" in texts[2]
    assert tmp_path == written[1].resolve().parents[parents]


def test_a_domain_becomes_a_package(tmp_path: Path):
    scaffold("shop/orders", tmp_path)
    before = (tmp_path / "flows" / "shop" / "__init__.py").read_text()
    scaffold("shop/returns", tmp_path)
    assert before == (tmp_path / "flows" / "shop" / "__init__.py").read_text() != ""


@pytest.mark.parametrize("name", ["", "Orders", "my flow", "a__b", "../orders", "/orders", "class", "1st", "orders.py"])
def test_names_that_will_not_do_write_nothing(name: str, tmp_path: Path):
    with pytest.raises(ValueError, match="will not do as a name"):
        scaffold(name, tmp_path)
    assert [] == list(tmp_path.iterdir())


def test_nothing_is_overwritten(tmp_path: Path):
    flow = scaffold("orders", tmp_path)[1]
    flow.write_text("mine")
    with pytest.raises(ValueError, match=r"flows/orders\.py.* is there already"):
        scaffold("orders", tmp_path)
    assert "mine" == flow.read_text()

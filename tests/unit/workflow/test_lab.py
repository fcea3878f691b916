import subprocess
import sys
from pathlib import Path

import pytest

from labtune.errors import LabLockedError, TaxonomyError, UserError
from labtune.workflow.lab import Lab


def make_lab(folder: Path) -> Lab:
    (folder / "taxonomy").mkdir(parents=True)
    (folder / "labtune.yaml").write_text("seed: 9\n", encoding="utf-8")
    return Lab.open(folder)


def test_a_lab_is_found_from_any_folder_inside(tmp_path: Path) -> None:
    make_lab(tmp_path)
    inner = tmp_path / "taxonomy" / "knowledge"
    inner.mkdir()
    lab = Lab.open(inner)
    assert lab.root == tmp_path.resolve()
    assert lab.config.lab.seed == 9


def test_no_lab_says_how_to_make_one(tmp_path: Path) -> None:
    with pytest.raises(UserError) as caught:
        Lab.open(tmp_path)
    assert "labtune init" in (caught.value.hint or "")


def test_a_missing_taxonomy_is_named(tmp_path: Path) -> None:
    lab = make_lab(tmp_path)
    (tmp_path / "taxonomy").rmdir()
    with pytest.raises(TaxonomyError, match="does not exist"):
        _ = lab.taxonomy_root


def test_one_writer_at_a_time_and_a_dead_one_frees_the_lock(tmp_path: Path) -> None:
    lab = make_lab(tmp_path)
    code = (
        "import sys, time; from pathlib import Path; from labtune.workflow.lab import Lab\n"
        "with Lab.open(Path(sys.argv[1])).locked():\n"
        "    print('held', flush=True); time.sleep(60)\n"
    )
    holder = subprocess.Popen([sys.executable, "-c", code, str(tmp_path)], stdout=subprocess.PIPE, text=True)
    assert holder.stdout is not None
    assert holder.stdout.readline() == "held\n"
    with pytest.raises(LabLockedError, match=str(holder.pid)), lab.locked():
        pass
    holder.kill()
    holder.wait()
    holder.stdout.close()
    with lab.locked():
        pass

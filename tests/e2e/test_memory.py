"""Many reports in one go, and no process grows with them; tests/faults/test_memory_at_length.py sends ten thousand."""

from constant_memory import LIMIT_KIB, memory_growth


def test_a_directory_of_reports_goes_all_the_way_in_constant_memory(tmp_path, capsys):
    growth = memory_growth(tmp_path, reports=3_000)
    with capsys.disabled():
        print(f"\n{growth}")
    assert growth.over(LIMIT_KIB) == {}

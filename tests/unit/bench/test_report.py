"""A benchmark's section is put into its page, and the next run replaces that section alone."""

from bench.report import Section, Table, with_section, without_folders

TABLE = Table(["what", "ms"], [["short", "1.0"], ["中文", "20.0"]])


def test_a_page_gets_a_section_at_its_end_and_the_next_run_replaces_it() -> None:
    page = with_section(with_section("# Head\n", "a", "first"), "b", "second")
    assert page == "# Head\n\n<!-- a -->\nfirst\n<!-- /a -->\n\n<!-- b -->\nsecond\n<!-- /b -->\n"
    assert with_section(page, "a", "again") == page.replace("first", "again")


def test_a_section_written_twice_changes_nothing_the_second_time() -> None:
    page = with_section("# Head\n\n<!-- a -->\n<!-- /a -->\nTail\n", "a", "text")
    assert page == "# Head\n\n<!-- a -->\ntext\n<!-- /a -->\nTail\n"
    assert with_section(page, "a", "text") == page


def test_columns_stand_under_each_other_on_a_terminal_whatever_the_script() -> None:
    assert TABLE.as_text().splitlines() == ["what   ms", "short  1.0", "中文   20.0"]


def test_a_table_in_markdown_has_a_rule_and_a_line_for_each_row() -> None:
    lines = TABLE.as_markdown().splitlines()
    assert lines == ["| what | ms |", "| --- | ---: |", "| short | 1.0 |", "| 中文 | 20.0 |"]


def test_a_section_names_the_command_that_repeats_it() -> None:
    section = Section("a", "Title", "python -m bench a", [TABLE], ["A note."])
    assert "Repeat it with `python -m bench a`." in section.as_markdown()
    assert "A note." in section.as_markdown()


def test_a_command_to_repeat_names_no_folder_of_this_machine() -> None:
    assert without_folders(["/home/ann/documents", "--kept", "demo"]) == ["FOLDER", "--kept", "demo"]

"""Entries of the catalogue on kernelbox's own way of working: exec, and one monitor for all."""

from __future__ import annotations

from security.entries import BETWEEN, EXEC, FUSE, KERNEL, OUTPUT, tested

__all__ = ["OWN"]

OWN = (
    tested(
        "K01", "Who is inside sees of exec no network and no mounts but the container's, from the first moment.",
        f"{EXEC}::test_who_is_inside_sees_no_network_and_mounts_of_the_machine",
    ),
    tested(
        "K02", "Memory, files and folders of what is on its way to exec are the monitor's, and closed to all inside.",
        f"{EXEC}::test_its_memory_and_files_are_the_monitors_until_its_program_runs",
        f"{EXEC}::test_root_inside_gets_hold_of_nothing_of_it",
        f"{KERNEL}/test_monitor.py::test_nothing_inside_can_get_at_it",
    ),
    tested(
        "K03", "A process that is frozen, stopped or never answered on its way to exec holds up nobody for long.",
        f"{EXEC}::test_one_that_is_held_up_holds_up_nobody",
        f"{FUSE}::test_a_program_that_never_answers",
        f"{FUSE}::test_a_program_that_answers",
        f"{FUSE}::test_a_folder_that_never_answers",
        f"{FUSE}::test_an_end_that_never_comes",
    ),
    tested(
        "K04", "The monitor's descriptors are closed before a program is looked up.",
        f"{EXEC}::test_its_program_is_looked_up_when_the_monitors_files_are_closed",
        f"{EXEC}::test_the_program_of_an_image_is_looked_up_when_they_are_closed",
    ),
    tested(
        "K05", "A terminal for exec is made by the kernel's own device, whatever lies in the place of /dev/pts.",
        f"{EXEC}::test_a_terminal_where_none_are_made",
        f"{FUSE}::test_something_else_in_the_place_of_terminals",
        f"{FUSE}::test_terminals_that_never_answer",
    ),
    tested(
        "K06", "What exec adds has the rights, namespaces and limits of its container, and ends with it.",
        f"{EXEC}::test_the_same_rights_and_namespaces",
        f"{KERNEL}/test_containers_exec.py::test_its_limits_are_the_container_s",
        f"{EXEC}::test_it_ends_with_the_container",
        f"{BETWEEN}::test_what_exec_adds_counts_within_the_limits",
    ),
    tested(
        "K07", "What a container does with its own output harms neither the monitor nor another container's log.",
        f"{OUTPUT}::test_its_own_output_as_a_weapon",
        f"{OUTPUT}::test_packets_are_lines_like_others",
        f"{OUTPUT}::test_somebody_else_writes_on_after_its_end",
    ),
    tested(
        "K08", "Nothing that is written becomes more than text in the log.",
        f"{OUTPUT}::test_nothing_it_writes_is_more_than_text_in_its_log",
        f"{OUTPUT}::test_bytes_that_are_no_text",
    ),
    tested(
        "K09", "Log and records of a container are not to be reached from inside.",
        f"{OUTPUT}::test_records_and_log_are_not_to_be_reached",
    ),
    tested(
        "K10", "Ids belong to their container while any process of it lives, whoever holds the lock.",
        f"{BETWEEN}::test_ids_outlive_the_monitor_that_held_them",
        f"{BETWEEN}::test_who_has_a_range_is_written_down",
    ),
    tested(
        "K11", "No limit can be changed from inside, with no rights that a container may have.",
        f"{BETWEEN}::test_limits_are_not_to_be_changed_from_inside",
    ),
    tested(
        "K12", "A network namespace that is used again is as new.",
        f"{KERNEL}/test_attack.py::test_a_network_that_somebody_could_change_is_not_used_again",
        f"{KERNEL}/test_attack.py::test_nobody_sees_the_traffic_of_a_predecessor",
    ),
    tested(
        "K13", "A privileged container has all capabilities and no filter, and still ids of its own.",
        f"{KERNEL}/test_run_rights.py::test_capabilities",
        f"{KERNEL}/test_run_rights.py::test_a_privileged_container_with_the_machines_ids",
        f"{KERNEL}/test_harm.py::test_the_machine_cannot_be_harmed",
    ),
    tested(
        "K14", "A namespace of the machine's is shared where that was asked for, and only then.",
        f"{KERNEL}/test_run_options.py::test_namespaces",
        f"{KERNEL}/test_run_options.py::test_the_machines_processes_can_be_seen_and_not_harmed",
    ),
    tested(
        "K15", "Of a container whose IPC is shared others get its memory, with their own ids, and nothing else.",
        f"{KERNEL}/test_shared_memory.py::test_one_that_does_not_share",
        f"{KERNEL}/test_shared_memory.py::test_something_else_in_its_place",
        f"{KERNEL}/test_shared_memory.py::test_devices_in_its_place_do_not_work",
        f"{FUSE}::test_a_shared_memory_that_never_answers",
    ),
)  # fmt: skip

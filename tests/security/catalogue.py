"""What must never happen, by number: the rule, and the tests that would fail without it.

T01 to T66 are kinds of attack and of accident that other container engines have met; K01 and on what belongs to
kernelbox's own way of working: one monitor that is the parent of all containers, and containers that outlive it. Of
what kernelbox does not have yet the part of it is named that it waits for: once that exists, tests must too.
"""

from __future__ import annotations

from security.entries import (
    ACCOUNTS,
    BETWEEN,
    EXEC,
    FAULTS,
    FILES,
    IMAGES,
    KERNEL,
    UNIT,
    tested,
    waits,
)
from security.own_entries import OWN

__all__ = ["CATALOGUE"]

CATALOGUE = (
    # What is in images and archives
    tested(
        "T01", "No name or link in an archive leads out of the folder that it is unpacked into.",
        f"{UNIT}/store/test_tar_in.py::test_names_that_lead_out",
        f"{UNIT}/store/test_tar_in.py::test_links_of_the_archive_lead_nowhere_else",
        f"{UNIT}/store/test_tar_in.py::test_hard_links_lead_nowhere_else",
        f"{FILES}::test_names_that_lead_out",
        f"{IMAGES}::test_hostile_layers",
        f"{UNIT}/store/test_layer_hostile.py::test_hostile_layers",
    ),
    tested(
        "T02", "No attribute of overlay and no capability comes in with an archive, but those that hold inside alone.",
        f"{UNIT}/store/test_tar_in.py::test_attributes",
        f"{UNIT}/store/test_tar_in.py::test_capabilities_hold_in_the_container_only",
    ),
    tested(
        "T03", "An image whose /dev is a link makes no devices elsewhere.",
        f"{KERNEL}/test_isolation.py::test_an_image_whose_folders_are_links",
        f"{IMAGES}::test_folders_that_are_links",
    ),
    tested(
        "T04", "An image whose /proc, /sys or /etc is a link has nothing written or mounted where it leads.",
        f"{KERNEL}/test_isolation.py::test_an_image_whose_folders_are_links",
        f"{KERNEL}/test_bad_input.py::test_a_target_that_escapes_by_a_link",
        f"{IMAGES}::test_folders_that_are_links",
    ),
    tested(
        "T05", "A working directory lies inside the container, whatever links lead to it.",
        f"{KERNEL}/test_isolation.py::test_a_working_directory_behind_a_descriptor",
        f"{EXEC}::test_a_working_directory_behind_a_link_of_procs",
        f"{EXEC}::test_a_working_directory_behind_a_link_of_its_own",
    ),
    tested(
        "T06", "What is exchanged for a link while a container starts leads no mount out of it.",
        f"{KERNEL}/test_renames.py::test_a_mount_behind_a_link",
    ),
    tested(
        "T07", "Copying in and out follows no link out of the container, not even one that comes and goes.",
        f"{FILES}::test_a_link_to_the_machine",
        f"{FILES}::test_it_comes_and_goes_while_something_is_copied_out",
        f"{FILES}::test_it_comes_and_goes_while_something_is_copied_in",
        f"{FILES}::test_links_of_procs_are_not_followed",
        f"{FILES}::test_links_in_the_volume_of_one_that_is_stopped",
        f"{FILES}::test_a_link_on_the_way_to_the_volume_of_one_that_is_stopped",
        f"{UNIT}/store/test_tar_races.py::test_a_folder_that_is_a_link_at_times_is_unpacked_into",
    ),
    tested(
        "T08", "Nothing of a container runs with the machine's rights: no program of its is needed to copy or to list.",
        f"{FILES}::test_nothing_waits_for_what_never_answers",
        f"{KERNEL}/test_top.py::test_one_line_each_whatever_its_name",
    ),
    # The moment of start and of exec
    tested(
        "T09", "The program of the monitor cannot be got hold of or overwritten.",
        f"{KERNEL}/test_attack.py::test_the_program_of_the_launcher_as_the_containers_own",
        f"{KERNEL}/test_attack.py::test_the_monitors_program_cannot_be_written",
        f"{KERNEL}/test_attack.py::test_nobody_gets_hold_of_the_program_of_what_is_starting",
        f"{EXEC}::test_the_monitors_program_as_its_own",
        f"{EXEC}::test_root_inside_gets_hold_of_nothing_of_it",
    ),
    tested(
        "T10", "A program has three open files, whatever the caller and the monitor have.",
        f"{KERNEL}/test_isolation.py::test_no_descriptors_come_in",
        f"{KERNEL}/test_attack.py::test_many_descriptors_here_are_none_there",
        f"{EXEC}::test_no_descriptors_come_in",
    ),
    tested(
        "T11", "What hides a path is the monitor's own, and hides it still.",
        f"{KERNEL}/test_hidden_paths.py::test_hidden_paths",
        f"{EXEC}::test_what_is_hidden_stays_hidden",
        f"{BETWEEN}::test_mounts_that_hide_stay",
    ),
    tested(
        "T12", "What is written to /proc reaches the container's own procfs, no file of its image.",
        f"{KERNEL}/test_run_options.py::test_kernel_settings",
        f"{KERNEL}/test_isolation.py::test_an_image_whose_folders_are_links",
    ),
    # Rights
    tested(
        "T13", "Eleven capabilities, none of them inheritable, none for who is not root inside.",
        f"{KERNEL}/test_run_rights.py::test_capabilities",
        f"{EXEC}::test_the_same_rights_and_namespaces",
        f"{EXEC}::test_another_user_has_no_capabilities",
    ),
    tested(
        "T14", "The filter lets through what its table says, in every width of an argument, on every architecture.",
        f"{UNIT}/linux/seccomp/test_default.py::test_every_number",
        f"{UNIT}/linux/seccomp/test_compiler.py::test_against_a_plain_reading",
        f"{KERNEL}/test_linux_seccomp.py::test_what_is_refused",
        f"{KERNEL}/test_linux_seccomp.py::test_calls_of_other_architectures_kill",
    ),
    tested(
        "T15", "No two containers share an id, and none has one of the machine's.",
        f"{KERNEL}/test_isolation.py::test_ids_are_nobodys_on_the_machine",
        f"{KERNEL}/test_isolation.py::test_two_containers_do_not_see_each_other",
        f"{UNIT}/store/test_id_ranges.py::test_no_two_overlap_and_the_machines_root_is_in_none",
    ),
    tested(
        "T16", "No device but the usual ones opens.",
        f"{KERNEL}/test_run_rights.py::test_the_devices_that_everybody_has",
        f"{KERNEL}/test_bundle_devices.py::test_without_rules_only_the_usual_ones_are_allowed",
        f"{KERNEL}/test_run_mounts.py::test_devices_in_a_folder_do_not_work",
    ),
    tested(
        "T17", "A user is who the text says, or there is none: no overflow, no number taken for a name.",
        f"{UNIT}/engine/test_users.py::test_what_cannot_be_meant",
        f"{UNIT}/engine/test_users.py::test_any_files_give_ids_or_a_sentence",
        f"{KERNEL}/test_run_options.py::test_users_that_are_none",
    ),
    tested(
        "T18", "Accounts of an image or container that are a trap (a FIFO, a device, a link out, endless) are refused.",
        f"{KERNEL}/test_images.py::test_a_user_of_the_image_whose_passwd_leads_out",
        f"{UNIT}/engine/test_users.py::test_sizes_are_bounded",
        f"{EXEC}::test_accounts_that_are_none",
        f"{ACCOUNTS}::test_they_change_while_exec_looks_the_user_up",
        f"{ACCOUNTS}::test_they_change_while_a_run_looks_the_user_up",
        f"{ACCOUNTS}::test_one_that_is_none_answers_at_once",
        f"{IMAGES}::test_places_that_never_answer",
        f"{IMAGES}::test_accounts_that_are_too_large",
    ),
    tested(
        "T19", "Labels and annotations select nothing.",
        f"{KERNEL}/test_run_options.py::test_labels_and_annotations_change_nothing",
        f"{IMAGES}::test_what_it_says_of_itself_is_data",
        f"{IMAGES}::test_what_cannot_be_meant_is_a_sentence",
        f"{IMAGES}::test_what_means_nothing_does_nothing",
    ),
    tested(
        "T20", "A volume that an image asks for lies inside the container, and so does a part of a volume.",
        f"{KERNEL}/test_volumes_of_images.py::test_it_leads_nowhere_else",
        f"{KERNEL}/test_volumes_of_images.py::test_it_hides_nothing_of_the_kernel_s",
        f"{KERNEL}/test_volumes.py::test_a_part_that_is_a_link_outwards",
        f"{KERNEL}/test_volumes.py::test_a_part_is_looked_up_by_the_plan_again",
        f"{UNIT}/store/test_volume_fill.py::test_nothing_there",
        f"{IMAGES}::test_volumes_lie_inside",
    ),
    tested(
        "T21", "A document of an image means one thing, and has the digest asked for.",
        f"{UNIT}/oci/test_hostile_documents.py::test_a_document_is_refused",
        f"{UNIT}/oci/test_hostile_documents.py::test_manifests_are_refused_or_kept",
        f"{UNIT}/store/test_layers_refused.py::test_another_layer_than_the_image_says",
    ),
    tested(
        "T22", "Credentials go to the registry that they are for, over TLS.",
        f"{UNIT}/registry/test_authorization.py::test_credentials_do_not_follow_to_a_second_origin",
        f"{UNIT}/registry/test_authorization.py::test_a_realm_that_is_sent_nothing",
        f"{UNIT}/registry/test_authorization.py::test_what_is_encrypted_stays_so",
        f"{UNIT}/registry/test_origin.py::test_a_location_is_refused",
    ),
    tested(
        "T23", "The registry bounds what it takes, and deletes what it says.",
        f"{UNIT}/registry/test_server_hostile.py::test_a_manifest_of_100_mb_is_refused_unread",
        f"{UNIT}/registry/test_server_hostile.py::test_no_path_is_read_as_a_name_that_is_none",
    ),
    waits("T24", "A build reads its context and its stages, nothing of the machine.", "kernelbox/build"),
    waits("T25", "Hostile archives as the context of a build change nothing outside of it.", "kernelbox/build"),
    waits("T26", "A request to the API is judged by who sends it, once it was all read.", "kernelbox/api/server.py"),
    tested(
        "T27", "Folders, records and sockets are closed to other users, and who knocks is asked for.",
        f"{KERNEL}/test_isolation.py::test_the_store_is_closed_to_other_users",
        f"{KERNEL}/test_monitor_connections.py::test_somebody_else_is_not_let_to_the_socket",
        f"{KERNEL}/test_monitor_connections.py::test_somebody_else_is_not_listened_to",
        f"{BETWEEN}::test_other_users_of_the_machine_see_nothing",
    ),
    waits("T28", "Networks are apart from each other; what is published is what was asked for.", "kernelbox/network"),
    tested(
        "T29", "Nothing in /proc and /sys that steers or reveals the machine is open.",
        f"{KERNEL}/test_hidden_paths.py::test_hidden_paths",
        f"{KERNEL}/test_hidden_paths.py::test_paths_to_read_only",
        f"{KERNEL}/test_hidden_paths.py::test_sysfs_can_only_be_read",
    ),
    tested(
        "T30", "Nobody inside types into a terminal of the caller's.",
        f"{UNIT}/linux/seccomp/test_default.py::test_terminal_input_of_others",
        f"{KERNEL}/test_isolation.py::test_a_terminal_of_the_caller_is_not_its_own",
        f"{EXEC}::test_a_terminal_is_the_containers_own",
    ),
    tested(
        "T31", "Keys of the caller are not there.",
        f"{KERNEL}/test_isolation.py::test_keys_of_the_caller_are_not_there",
    ),
    tested(
        "T32", "Nothing inside sets what the machine does with a program that crashes.",
        f"{KERNEL}/test_harm.py::test_the_machine_cannot_be_harmed",
    ),
    tested(
        "T33", "Bombs of processes, memory and files end at the limits.",
        f"{KERNEL}/test_limits.py::test_a_fork_bomb",
        f"{KERNEL}/test_limits.py::test_a_memory_hog_is_ended_at_its_limit",
        f"{FAULTS}/test_store.py::test_a_container_fills_the_disk",
        f"{BETWEEN}::test_what_exec_adds_counts_within_the_limits",
    ),
    waits("T34", "A checkpoint that is read in brings no mounts, tags or devices.", "kernelbox/engine/checkpoint.py"),
    tested(
        "T35", "Variables and arguments stay in their container.",
        f"{KERNEL}/test_run_options.py::test_nothing_of_the_callers_environment_comes_in",
        f"{BETWEEN}::test_variables_and_arguments_stay_in_their_container",
    ),
    waits("T36", "Rights over the machine are refused to whoever does not own the store.", "kernelbox/api/server.py"),
    tested(
        "T37", "The usual attempts at harm fail with every set of rights short of the machine's own.",
        f"{KERNEL}/test_harm.py::test_the_machine_cannot_be_harmed",
        f"{KERNEL}/test_harm.py::test_the_attempts_are_such",
    ),
    # Accidents
    tested(
        "T40", "After a kill at any stage nothing is left and nothing is lost.",
        f"{FAULTS}/test_killed.py::test_everybody_is_killed",
    ),
    tested("T41", "A killed engine leaves nothing.", f"{FAULTS}/test_killed.py::test_an_engine_is_killed"),
    tested(
        "T42", "A step that fails, whichever it is, leaves nothing.",
        f"{FAULTS}/test_every_step.py::test_every_kind_of_step_is_made_to_fail",
        f"{FAULTS}/test_steps.py::test_each_step_fails_once",
    ),
    tested(
        "T43", "Containers that are kept outlive a killed monitor, and the next one takes them over.",
        f"{FAULTS}/test_killed.py::test_the_monitor_is_killed",
        f"{BETWEEN}::test_ids_outlive_the_monitor_that_held_them",
    ),
    waits("T44", "What happens while the daemon is down is known when it is up.", "kernelbox/api/server.py"),
    tested(
        "T45", "A record that is out of date is not taken for the process that has its number now.",
        f"{UNIT}/store/test_running.py::test_another_start_and_another_boot_are_other_processes",
        f"{UNIT}/store/test_running.py::test_one_that_has_ended_is_not_alive_even_where_nobody_was_told",
    ),
    tested(
        "T46", "A power cut loses nothing that was reported done.",
        f"{FAULTS}/test_images_durable.py::test_content",
        f"{FAULTS}/test_images_durable.py::test_layers",
        f"{FAULTS}/test_images_durable.py::test_images",
        f"{FAULTS}/test_images_durable.py::test_what_is_removed_is_forgotten_before_it_goes",
    ),
    tested(
        "T47", "A full disk is told, and the store is whole afterwards.",
        f"{FAULTS}/test_store.py::test_the_disk_is_full",
        f"{FAULTS}/test_store.py::test_no_more_files_can_be_made",
    ),
    tested(
        "T48", "Too few processes are told.",
        f"{FAULTS}/test_forks.py::test_a_run",
        f"{FAULTS}/test_forks.py::test_a_start",
        f"{FAULTS}/test_forks.py::test_an_exec",
    ),
    tested(
        "T49", "An end for want of memory is told as such.",
        f"{KERNEL}/test_limits.py::test_a_memory_hog_is_ended_at_its_limit",
    ),
    tested(
        "T50", "Nothing is left after many containers.",
        f"{KERNEL}/test_run_ends.py::test_many_jobs_at_once",
    ),
    tested(
        "T52", "What is mounted in a container's folder is left alone when it goes.",
        f"{UNIT}/store/test_inside.py::test_remove_leaves_what_is_mounted",
        f"{KERNEL}/test_volumes.py::test_something_mounted_in_it_is_left_alone",
        f"{KERNEL}/test_volumes.py::test_what_is_deleted_ends_at_a_mount",
    ),
    tested(
        "T56", "Two engines on one store see each other's containers, and have one monitor.",
        f"{KERNEL}/test_one_monitor.py::test_two_runtime_folders",
        f"{KERNEL}/test_monitor_connections.py::test_eight_processes_start_at_once",
    ),
    tested(
        "T59", "What has no end takes little memory.",
        f"{UNIT}/store/test_log_file.py::test_what_has_no_end_takes_little_memory",
    ),
    tested(
        "T60", "An interrupt, a restart and a kill of the notebook end what it had begun.",
        f"{KERNEL}/test_run_ends.py::test_an_interrupt_ends_everything",
        f"{KERNEL}/test_run_ends.py::test_the_end_of_the_engines_process_ends_everything",
    ),
    # Input made at random
    tested(
        "T61", "Any archive is read, or refused in words.",
        f"{UNIT}/store/test_tar_entries.py::test_any_damage_is_told_in_words",
    ),
    tested(
        "T62", "Any option is a value, or refused in words.",
        f"{UNIT}/engine/test_options.py::test_any_nonsense_is_a_sentence",
    ),
    waits("T63", "Any Dockerfile is read, or refused in words.", "kernelbox/build"),
    tested(
        "T64", "The monitor answers any request, and is the same afterwards.",
        f"{UNIT}/native/test_fuzzed_requests.py::test_plausible_plans",
        f"{UNIT}/native/test_fuzzed_requests.py::test_mutilated_messages",
        f"{UNIT}/native/test_fuzzed_requests.py::test_noise",
    ),
    tested(
        "T65", "Any answer of a registry is taken, or refused in words.",
        f"{UNIT}/registry/test_broken_wire.py::test_a_pull_over_a_wire_that_breaks",
        f"{UNIT}/registry/test_origin.py::test_whatever_a_location_says_it_is_an_address_or_an_error",
        f"{UNIT}/registry/test_authorization.py::test_a_token_server_that_gives_none",
    ),
    tested(
        "T66", "Compressed bytes that swell are refused at a bound.",
        f"{UNIT}/store/test_layer_content.py::test_a_bomb_is_refused_before_it_has_burst",
        f"{UNIT}/store/test_layers_refused.py::test_a_bomb_leaves_nothing",
    ),
    *OWN,
)  # fmt: skip

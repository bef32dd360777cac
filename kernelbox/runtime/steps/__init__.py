"""The steps, by subject: `files` (and control groups), `mounts`, `process`, `ending`; `base.Step` is what each is."""

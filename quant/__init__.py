r"""The library of the recovery suite: everything a script or a notebook would want, without pytest.

Data flows one way, and each arrow is a record on disk::

    matrix -> quantize -> evaluate -> judge -> report
                 \______ store ______/

=====================  =====================================================================
room                   role
=====================  =====================================================================
`records`, `errors`    the nouns and the one error tree that every room shares
`matrix`               TOML in, validated models, formats, tasks, suites and gates out
`models`, `tasks`      a model's or a task's files: found, checked, hashed
`integrity`            what is wrong with a checkpoint's files, found before an engine starts
`inputs`               both for one run, and the keys that follow from them
`hardware`             what this machine is and can serve (capabilities by name)
`environment`          versions that can move a number; the settings of every child process
`store`, `cache`       content-addressed results; the command that looks after them
`stages`               one heavy library each, in a child process
`workers`, `jobs`      a thread a device; the two kinds of work that they take
`pipeline`             what the selected cells need, in the order that keeps devices busy
`stats`, `judge`       pure: numbers -> intervals, records -> verdicts
`report`               verdicts -> terminal table and JSON
=====================  =====================================================================
"""

r"""The library of the recovery suite: everything a script or a notebook would want, without pytest.

Data flows one way, and each arrow is a record on disk::

    matrix -> quantize -> {evaluate, benchmark} -> judge -> report
                 |             |    ^________________|
                 \___ store ___/    more items, until a claim is proven or they are spent

=====================  =====================================================================
room                   role
=====================  =====================================================================
`records`, `errors`    the nouns and the one error tree that every room shares
`scores`               what a task's items scored, and which of them were asked for
`redaction`            tokens and passwords, taken out of whatever is written
`claims`               the nouns of judging: gates, profiles, verdicts
`workloads`            what is served to be measured, and what was measured
`budgets`              the nouns of judging performance
`matrix`, `recipe`     models, formats, tasks, suites; the cells and gates that follow; recipes of llm-compressor
`declared`, `reading`  a matrix file as records; TOML in, a validated matrix out
`added`, `schema`      what a matrix file adds, for people; its shape, for editors
`inputs`               what a run is made of: found, checked and hashed before a stage starts
`hashes`               hashes of files
`hardware`             what this machine is and can serve (capabilities by name)
`environment`          versions that can move a number; the settings of every child process
`store`, `cache`       content-addressed results; the command that looks after them
`series`               scores of one task in the store: a growing head of its random order
`stages`               one heavy library each, in a child process
`workers`, `jobs`      a thread a device; what all kinds of work share:
`quantization`         the job that makes a checkpoint
`evaluation`           the job that scores one, as far as it is asked to
`measurement`          the job that has one and its base take turns at a workload
`pipeline`             what is asked for, made once, in the order that keeps devices busy
`stats`, `judge`       pure: numbers -> intervals, records -> verdicts
`verdicts`             asks the pipeline for items, look by look, until `judge` has settled each claim
`stored`               the verdicts of an earlier run again, from its records
`plan`, `shelf`        what a suite can prove, before anything runs
`cost`, `roofline`     what a measured latency or rate costs, and how far it is from the device's limit
`recommend`            which format to deploy, from the results of runs
`report`               verdicts -> terminal table and JSON
`gate`                 one checkpoint against its base as a command: pytest below, an exit code above
=====================  =====================================================================
"""

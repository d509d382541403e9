r"""The library of the recovery suite: everything a script or a notebook would want, without pytest.

Data flows one way, and each arrow is a record on disk::

    matrix -> quantize -> {evaluate, generate, benchmark} -> judge -> report
                    \______ store (cache) ______/

=================  =========================================================================
room               role
=================  =========================================================================
`records`          the nouns every room shares
`matrix`           TOML in, validated `Model`, `Format`, `Task`, `Suite` out
`models`           a model folder or hub snapshot: found, checked, hashed
`hardware`         what this machine is and can serve (capabilities by name)
`environment`      versions that can move a number; the settings of every child process
`store`            content-addressed results: hash keys, locks, manifest last
`stages`           one heavy library each, one child process each
`pipeline`         orders the stages for the selected cells and remembers through the store
`stats`, `judge`   pure: numbers -> intervals, records -> verdicts
`report`           verdicts -> terminal table and JSON
=================  =========================================================================
"""

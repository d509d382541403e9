"""Statistics of the gate: pure functions of numbers. No item text, no records, no engine, no pytest.

==============  ============================================================================================
module          role
==============  ============================================================================================
`paired`        the front for one cell: scores or counts of two models in, `PairedResult` out
`counts`        0/1 items: exact test of a ratio of paired proportions, one cell or many at once
`tables`        the exact sums behind `counts`, over every table at least as extreme as the observed one
`metric`        metrics in [0, 1]: skewness-corrected t test, with a worst item where few items changed
`pooling`       all tasks of one model x format: stratified test of a ratio of averages
`multiplicity`  a family of cells: Holm, Benjamini-Hochberg
`tasks`         what a pool averages: scores of items, or counts
`strata`        weighted averages over tasks as a stratified sample, for `pooling`
`moments`       sufficient statistics of paired scores, shared by `metric` and `strata`
`inversion`     limits: where a p-value crosses alpha, so that they agree with the verdict
`decision`      p-values -> PASS, FAIL or INCONCLUSIVE
==============  ============================================================================================

The imports go down this table, never up. Every p-value is one-sided; every score and recovery is a fraction.
"""

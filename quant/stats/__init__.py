"""Statistics of the gate: pure functions of numbers. No item text, no records, no engine, no pytest.

==============  ============================================================================================
module          role
==============  ============================================================================================
`paired`        the front for one cell: scores or counts of two models in, `PairedResult` out
`counts`        0/1 items: exact test of a ratio of paired proportions
`metric`        metrics in [0, 1]: skewness-corrected t test, with a worst item where few items changed
`pooling`       all tasks of one model x format: stratified test of a ratio of averages
`multiplicity`  a family of cells: Holm, Benjamini-Hochberg
`strata`        weighted averages over tasks as a stratified sample, for `pooling`
`moments`       sufficient statistics of paired scores, shared by `metric` and `strata`
`decision`      p-values -> PASS, FAIL or INCONCLUSIVE, and limits that agree with it
==============  ============================================================================================

The imports go down this table, never up. Every p-value is one-sided; every score and recovery is a fraction.
"""

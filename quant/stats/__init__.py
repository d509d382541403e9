"""Statistics of the gate: pure functions of numbers. No item text, no records, no engine, no pytest.

================  ==========================================================================================
module            role
================  ==========================================================================================
`paired`          the front for one cell: scores or counts of two models in, `PairedResult` out
`noise`           runs of the base against each other; what they differ by widens a cell's p-values
`noninferiority`  one format against another on the same items, for a cell and for a suite
`power`           planner: items that prove a recovery, what a given number can prove, what a pool lacks
`effect`          what a plan believes of two models: their accuracies, and the share of items that they differ on
`counts`          0/1 items: exact test of a ratio of paired proportions, one cell or many at once
`tables`          the exact sums behind `counts`, over every table at least as extreme as the observed one
`metric`          metrics in [0, 1] and normalised scores: skewness-corrected t test, a worst item where few changed
`pooling`         all tasks of one model x format: stratified test of a ratio of averages
`multiplicity`    a family of cells: Holm, Benjamini-Hochberg
`sequential`      looks at a prefix of the items: bounds that spend alpha, p-values adjusted for the looks
`tasks`           what a pool averages: scores of items, or counts
`strata`          weighted averages over tasks as a stratified sample, for `pooling`
`clusters`        items that share a passage, as one unit a passage
`moments`         sufficient statistics of paired scores, shared by `metric` and `strata`
`inversion`       limits: where a p-value crosses alpha, so that they agree with the verdict
`decision`        p-values -> PASS, FAIL or INCONCLUSIVE
================  ==========================================================================================

The imports go down this table, never up. Every p-value is one-sided; every score and recovery is a fraction.
"""

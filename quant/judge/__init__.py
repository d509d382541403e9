"""Pure judgement: (records, rule) -> `Verdict`. Old results can be judged again without a GPU."""

"""The heavy work, one library a stage, each in a child process of its own.

`protocol` says what parent and child tell each other; `process` is the parent's side, `child` the other one.
A stage module offers `handle(request, tell) -> reply` and imports its heavy library inside it. Stages know nothing of
verdicts or reports; they read files and write files.
"""

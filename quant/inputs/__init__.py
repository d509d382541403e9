"""What a run is made of: found, checked and hashed before a stage starts. Every mistake is an error that says where.

==========================  ================================================================
`run`                       all of it for one run: asked for here, done once
`models`, `tasks`           a model's or a task's files
`calibration`, `resources`  texts that calibrate; what lm-eval's own tasks read from elsewhere
`hub`, `sources`            what lies elsewhere: fetched once, named by its commit
`tensors`, `integrity`      what safetensors files hold; what is wrong with a checkpoint's
`given`                     what somebody else quantized: recognised, and refused if it does not fit its base
`endpoint`                  a server that somebody else runs: how it is asked, whether it can be scored
`memory`, `placement`       whether a model fits, on how many devices, and where it lies while it is quantized
`context`                   how many tokens a model is served with for a task
`keys`                      the keys of results that follow
==========================  ================================================================
"""

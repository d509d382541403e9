"""Run vLLM's command line, also where its CPU build is installed, which has no distribution named `vllm`."""

from quant.stages.engines import name_the_cpu_build

name_the_cpu_build()  # in the processes that vLLM spawns too: they import this file first

if __name__ == "__main__":
    from vllm.entrypoints.cli.main import main

    main()

"""What stored attention states save, and what they cost. Each writes a record to `benchmarks/results`.

`make bench-kv` runs, one after the other:

- `ttft`: the time to a first token on the CPU, from RAM, from disk and without;
- `distance`: how far composed and smaller states are from a full prefill;
- `eviction`: what each policy of eviction saves on a trace;
- `llamacpp`: what a restored slot saves on llama.cpp;
- `remote_order`: what a stable order of memories gains on a server.

`gpu` is `ttft` on a GPU, with models in the shape of Qwen3-8B and 32B; it is run by itself.
"""

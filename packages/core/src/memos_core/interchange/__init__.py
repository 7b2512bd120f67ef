"""The `.memcube` file: a cube written to one file, and read into a store again (docs/formats/memcube.md).

`dump` writes, `load` reads, in each the catalog's part apart from the file's. `manifest` is what a
file says about itself, `archive` the zip and what is refused about one, `lines` the JSON Lines,
`shards` the vectors, `segments` the KV states, `signing` and `sealing` what `cryptography` does.
"""

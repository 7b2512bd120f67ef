"""`python -m memos_core` is `memos`."""

from memos_core.cli import main

if __name__ == "__main__":
    main()

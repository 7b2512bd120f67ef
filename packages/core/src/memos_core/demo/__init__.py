"""The story that `memos demo` tells: `innkeeper.jsonl` is the talk, `questions.json` what is asked of it.

Each line of `innkeeper.jsonl` is one turn (session, speaker, role, text, at). Each question names
the words by which the right turns are known (`expect`), the session of the first of them, and why
it is worth asking (`note`).
"""

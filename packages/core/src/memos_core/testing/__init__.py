"""Conformance kits, a class per seam, and the twins that stand in for the real thing in tests.

A back end subclasses the kit of its seam and gives one fixture. Needs pytest and hypothesis:
`pip install "memos-suite-core[testing]"`.
"""

from memos_core.testing.embedder import EmbedderConformance, HashEmbedder, SemanticEmbedderConformance
from memos_core.testing.engine import EngineConformance, SampledEngineConformance
from memos_core.testing.job_queue import JobDesk, JobQueueConformance
from memos_core.testing.memory_index import InMemoryIndex
from memos_core.testing.memory_queue import InMemoryQueue
from memos_core.testing.rote_teacher import RoteTeacher
from memos_core.testing.scripted_engine import ScriptedEngine
from memos_core.testing.teacher import TeacherConformance
from memos_core.testing.text_index import PersistentTextIndexConformance, TextIndexConformance

__all__ = [
    "EmbedderConformance",
    "EngineConformance",
    "HashEmbedder",
    "InMemoryIndex",
    "InMemoryQueue",
    "JobDesk",
    "JobQueueConformance",
    "PersistentTextIndexConformance",
    "RoteTeacher",
    "SampledEngineConformance",
    "ScriptedEngine",
    "SemanticEmbedderConformance",
    "TeacherConformance",
    "TextIndexConformance",
]

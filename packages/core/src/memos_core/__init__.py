"""MemOS: a memory operating system for agents.

`MemOS.open(folder)` gives a store, `memos.cube(name)` a cube; `AsyncMemOS` is the same, awaited.
Names are imported when they are first asked for, so that `import memos_core` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from memos_core.activation.answer import Stream as Stream
    from memos_core.activation.composed import Composition as Composition
    from memos_core.adapter import Evaluation as Evaluation
    from memos_core.adapter import Recipe as Recipe
    from memos_core.adapter import Thresholds as Thresholds
    from memos_core.aio import AsyncJobs as AsyncJobs
    from memos_core.aio import AsyncMemCube as AsyncMemCube
    from memos_core.aio import AsyncMemOS as AsyncMemOS
    from memos_core.aio_jobs import AsyncWorker as AsyncWorker
    from memos_core.aio_runtime import AsyncRuntime as AsyncRuntime
    from memos_core.aio_runtime import AsyncStream as AsyncStream
    from memos_core.aio_store import AsyncStore as AsyncStore
    from memos_core.aio_views import AsyncComposedCubes as AsyncComposedCubes
    from memos_core.aio_views import AsyncRecords as AsyncRecords
    from memos_core.audit import AuditCheck as AuditCheck
    from memos_core.audit import AuditHead as AuditHead
    from memos_core.audit import AuditLine as AuditLine
    from memos_core.care import Checkup as Checkup
    from memos_core.care import Finding as Finding
    from memos_core.care import Reindexed as Reindexed
    from memos_core.care import Stats as Stats
    from memos_core.care import Upkeep as Upkeep
    from memos_core.composition import ComposedCubes as ComposedCubes
    from memos_core.consolidation import Act as Act
    from memos_core.consolidation import Action as Action
    from memos_core.consolidation import Allowance as Allowance
    from memos_core.consolidation import Consolidating as Consolidating
    from memos_core.consolidation import Consolidation as Consolidation
    from memos_core.consolidation import Undone as Undone
    from memos_core.cube import CubeHeader as CubeHeader
    from memos_core.cube import Grant as Grant
    from memos_core.cube import Group as Group
    from memos_core.cube import Limits as Limits
    from memos_core.cube import Principal as Principal
    from memos_core.cube import Right as Right
    from memos_core.erasure import Erasure as Erasure
    from memos_core.erasure import ErasureCheck as ErasureCheck
    from memos_core.erasure import Residue as Residue
    from memos_core.errors import AlreadyThere as AlreadyThere
    from memos_core.errors import BackendError as BackendError
    from memos_core.errors import BackendUnavailable as BackendUnavailable
    from memos_core.errors import Closed as Closed
    from memos_core.errors import Conflict as Conflict
    from memos_core.errors import Forbidden as Forbidden
    from memos_core.errors import FormatError as FormatError
    from memos_core.errors import IllegalTransition as IllegalTransition
    from memos_core.errors import InvalidInput as InvalidInput
    from memos_core.errors import JobLost as JobLost
    from memos_core.errors import Locked as Locked
    from memos_core.errors import MemOSError as MemOSError
    from memos_core.errors import MigrationNeeded as MigrationNeeded
    from memos_core.errors import NotFound as NotFound
    from memos_core.errors import NothingToTeach as NothingToTeach
    from memos_core.errors import QuotaExceeded as QuotaExceeded
    from memos_core.errors import SecretFound as SecretFound
    from memos_core.errors import UnderWay as UnderWay
    from memos_core.errors import WrongPurpose as WrongPurpose
    from memos_core.extract import ChatExtractor as ChatExtractor
    from memos_core.extract import ChatPhraser as ChatPhraser
    from memos_core.extract import OpenAIExtractor as OpenAIExtractor
    from memos_core.extract import OpenAIPhraser as OpenAIPhraser
    from memos_core.interchange.fates import OnConflict as OnConflict
    from memos_core.interchange.load import inspected as inspected
    from memos_core.interchange.manifest import Bounds as Bounds
    from memos_core.interchange.manifest import Dump as Dump
    from memos_core.interchange.manifest import Load as Load
    from memos_core.interchange.manifest import Manifest as Manifest
    from memos_core.interchange.manifest import Part as Part
    from memos_core.interchange.manifest import Terms as Terms
    from memos_core.interchange.signing import SigningKey as SigningKey
    from memos_core.job import Job as Job
    from memos_core.job import JobState as JobState
    from memos_core.job import Progress as Progress
    from memos_core.job import Schedule as Schedule
    from memos_core.jobs import Jobs as Jobs
    from memos_core.kv import Segment as Segment
    from memos_core.kv import Verified as Verified
    from memos_core.lineage import Kin as Kin
    from memos_core.lineage import Lineage as Lineage
    from memos_core.lineage import Product as Product
    from memos_core.lora import Adapter as Adapter
    from memos_core.lora import Examination as Examination
    from memos_core.memcube import MemCube as MemCube
    from memos_core.memory import Behaviour as Behaviour
    from memos_core.memory import Descriptive as Descriptive
    from memos_core.memory import Governance as Governance
    from memos_core.memory import Header as Header
    from memos_core.memory import Link as Link
    from memos_core.memory import Memory as Memory
    from memos_core.memory import Message as Message
    from memos_core.memory import Relation as Relation
    from memos_core.memory import Revision as Revision
    from memos_core.memory import Source as Source
    from memos_core.memory import State as State
    from memos_core.memory import Trust as Trust
    from memos_core.memory import Visibility as Visibility
    from memos_core.memos import MemOS as MemOS
    from memos_core.opened import Settings as Settings
    from memos_core.overview import CubeView as CubeView
    from memos_core.overview import MoveView as MoveView
    from memos_core.overview import Overview as Overview
    from memos_core.overview import Running as Running
    from memos_core.overview import TierSize as TierSize
    from memos_core.planning import Planned as Planned
    from memos_core.predicting import Predictor as Predictor
    from memos_core.protocols import Extracted as Extracted
    from memos_core.protocols import Passage as Passage
    from memos_core.query import Change as Change
    from memos_core.query import Changes as Changes
    from memos_core.query import Hit as Hit
    from memos_core.query import Recall as Recall
    from memos_core.query import Where as Where
    from memos_core.query import Why as Why
    from memos_core.query import checked_query as checked_query
    from memos_core.reader.exports import Export as Export
    from memos_core.reader.exports import Items as Items
    from memos_core.reader.exports import read_export as read_export
    from memos_core.reader.formats import Conversation as Conversation
    from memos_core.reciting import Claim as Claim
    from memos_core.reciting import Rehearsal as Rehearsal
    from memos_core.record import Entry as Entry
    from memos_core.record import Match as Match
    from memos_core.record import Record as Record
    from memos_core.record import in_words as in_words
    from memos_core.records import Records as Records
    from memos_core.redaction import Redaction as Redaction
    from memos_core.remote_runtime import RemoteRuntime as RemoteRuntime
    from memos_core.reply import Prefix as Prefix
    from memos_core.reply import Reply as Reply
    from memos_core.reply import Reuse as Reuse
    from memos_core.reply import Sampling as Sampling
    from memos_core.runtime import LlamaCppRuntime as LlamaCppRuntime
    from memos_core.runtime import Runtime as Runtime
    from memos_core.scheduler.moves import Move as Move
    from memos_core.scheduler.moves import MoveKind as MoveKind
    from memos_core.scheduler.policies import Policy as Policy
    from memos_core.scheduler.policies import Prices as Prices
    from memos_core.scheduler.policies import by_cost as by_cost
    from memos_core.scheduler.policies import by_label as by_label
    from memos_core.scheduler.stats import Budget as Budget
    from memos_core.scheduler.stats import Cost as Cost
    from memos_core.scheduler.stats import Tier as Tier
    from memos_core.scheduler.work import Work as Work
    from memos_core.scheduler.worker import Worker as Worker
    from memos_core.scheduler.working import WorkingSet as WorkingSet
    from memos_core.segment import EngineIdentity as EngineIdentity
    from memos_core.segment import Origin as Origin
    from memos_core.store import Published as Published
    from memos_core.store import Store as Store
    from memos_core.tiers.lora.curriculum import Syllabus as Syllabus
    from memos_core.timeline import At as At
    from memos_core.timeline import Diff as Diff
    from memos_core.timeline import Gone as Gone
    from memos_core.timeline import Merge as Merge
    from memos_core.timeline import MergeConflict as MergeConflict
    from memos_core.timeline import Moved as Moved
    from memos_core.timeline import Resolution as Resolution
    from memos_core.timeline import Revised as Revised
    from memos_core.timeline import Rollback as Rollback
    from memos_core.timeline import Snapshot as Snapshot
    from memos_core.training import TrainingProgress as TrainingProgress
    from memos_core.vault.tx_load import Import as Import
    from memos_core.wearing import Blend as Blend

__version__ = "0.1.0"

_HOME = {
    "Evaluation": "adapter",
    "Recipe": "adapter",
    "Thresholds": "adapter",
    "NothingToTeach": "errors",
    "UnderWay": "errors",
    "Adapter": "lora",
    "Examination": "lora",
    "Blend": "wearing",
    "Claim": "reciting",
    "Rehearsal": "reciting",
    "Syllabus": "tiers.lora.curriculum",
    "TrainingProgress": "training",
    "Stream": "activation.answer",
    "Composition": "activation.composed",
    "AsyncMemCube": "aio",
    "AsyncMemOS": "aio",
    "AsyncRuntime": "aio_runtime",
    "AsyncStore": "aio_store",
    "AsyncStream": "aio_runtime",
    "AsyncRecords": "aio_views",
    "AuditCheck": "audit",
    "AuditHead": "audit",
    "AuditLine": "audit",
    "Checkup": "care",
    "Finding": "care",
    "Reindexed": "care",
    "Stats": "care",
    "Upkeep": "care",
    "Act": "consolidation",
    "Action": "consolidation",
    "Allowance": "consolidation",
    "Consolidating": "consolidation",
    "Consolidation": "consolidation",
    "Undone": "consolidation",
    "CubeHeader": "cube",
    "Principal": "cube",
    "Right": "cube",
    "Limits": "cube",
    "Group": "cube",
    "Grant": "cube",
    "BackendError": "errors",
    "BackendUnavailable": "errors",
    "Closed": "errors",
    "Conflict": "errors",
    "Forbidden": "errors",
    "FormatError": "errors",
    "IllegalTransition": "errors",
    "InvalidInput": "errors",
    "Locked": "errors",
    "MemOSError": "errors",
    "MigrationNeeded": "errors",
    "NotFound": "errors",
    "Segment": "kv",
    "Verified": "kv",
    "QuotaExceeded": "errors",
    "SecretFound": "errors",
    "WrongPurpose": "errors",
    "Kin": "lineage",
    "Lineage": "lineage",
    "Product": "lineage",
    "MemCube": "memcube",
    "Behaviour": "memory",
    "Descriptive": "memory",
    "Erasure": "erasure",
    "ErasureCheck": "erasure",
    "Residue": "erasure",
    "Governance": "memory",
    "Header": "memory",
    "Link": "memory",
    "Memory": "memory",
    "Message": "memory",
    "Relation": "memory",
    "Revision": "memory",
    "Source": "memory",
    "State": "memory",
    "Trust": "memory",
    "Visibility": "memory",
    "MemOS": "memos",
    "Change": "query",
    "Changes": "query",
    "Hit": "query",
    "Settings": "opened",
    "Recall": "query",
    "Where": "query",
    "Why": "query",
    "checked_query": "query",
    "CubeView": "overview",
    "MoveView": "overview",
    "Overview": "overview",
    "Running": "overview",
    "TierSize": "overview",
    "RemoteRuntime": "remote_runtime",
    "Reply": "reply",
    "Prefix": "reply",
    "Predictor": "predicting",
    "Planned": "planning",
    "Move": "scheduler.moves",
    "MoveKind": "scheduler.moves",
    "Policy": "scheduler.policies",
    "Prices": "scheduler.policies",
    "by_cost": "scheduler.policies",
    "by_label": "scheduler.policies",
    "Budget": "scheduler.stats",
    "Cost": "scheduler.stats",
    "Tier": "scheduler.stats",
    "WorkingSet": "scheduler.working",
    "Reuse": "reply",
    "Sampling": "reply",
    "LlamaCppRuntime": "runtime",
    "Runtime": "runtime",
    "EngineIdentity": "segment",
    "Origin": "segment",
    "Entry": "record",
    "Match": "record",
    "Published": "store",
    "Store": "store",
    "Record": "record",
    "in_words": "record",
    "Export": "reader.exports",
    "Items": "reader.exports",
    "read_export": "reader.exports",
    "Conversation": "reader.formats",
    "Records": "records",
    "AlreadyThere": "errors",
    "OnConflict": "interchange.fates",
    "inspected": "interchange.load",
    "Bounds": "interchange.manifest",
    "Dump": "interchange.manifest",
    "Load": "interchange.manifest",
    "Manifest": "interchange.manifest",
    "Part": "interchange.manifest",
    "Terms": "interchange.manifest",
    "SigningKey": "interchange.signing",
    "Import": "vault.tx_load",
    "Redaction": "redaction",
    "At": "timeline",
    "Diff": "timeline",
    "Gone": "timeline",
    "Merge": "timeline",
    "MergeConflict": "timeline",
    "Moved": "timeline",
    "Resolution": "timeline",
    "Revised": "timeline",
    "Rollback": "timeline",
    "Snapshot": "timeline",
    "ComposedCubes": "composition",
    "AsyncComposedCubes": "aio_views",
    "Job": "job",
    "JobState": "job",
    "Progress": "job",
    "Schedule": "job",
    "Jobs": "jobs",
    "AsyncJobs": "aio",
    "AsyncWorker": "aio_jobs",
    "JobLost": "errors",
    "Worker": "scheduler.worker",
    "Work": "scheduler.work",
    "ChatExtractor": "extract",
    "ChatPhraser": "extract",
    "OpenAIExtractor": "extract",
    "OpenAIPhraser": "extract",
    "Extracted": "protocols",
    "Passage": "protocols",
}

__all__ = [*sorted(_HOME)]  # noqa: PLE0604 - names by construction


def __getattr__(name: str) -> Any:
    """Import a public name from its module (PEP 562)."""
    if name not in _HOME:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value = getattr(import_module(f"{__name__}.{_HOME[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *_HOME})

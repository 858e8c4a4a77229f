# SPDX-License-Identifier: Apache-2.0
"""The parts of the manuals that passages are routed to. The first word of each label differs."""

import re
from typing import NamedTuple


class Label(NamedTuple):
    """chapters: PostgreSQL chapter numbers; pages: a pattern for page ids that also belong."""

    label: str
    description: str
    chapters: tuple = ()
    pages: str = "$^"


LABELS = (
    Label(
        "SQL commands",
        "what one SQL statement does, its clauses and parameters",
        ("SQL Commands",),
        r"sqlite/lang_(?!.*func|expr|naming|comment|keywords|explain|analyze|indexedby)",
    ),
    Label(
        "types and functions",
        "data types, operators and built-in functions",
        ("8", "9", "10"),
        r"sqlite/(datatype3|stricttables|flextypegood|floatingpoint)$|postgresql/datetime-.*"
        r"|sqlite/(lang_(core|agg|date|math)func|windowfunctions|json1|printf)$",
    ),
    Label(
        "indexes",
        "kinds of index, when to use them and how they work inside",
        ("11", "64", "67", "68", "69", "70", "71", "72"),
        r"sqlite/(partialindex|expridx)$",
    ),
    Label(
        "query planning",
        "how statements are planned, estimated, run in parallel and made fast",
        ("14", "15", "32", "62", "75"),
        r"sqlite/(optoverview|queryplanner|queryplanner-ng|eqp|qmplan|np1queryprob"
        r"|lang_(explain|analyze|indexedby))$",
    ),
    Label(
        "access control",
        "who may connect and what they may do: authentication, roles, privileges",
        ("21", "22"),
        r"postgresql/(ddl-priv|ddl-rowsecurity|encryption-options|ssl-tcp|gssapi-enc|ssh-tunnels"
        r"|preventing-server-spoofing|rules-privileges|perm-functions|sepgsql|sslinfo|auth-delay"
        r"|passwordcheck|app-createuser|app-dropuser)$",
    ),
    Label(
        "backup and replication",
        "copies of the data: dumps, archiving, recovery, standby servers, subscriptions",
        ("26", "27", "31", "49", "50", "51", "76"),
        r"postgresql/(app-pgdump|app-pg-dumpall|app-pgrestore|app-pgbasebackup|app-pgreceivewal"
        r"|app-pgrecvlogical|app-pgverifybackup|app-pgrewind|pgarchivecleanup"
        r"|protocol-replication|protocol-logical-replication)$",
    ),
    Label(
        "client libraries",
        "programming interfaces with which an application in C talks to the database",
        ("34", "35", "36"),
        r"sqlite/(c3ref/|cintro$)",
    ),
    Label(
        "procedural languages",
        "functions and triggers written in PL/pgSQL, Perl, Python or Tcl",
        ("42", "43", "44", "45", "46"),
    ),
    Label(
        "file storage",
        "database files, pages, journals and the write-ahead log on disk",
        ("30", "73"),
        r"sqlite/(fileformat2|walformat|wal|atomiccommit|tempfiles|lockingv3|howtocorrupt|psow"
        r"|pgszchng2016|isolation|inmemorydb|onefile|dbstat|intern-v-extern-blob|recovery"
        r"|rowidtable)$",
    ),
    Label(
        "installation",
        "building, installing, setting up, starting and upgrading the software",
        ("16", "17", "18", "19", "33"),
        r"sqlite/(compile|howtocompile|amalgamation|custombuild|getthecode|footprint|mingw)$"
        r"|postgresql/(pgupgrade|app-initdb|app-pg-ctl)$",
    ),
)

# Pages that a human would place under two labels; they serve pre-training only.
AMBIGUOUS = re.compile(
    r"postgresql/(sql-(create|alter|drop)(role|user|group|policy|index|opclass|opfamily|operator"
    r"|accessmethod|type|domain|cast|function|procedure|routine|aggregate|language|publication"
    r"|subscription|eventtrigger|trigger|statistics|tablespace|system|usermapping)"
    r"|sql-(create|alter|drop)-(user-mapping|event-trigger|access-method)"
    r"|sql-alterdefaultprivileges"
    r"|sql-(grant|revoke|reassign-owned|drop-owned|reindex|explain|analyze|do|call|set-role"
    r"|set-session-authorization|altersystem|checkpoint|vacuum|cluster|show|set|reset)"
    r"|libpq-(ssl|threading|pgpass|ldap)"
    r"|functions-(info|admin|trigger|event-triggers|statistics|acl|textsearch)"
    r"|datatype-(oid|pg-lsn|textsearch)|using-explain-x|storage-hot|planner-stats-security)$"
    r"|sqlite/(c3ref/(vtab.*|test.*)|lang_(reindex|createindex|dropindex))$"
)


def label_of(page):
    """The label of a page, or None: outside the task, or ambiguous."""
    if AMBIGUOUS.match(page.page):
        return None
    for label in LABELS:
        if re.match(label.pages, page.page):
            return label.label
    for label in LABELS:
        if page.chapter in label.chapters:
            return label.label
    return None

-- "RCLD": says that a file is a Rollcall directory, so that another program's database is
-- recognised before anything is written to it.
PRAGMA application_id = 1380142148;

-- People. Relations refer to the integer key: millions of pairs of integers fit where pairs of
-- texts would not.
CREATE TABLE users (
    key INTEGER PRIMARY KEY,
    id TEXT NOT NULL UNIQUE,
    name TEXT NOT NULL,
    avatar TEXT NOT NULL,
    -- Relation version.
    relations BIGINT NOT NULL DEFAULT 0,
    -- Last seen in microseconds since 1970: the latest of all classes, 0 for never.
    seen BIGINT NOT NULL DEFAULT 0,
    -- Sixteen moments, one per class, with commas between; NULL while all classes agree on `seen`.
    seen_each TEXT
);

-- Only of those who changed something.
CREATE TABLE preferences (
    person BIGINT NOT NULL PRIMARY KEY REFERENCES users (key) ON DELETE CASCADE,
    visibility TEXT NOT NULL,
    activity TEXT NOT NULL,
    project TEXT NOT NULL,
    language TEXT NOT NULL,
    -- One pattern a line.
    hidden_projects TEXT NOT NULL
) WITHOUT ROWID;

-- Numbers ties in the order they are made: `made` below. The newest tie has the highest.
CREATE TABLE tie_counter (
    last BIGINT NOT NULL
);

INSERT INTO tie_counter (last) VALUES (0);

CREATE TABLE follows (
    follower BIGINT NOT NULL REFERENCES users (key) ON DELETE CASCADE,
    followee BIGINT NOT NULL REFERENCES users (key) ON DELETE CASCADE,
    made BIGINT NOT NULL,
    PRIMARY KEY (follower, followee)
) WITHOUT ROWID;

-- The newest followers of someone with a million of them are found without reading the rest.
CREATE INDEX follows_by_followee ON follows (followee, made, follower);

-- A connection is two rows, one for each direction, with the same number.
CREATE TABLE connections (
    one BIGINT NOT NULL REFERENCES users (key) ON DELETE CASCADE,
    other BIGINT NOT NULL REFERENCES users (key) ON DELETE CASCADE,
    made BIGINT NOT NULL,
    PRIMARY KEY (one, other)
) WITHOUT ROWID;

CREATE INDEX connections_by_other ON connections (other, one);

CREATE TABLE pins (
    pinner BIGINT NOT NULL REFERENCES users (key) ON DELETE CASCADE,
    pinned BIGINT NOT NULL REFERENCES users (key) ON DELETE CASCADE,
    made BIGINT NOT NULL,
    PRIMARY KEY (pinner, pinned)
) WITHOUT ROWID;

CREATE INDEX pins_by_pinned ON pins (pinned, pinner);

-- A block keeps what the blocked knew of the blocker when it was made: the numbers of the blocker's
-- follow and of the connection, NULL where there was none. The blocked goes on seeing these.
CREATE TABLE blocks (
    blocker BIGINT NOT NULL REFERENCES users (key) ON DELETE CASCADE,
    blocked BIGINT NOT NULL REFERENCES users (key) ON DELETE CASCADE,
    followed BIGINT,
    connected BIGINT,
    PRIMARY KEY (blocker, blocked)
) WITHOUT ROWID;

CREATE INDEX blocks_by_blocked ON blocks (blocked, blocker);

-- What a watcher had seen of a subject when the relation between the two last changed; absent for
-- nearly every pair.
CREATE TABLE sights (
    watcher BIGINT NOT NULL REFERENCES users (key) ON DELETE CASCADE,
    subject BIGINT NOT NULL REFERENCES users (key) ON DELETE CASCADE,
    changed BIGINT NOT NULL,
    seen BIGINT NOT NULL,
    since BIGINT NOT NULL,
    PRIMARY KEY (watcher, subject)
) WITHOUT ROWID;

CREATE INDEX sights_by_subject ON sights (subject, watcher);

-- Optional indexes for dbproxy. A stock TeamTalk database works without them; they are for big installations.
--
--   mariadb teamtalk < conf/indexes.sql
--
-- Each is made online (reading and writing go on), helps as soon as it is there, needs no restart and no change of the configuration, and
-- changes no answer. The C++ daemon does not mind them. One that exists already gives error 1061 ("Duplicate key name"), which is harmless.
-- On master and slaves: whoever replicates gets them by replication.
--
-- What is said about rows was counted with the server's Handler_read counters: "scripts/bench growth", with and without
-- "--indexes conf/indexes.sql".

-- All users, with a time (0x0208): "where updated >= T order by id". Every client asks that after its login. Without the index the server
-- reads all of IMUser each time, however few have changed: 100,001 rows with 100,000 users; with it, only those that changed.
-- Costs: one more entry to write when somebody changes their sign info or push shield, which is rare.
-- Away again: ALTER TABLE IMUser DROP INDEX idx_updated;
ALTER TABLE `IMUser` ADD INDEX `idx_updated` (`updated`), ALGORITHM=INPLACE, LOCK=NONE;

-- Recent sessions (0x0201): "where userId in (U, ...) and status = 0 and updated > T". The stock index has peerId before updated, so the server
-- reads all sessions that the users have ever had, removed ones included. With the index it reads only visible ones that changed after T,
-- which is what a client asks that has been there before. It matters only for users with thousands of sessions.
-- Costs: every message moves two entries of this index (and of idx_userId_peerId_status_updated already), so it makes storing a little
-- dearer. Measure before you keep it.
-- Away again: ALTER TABLE IMRecentSession DROP INDEX idx_userId_status_updated;
ALTER TABLE `IMRecentSession` ADD INDEX `idx_userId_status_updated` (`userId`, `status`, `updated`), ALGORITHM=INPLACE, LOCK=NONE;

-- The background sync, every SyncInterval (5 s) in each proxy: "where status = 0 and lastChated >= T". Without the index it reads all of
-- IMGroup: 20,001 rows (12 ms) with 20,000 groups; with it, only the groups in which somebody wrote.
-- Costs: a group message moves one entry. Worth it from some ten thousand groups on.
-- Away again: ALTER TABLE IMGroup DROP INDEX idx_lastChated;
ALTER TABLE `IMGroup` ADD INDEX `idx_lastChated` (`lastChated`), ALGORITHM=INPLACE, LOCK=NONE;

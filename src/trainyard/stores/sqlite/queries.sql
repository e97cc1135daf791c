-- Every fixed statement of the store, by name. Searches are put together in search.py.

-- name: find_place
SELECT id FROM place WHERE project = ? AND location = ? AND collection = ?

-- name: add_place
INSERT INTO place (project, location, collection, internal) VALUES (?, ?, ?, ?)

-- name: place_of
SELECT project, location, collection FROM place WHERE id = ?

-- name: places_of_project
SELECT id FROM place WHERE project = ? AND NOT internal

-- name: scopes_of_kind
SELECT project, location FROM place WHERE collection = ? ORDER BY project, location

-- name: newest_of_place
SELECT id FROM job INDEXED BY job_by_place WHERE place = ? AND id < ? ORDER BY id DESC LIMIT ?

-- name: get_job
SELECT job.place, job.state, job.display_name, job.create_time_us, job.update_time_us, job.start_time_us,
       job.end_time_us, job.revision, job.id,
       d.priority, d.intent, d.intent_by, d.intent_time_us, d.attempt, d.run_id, d.waits_for, d.memo,
       d.error_code, d.error_message, b.spec, b.labels, d.parent, d.stage, d.number
FROM job CROSS JOIN job_detail AS d ON d.id = job.id CROSS JOIN job_body AS b ON b.id = job.id
WHERE job.id = ?

-- name: get_jobs
SELECT job.place, job.state, job.display_name, job.create_time_us, job.update_time_us, job.start_time_us,
       job.end_time_us, job.revision, job.id,
       d.priority, d.intent, d.intent_by, d.intent_time_us, d.attempt, d.run_id, d.waits_for, d.memo,
       d.error_code, d.error_message, b.spec, b.labels, d.parent, d.stage, d.number
FROM json_each(?) AS wanted CROSS JOIN job ON job.id = wanted.value
CROSS JOIN job_detail AS d ON d.id = job.id CROSS JOIN job_body AS b ON b.id = job.id
ORDER BY wanted.key

-- name: live_jobs
SELECT job.place, job.state, job.display_name, job.create_time_us, job.update_time_us, job.start_time_us,
       job.end_time_us, job.revision, job.id,
       d.priority, d.intent, d.intent_by, d.intent_time_us, d.attempt, d.run_id, d.waits_for, d.memo,
       d.error_code, d.error_message, b.spec, b.labels, d.parent, d.stage, d.number
FROM job INDEXED BY job_live CROSS JOIN job_detail AS d ON d.id = job.id CROSS JOIN job_body AS b ON b.id = job.id
WHERE job.state IN (1, 2, 3, 6) ORDER BY job.id

-- name: live_runs
SELECT job.place, job.state, job.display_name, job.create_time_us, job.update_time_us, job.start_time_us,
       job.end_time_us, job.revision, job.id,
       d.priority, d.intent, d.intent_by, d.intent_time_us, d.attempt, d.run_id, d.waits_for, d.memo,
       d.error_code, d.error_message, b.spec, b.labels, d.parent, d.stage, d.number
FROM place CROSS JOIN job INDEXED BY job_by_state ON job.place = place.id AND job.state IN (2, 3, 6)
CROSS JOIN job_detail AS d ON d.id = job.id CROSS JOIN job_body AS b ON b.id = job.id
ORDER BY job.id

-- name: census
SELECT job.id, job.revision, job.state, d.priority
FROM job INDEXED BY job_live CROSS JOIN job_detail AS d ON d.id = job.id
WHERE job.state IN (1, 2, 3, 6) AND job.id > ? ORDER BY job.id LIMIT ?

-- name: place_of_job
SELECT place FROM job WHERE id = ?

-- name: add_job
INSERT INTO job (id, place, state, display_name, create_time_us, update_time_us, start_time_us, end_time_us, revision)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: add_detail
INSERT INTO job_detail (id, priority, intent, intent_by, intent_time_us, attempt, run_id, waits_for, memo,
                        error_code, error_message, parent, stage, number)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: add_body
INSERT INTO job_body (id, spec, labels) VALUES (?, ?, ?)

-- name: add_label
INSERT INTO label (place, k, v, job) VALUES (?, ?, ?, ?)

-- name: advance_job
UPDATE job SET state = ?, update_time_us = ?, start_time_us = ?, end_time_us = ?, revision = revision + 1
WHERE id = ? AND revision = ?

-- name: revision_of_job
SELECT revision FROM job WHERE id = ?

-- name: advance_detail
UPDATE job_detail SET attempt = ?, run_id = ?, waits_for = ?, memo = ?, error_code = ?, error_message = ? WHERE id = ?

-- name: touch_job
UPDATE job SET revision = revision + 1 WHERE id = ?

-- name: touch_sealed
UPDATE job SET revision = revision + 1
WHERE id IN (SELECT value FROM json_each(?1) UNION ALL
             SELECT d.id FROM json_each(?1) AS owner CROSS JOIN job_detail AS d ON d.parent = owner.value)
RETURNING id

-- name: set_intent
UPDATE job_detail SET intent = ?, intent_by = ?, intent_time_us = ? WHERE id = ?

-- name: add_change
INSERT INTO history (job, seq, time_us, source, target, attempt, why)
VALUES (?1, (SELECT coalesce(max(seq), 0) + 1 FROM history WHERE job = ?1), ?2, ?3, ?4, ?5, ?6)

-- name: add_first_change
INSERT INTO history (job, seq, time_us, source, target, attempt, why) VALUES (?, 1, ?, ?, ?, ?, ?)

-- name: add_numbered_note
INSERT INTO note (job, seq, time_us, severity, text) VALUES (?, ?, ?, ?, ?)

-- name: add_note
INSERT INTO note (job, seq, time_us, severity, text)
VALUES (?1, (SELECT coalesce(max(seq), 0) + 1 FROM note WHERE job = ?1), ?2, ?3, ?4)

-- name: add_record
INSERT OR IGNORE INTO replica_record (job, seq, attempt, replica, incarnation, cause, code, signal, message, last_lines,
                                      started_us, ended_us, peak_memory_bytes, cpu_seconds, internal)
VALUES (?1, (SELECT coalesce(max(seq), 0) + 1 FROM replica_record WHERE job = ?1),
        ?2, ?3, ?4, ?5, ?6, ?7, ?8, ?9, ?10, ?11, ?12, ?13, ?14)

-- name: history
SELECT time_us, source, target, attempt, why FROM history WHERE job = ? ORDER BY seq

-- name: changes_of_jobs
SELECT h.job, h.time_us, h.source, h.target, h.attempt, h.why
FROM json_each(?) AS wanted CROSS JOIN history AS h ON h.job = wanted.value
ORDER BY wanted.key, h.seq

-- name: records_of_jobs
SELECT r.job, r.attempt, r.replica, r.incarnation, r.cause, r.code, r.signal, r.message, r.last_lines, r.started_us,
       r.ended_us, r.peak_memory_bytes, r.cpu_seconds, r.internal
FROM json_each(?) AS wanted CROSS JOIN replica_record AS r ON r.job = wanted.value
ORDER BY wanted.key, r.seq

-- name: narration
SELECT seq, time_us, severity, text FROM note WHERE job = ? AND seq > ? ORDER BY seq

-- name: records
SELECT attempt, replica, incarnation, cause, code, signal, message, last_lines, started_us, ended_us,
       peak_memory_bytes, cpu_seconds, internal
FROM replica_record WHERE job = ? ORDER BY seq

-- name: delete_job
DELETE FROM job WHERE id = ?

-- name: delete_detail
DELETE FROM job_detail WHERE id = ?

-- name: delete_body
DELETE FROM job_body WHERE id = ?

-- name: delete_labels
DELETE FROM label WHERE (place, k, v, job) IN (SELECT place, k, v, job FROM label WHERE job = ?)

-- name: delete_history
DELETE FROM history WHERE job = ?

-- name: delete_notes
DELETE FROM note WHERE job = ?

-- name: delete_records
DELETE FROM replica_record WHERE job = ?

-- name: add_operation
INSERT INTO operation (id, project, location, collection, job, api_version, kind, create_time_us, update_time_us, done)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: get_operation
SELECT id, project, location, collection, job, api_version, kind, create_time_us, update_time_us, done
FROM operation WHERE id = ?

-- name: operations_of_job
SELECT id, project, location, collection, job, api_version, kind, create_time_us, update_time_us, done
FROM operation WHERE job = ? AND project = ? AND location = ? AND collection = ? AND id < ?
ORDER BY id DESC LIMIT ?

-- name: operations_of_scope
SELECT id, project, location, collection, job, api_version, kind, create_time_us, update_time_us, done
FROM operation WHERE project = ? AND location = ? AND id < ?
ORDER BY id DESC LIMIT ?

-- name: delete_operation
DELETE FROM operation WHERE id = ?

-- name: add_removal
INSERT OR IGNORE INTO removal (job) VALUES (?)

-- name: removals
SELECT job FROM removal ORDER BY job

-- name: delete_removal
DELETE FROM removal WHERE job = ?

-- name: tallies
SELECT name, value FROM tally

-- name: raise_tally
UPDATE tally SET value = max(value, ?) WHERE name = ?

-- name: largest_id
SELECT max(coalesce((SELECT max(id) FROM job), 0), coalesce((SELECT max(id) FROM operation), 0),
           coalesce((SELECT max(job) FROM removal), 0), (SELECT value FROM tally WHERE name = 'largest_id'))

-- name: grams_complete
SELECT 1 FROM tally WHERE name = 'grams' AND value = 1

-- name: tell_grams_complete
INSERT OR REPLACE INTO tally (name, value) VALUES ('grams', 1)

-- name: forget_grams
DELETE FROM tally WHERE name = 'grams'

-- name: drop_grams
DROP TABLE IF EXISTS name_gram

-- name: create_grams
CREATE VIRTUAL TABLE name_gram
USING fts5(name, content = '', detail = none, columnsize = 0, tokenize = 'trigram case_sensitive 1')

-- name: fill_grams
INSERT INTO name_gram (rowid, name) SELECT id, replace(display_name, char(0), char(65533)) FROM job ORDER BY id

-- name: add_gram
INSERT INTO name_gram (rowid, name) VALUES (?, ?)

-- name: delete_gram
INSERT INTO name_gram (name_gram, rowid, name) VALUES ('delete', ?, ?)

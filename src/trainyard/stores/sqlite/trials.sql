-- What concerns searches and their trials, by name.

-- name: put_trial
INSERT OR REPLACE INTO trial (parent, stage, number, point, state, asked_after, ended_as, metrics, step_count,
                              reported_us, start_time_us, end_time_us, why, origin, ending)
VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)

-- name: trial_history
SELECT stage, number, point, state, asked_after, ended_as, metrics, step_count, reported_us, start_time_us,
       end_time_us, why, origin, ending
FROM trial WHERE parent = ? ORDER BY stage, number

-- name: open_trials
SELECT t.stage, t.number, t.point, t.state, t.asked_after, t.ended_as, t.metrics, t.step_count, t.reported_us,
       t.start_time_us, t.end_time_us, t.why, t.origin, t.ending,
       d.id, job.state, job.start_time_us, job.end_time_us, d.error_message,
       (SELECT r.text FROM report AS r WHERE r.job = d.id AND r.attempt = d.attempt ORDER BY r.replica LIMIT 1),
       c.claimed_us, c.told_us, c.report, c.infeasible
FROM trial AS t INDEXED BY trial_open
LEFT JOIN job_detail AS d ON d.parent = t.parent AND d.stage = t.stage AND d.number = t.number
LEFT JOIN job ON job.id = d.id
LEFT JOIN claim AS c ON c.parent = t.parent AND t.stage = 'search' AND c.number = t.number
WHERE t.parent = ? AND t.ended_as IS NULL ORDER BY t.stage, t.number

-- name: run_of_search
SELECT id FROM job_detail WHERE parent = ? AND stage = 'search' AND number = ?

-- name: run_of_train
SELECT d.id FROM trial AS t CROSS JOIN job_detail AS d ON d.parent = t.parent AND d.stage = t.stage AND d.number = t.number
WHERE t.parent = ? AND t.stage = 'train' AND t.origin = ?

-- name: runs_after
SELECT d.id, d.stage, d.number, job.state
FROM job_detail AS d INDEXED BY job_runs CROSS JOIN job ON job.id = d.id
WHERE d.parent = ? AND d.id > ? ORDER BY d.id LIMIT ?

-- name: copy_past
INSERT INTO trial (parent, stage, number, point, state, asked_after, ended_as, metrics, step_count, reported_us,
                   start_time_us, end_time_us, why, origin, ending)
SELECT ?, 'past', number, point, state, asked_after, ended_as, metrics, step_count, reported_us, start_time_us,
       end_time_us, why, origin, ending
FROM trial WHERE parent = ? AND stage = 'search' AND ended_as IS NOT NULL

-- name: put_report
INSERT OR REPLACE INTO report (job, replica, attempt, text) VALUES (?, ?, ?, ?)

-- name: take_report
DELETE FROM report WHERE job = (SELECT id FROM job_detail WHERE parent = ? AND stage = ? AND number = ?)

-- name: end_run
UPDATE job_detail SET intent = 'cancel', intent_by = ?, intent_time_us = ? WHERE id = ? AND intent <> 'cancel'

-- name: has_runs
SELECT 1 FROM job_detail WHERE parent = ? LIMIT 1

-- name: largest_run
SELECT max(id) FROM job_detail WHERE parent = ?

-- name: add_removals_of_runs
INSERT OR IGNORE INTO removal (job) SELECT id FROM job_detail WHERE parent = ?

-- name: delete_runs_job
DELETE FROM job WHERE id IN (SELECT id FROM job_detail WHERE parent = ?)

-- name: delete_runs_body
DELETE FROM job_body WHERE id IN (SELECT id FROM job_detail WHERE parent = ?)

-- name: delete_runs_history
DELETE FROM history WHERE job IN (SELECT id FROM job_detail WHERE parent = ?)

-- name: delete_runs_note
DELETE FROM note WHERE job IN (SELECT id FROM job_detail WHERE parent = ?)

-- name: delete_runs_record
DELETE FROM replica_record WHERE job IN (SELECT id FROM job_detail WHERE parent = ?)

-- name: delete_runs_report
DELETE FROM report WHERE job IN (SELECT id FROM job_detail WHERE parent = ?)

-- name: delete_runs_detail
DELETE FROM job_detail WHERE parent = ?

-- name: delete_trials
DELETE FROM trial WHERE parent = ?

-- name: claimable
SELECT t.stage, t.number, t.point, t.state, t.asked_after, t.ended_as, t.metrics, t.step_count, t.reported_us,
       t.start_time_us, t.end_time_us, t.why, t.origin, t.ending
FROM trial AS t INDEXED BY trial_open
LEFT JOIN claim AS c ON c.parent = t.parent AND c.number = t.number
WHERE t.parent = ?1 AND t.stage = 'search' AND t.ended_as IS NULL AND c.told_us IS NULL
  AND (CASE WHEN c.worker IS NULL THEN NOT ?4 ELSE c.worker = ?2 OR c.heard_us < ?3 END)
ORDER BY c.worker IS NOT ?2, t.number LIMIT 1

-- name: put_claim
INSERT INTO claim (parent, number, worker, claimed_us, heard_us) VALUES (?1, ?2, ?3, ?4, ?4)
ON CONFLICT (parent, number) DO UPDATE SET
    claimed_us = CASE WHEN worker = ?3 THEN claimed_us ELSE ?4 END, worker = ?3, heard_us = ?4

-- name: get_claim
SELECT worker, told_us FROM claim WHERE parent = ? AND number = ?

-- name: tell_claim
UPDATE claim SET heard_us = ?, told_us = ?, report = ?, infeasible = ? WHERE parent = ? AND number = ?

-- name: get_trial
SELECT stage, number, point, state, asked_after, ended_as, metrics, step_count, reported_us, start_time_us,
       end_time_us, why, origin, ending
FROM trial WHERE parent = ? AND stage = ? AND number = ?

-- name: delete_claims
DELETE FROM claim WHERE parent = ?

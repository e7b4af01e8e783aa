-- Work for sqlite3's allocator: run by stack_judge.
CREATE TABLE t (id INTEGER PRIMARY KEY, name TEXT, value REAL);
CREATE INDEX by_name ON t (name);
WITH RECURSIVE n (i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < 50000)
INSERT INTO t SELECT i, printf('name %d of some length %s', i * 7919 % 10007, hex(randomblob(20))), i * 1.5 FROM n;
CREATE TRIGGER grow AFTER UPDATE ON t BEGIN INSERT INTO t (name, value) VALUES (upper(new.name), new.value); END;
UPDATE t SET value = value + 1 WHERE id % 50 = 0;
SELECT group_concat(name, ', ') FROM (SELECT name FROM t ORDER BY value DESC LIMIT 5000);
SELECT a.name, count(*), json_group_array(b.value) FROM t a JOIN t b ON a.id = b.id % 1000 GROUP BY a.name ORDER BY 2 LIMIT 100;
WITH RECURSIVE tree (id, path) AS (SELECT 1, 'root' UNION ALL SELECT id * 2, path || '/' || id FROM tree WHERE id < 100000)
SELECT max(length(path)), json_group_object(id, path) FROM tree;
SELECT name, row_number() OVER (PARTITION BY length(name) ORDER BY value) FROM t WHERE name LIKE '%99%';
CREATE VIEW v AS SELECT substr(name, 1, 12) AS head, sum(value) AS s FROM t GROUP BY 1;
SELECT v.head, (SELECT count(*) FROM t WHERE name LIKE v.head || '%') FROM v LIMIT 300;
DELETE FROM t WHERE id % 3 = 0;
VACUUM;

SELECT relname, bound[1]::timestamptz, bound[2]::timestamptz
FROM (
    SELECT c.relname, regexp_match(pg_get_expr(c.relpartbound, c.oid), 'FROM \(''([^'']+)''\) TO \(''([^'']+)''\)') AS bound
    FROM pg_inherits AS i JOIN pg_class AS c ON c.oid = i.inhrelid
    WHERE i.inhparent = to_regclass($1)
) AS p
WHERE bound IS NOT NULL
ORDER BY 2

// Package migrations holds the SQL that makes Attune's schema, one numbered file a step, in goose's format.
// A file that has been released is never changed again: pkg/database applies what a database lacks, in order.
package migrations

import "embed"

// FS holds the .sql files.
//
//go:embed *.sql
var FS embed.FS

// Package schema checks values against JSON Schemas that packs and their users wrote.
//
// Every fault of a value is reported at once, each with its path, and no message repeats the value, because
// it may be a secret. Whole numbers are compared exactly at any size. A schema never makes Attune read a file
// or open a connection: a $ref that leaves the schema is refused. Draft 2020-12 unless $schema says otherwise;
// formats are checked.
package schema

// Package audit is the record of who changed what: a table to which rows are only added, each with a hash of its content
// and of the row before it.
//
// It guarantees that rows are numbered from 1 without a gap, one after the other over all processes, and that Verify
// finds any row that was changed, removed, added between others or put in another place by somebody who can write to
// the database but cannot make the hashes of all rows after it anew. Whoever can do that, or cuts off the end, is found
// by comparing with a head that was kept elsewhere: Anchor keeps the newest in a bucket on the bus, and an operator may
// note one. The table refuses UPDATE, DELETE and TRUNCATE; its owner can take that away, which is what the hashes are
// for.
//
// A change that is recorded before it is made has two rows: "begun", without which it is not made, and its outcome.
package audit

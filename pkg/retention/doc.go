// Package retention removes logs that no policy keeps, and in the end what history knows of their executions.
//
// A plan is made from PostgreSQL, page by page: which logs are the oldest beyond an age, a count or a size, of each
// action and of all. Applying it removes a log from the store and then marks its row; a sweep that is killed anywhere
// is completed by the next, since what is not marked is planned again and removing what is gone is no error. A dry run
// is the same plan, not applied.
//
// Guarantees: nothing is touched of an execution that has not ended, nor of one whose log may still have to be
// completed. A row of history outlives its log. Memory is bounded by the number of actions, not of executions.
package retention

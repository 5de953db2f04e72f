// Package warm keeps processes waiting for executions that may come.
//
// A Pool has so many processes wait for an action as the action declares, and some for actions that were started often
// of late, as long as all that wait stay below a budget of memory. It guarantees:
//
//   - A process is given out once at most, and only for the version of the pack that it was started from.
//   - Those that wait are replaced when they are taken, when they have waited for long, and when they have ended by
//     themselves: then after pauses that grow.
//   - No more than AtOnce are being started at a time, and none while executions are being started, but for one each
//     second should that never end.
//   - What waits for a version that is no longer in service is ended.
//   - When Run returns nothing waits any more.
//
// What a process is, it does not know: it is tested with processes that are none, in time that is none.
package warm

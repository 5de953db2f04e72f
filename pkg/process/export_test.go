package process

// RoomUses is how many programs have a room one after the other.
const RoomUses = roomUses

// Untrace has programs be started as where none may be traced.
func Untrace() { untraced.Store(true) }

// AwaitEnd is for tests.
var AwaitEnd = awaitEnd

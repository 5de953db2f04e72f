package process

// RoomUses is how many programs have a room one after the other.
const RoomUses = roomUses

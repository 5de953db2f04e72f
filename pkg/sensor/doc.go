// Package sensor runs the sensors of packs: programs in any language that watch something and write an event to
// their standard output, as one JSON object in a line, for each thing that happens.
//
// A Host competes with the other hosts for every sensor whose triggers an enabled rule uses. It guarantees:
//
//   - One copy of a sensor runs over all hosts. The entry of a sensor in the bucket SENSORS names its owner and is
//     changed by compare-and-set; an owner is believed for as long as its lease in LEASES lives. A host has one lease
//     for all its sensors, so any number of sensors costs the bus one renewal a second and host.
//   - A host that cannot renew its lease kills its sensors a quarter of the lease's time before another host may
//     begin. When the host's process dies, by whatever signal, a guard kills them within milliseconds.
//   - What a sensor wrote is published in the order in which it was written, with bounded memory and a bounded rate.
//     While the bus is slow or away the pipe fills and the sensor waits. A sensor that is stopped is asked first, and
//     what it wrote until its end is published before another copy of it is started.
//   - A line that is no event is counted, noted in the sensor's log, and harms nothing.
//   - A sensor that ends is started again, ever less often, and its state says why it ended.
//
// An event with an id of the sensor's own is one event however often it is published, so nothing is lost by
// publishing again what may have been published before.
package sensor

// Package secret keeps secrets and hands them to the executions that may have them.
//
// At rest a value is sealed with XChaCha20-Poly1305 under a data key of its own, which is sealed under a key
// that lives in a file outside the database; name, version and key are bound to both, so that nothing opens in
// another's place. Without that file, or with another, the store does not open: there is no way to go on in
// the clear.
//
// In motion a value is sealed to the curve key of the runner that runs the execution, as the last fact and
// that runner's heartbeat name it. Who asks does not matter, since nobody else can open the answer; it is given
// only while the execution runs at that attempt, and only for names that its action declared.
//
// No error, log line or type of this package shows a value.
package secret

// Package postgres runs a private PostgreSQL: it finds the installed binaries (or obtains them), makes a
// database cluster in a folder of its own, starts it and keeps it running until it is told to stop.
//
// It guarantees that the server listens on a unix socket in a closed folder and nowhere else, that it never
// runs as root, that it does not outlive the process that started it (not even after kill -9), that one
// which did is stopped before another is started on the same data, and that data once made is never
// replaced by an empty database: a folder that cannot be used is an error that says why.
package postgres

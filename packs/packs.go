// Package packs holds the packs that ship with Attune: core, http and shell, and one for each sensor that is part of
// the program: files, httppoll, nats, postgres and syslog, which rest until a rule uses their triggers.
//
// Every installation has them, and they are installed the way any other pack is. An embedded file has lost its
// executable bit, so none of their programs needs one. Beside them stand examples, for people and for tests;
// those are not embedded.
package packs

import "embed"

// FS holds the shipped packs, each in the folder of its name.
//
//go:embed core http shell files httppoll nats postgres syslog
var FS embed.FS

// Shipped lists the packs of FS in the order of their installation.
func Shipped() []string {
	return []string{"core", "http", "shell", "files", "httppoll", "nats", "postgres", "syslog"}
}

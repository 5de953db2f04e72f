package streams

import "fmt"

// Version is the version of every message of this package. A reader refuses a higher one.
const Version = 1

// CheckParsed gives the error of parsing a message: err, or that its version is not known here.
func CheckParsed(what string, version int, err error) error {
	if err == nil && (version < 1 || version > Version) {
		err = fmt.Errorf("version %d is not known", version)
	}
	if err != nil {
		return fmt.Errorf("parse %s: %w", what, err)
	}
	return nil
}

package history

import (
	"strings"
	"time"
	"unicode/utf8"

	"github.com/jackc/pgx/v5/pgtype"
)

// clean gives text that PostgreSQL takes: it refuses NUL and what is not UTF-8.
func clean(s string) string {
	if utf8.ValidString(s) && !strings.Contains(s, "\x00") {
		return s
	}
	return strings.ReplaceAll(strings.ToValidUTF8(s, "\uFFFD"), "\x00", "\uFFFD")
}

// document gives a JSON value as text, or NULL for none. A NUL cannot be in valid JSON; invalid UTF-8 can.
func document(raw []byte) pgtype.Text { return text(string(raw)) }

// bounded gives the first bytes of what is kept only for people to look at.
func bounded(data []byte) []byte {
	const most = 64 << 10
	return append([]byte{}, data[:min(len(data), most)]...)
}

// micro gives a time with the database's precision, so that comparing here and there agree.
func micro(t time.Time) time.Time { return t.UTC().Truncate(time.Microsecond) }

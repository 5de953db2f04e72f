package history

import (
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"time"

	"github.com/google/uuid"
)

// cursor is the place of the last row of a page in the order (time, id), newest first. Times have the
// database's precision of a microsecond.
type cursor struct {
	at time.Time
	id string
}

// cursorVersion begins every cursor, so that an older one can be told from damage.
const cursorVersion = 1

const cursorSize = 1 + 8 + 16

func (c cursor) encode() (string, error) {
	id, err := uuid.Parse(c.id)
	if err != nil {
		return "", fmt.Errorf("cursor at %q: %w", c.id, err)
	}
	b := make([]byte, 0, cursorSize)
	b = append(b, cursorVersion)
	b = binary.BigEndian.AppendUint64(b, uint64(c.at.UnixMicro()))
	return base64.RawURLEncoding.EncodeToString(append(b, id[:]...)), nil
}

// decodeCursor gives nil for the empty cursor, which means the first page.
func decodeCursor(s string) (*cursor, error) {
	if s == "" {
		return nil, nil //nolint:nilnil // no cursor is a valid place: the beginning
	}
	b, err := base64.RawURLEncoding.DecodeString(s)
	if err != nil || len(b) != cursorSize || b[0] != cursorVersion {
		return nil, fmt.Errorf("%.80q: %w", s, ErrBadCursor)
	}
	at := time.UnixMicro(int64(binary.BigEndian.Uint64(b[1:9]))).UTC()
	if y := at.Year(); y < 1 || y > 9999 {
		return nil, fmt.Errorf("%.80q: %w", s, ErrBadCursor)
	}
	return &cursor{at: at, id: uuid.UUID(b[9:]).String()}, nil
}

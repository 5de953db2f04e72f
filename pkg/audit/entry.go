package audit

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"hash"
	"strconv"
	"strings"
	"time"
)

// Outcome says how an action ended.
type Outcome string

// The outcomes.
const (
	Begun   Outcome = "begun"   // it was about to be done; without a later row of it nobody knows the end
	Done    Outcome = "done"    // it was done
	Refused Outcome = "refused" // who asked may not, or what was asked is not possible
	Failed  Outcome = "failed"  // something went wrong; it may have been done
)

// Entry is what happened.
type Entry struct {
	Actor   string // the principal; "" for one that has not proved who it is
	Address string // where it called from
	Action  string // the operation, as the API names it: "set-secret"
	Kind    string // of the object
	Object  string
	Outcome Outcome
	Detail  string          // the code of a refusal or a failure
	Request string          // the id that the services' logs have
	Of      int64           // the row that said that this was begun; 0 for none
	Before  json.RawMessage // what the object was, without values of secrets; nil for nothing to say
	After   json.RawMessage // what it is now
}

// Row is an entry in its place.
type Row struct {
	Seq int64
	At  time.Time // in microseconds
	Entry
	Prev []byte // the hash of the row before; zeros for the first
	Hash []byte
}

// size is that of a hash, in bytes.
const size = sha256.Size

// seal computes the row's hash. Every field goes in with its length, so that no two rows have the same bytes.
func (r Row) seal() []byte {
	h := sha256.New()
	put(h, []byte("attune audit 1"))
	put(h, binary.BigEndian.AppendUint64(nil, uint64(r.Seq))) //nolint:gosec // positive
	put(h, []byte(r.At.UTC().Format(time.RFC3339Nano)))
	for _, text := range []string{r.Actor, r.Address, r.Action, r.Kind, r.Object, string(r.Outcome), r.Detail, r.Request} {
		put(h, []byte(text))
	}
	put(h, binary.BigEndian.AppendUint64(nil, uint64(r.Of))) //nolint:gosec // not negative
	put(h, r.Before)
	put(h, r.After)
	put(h, r.Prev)
	return h.Sum(nil)
}

func put(h hash.Hash, field []byte) {
	_, _ = h.Write(binary.BigEndian.AppendUint64(nil, uint64(len(field)))) // never fails
	_, _ = h.Write(field)
}

// Head is the newest row, by which all before it can be checked.
type Head struct {
	Seq  int64  `json:"seq"`
	Hash string `json:"hash"` // hexadecimal
}

func (h Head) String() string { return strconv.FormatInt(h.Seq, 10) + ":" + h.Hash }

// ErrHead is returned for a text that is no head.
var ErrHead = errors.New("want SEQ:HASH, as attune audit verify prints it")

// ParseHead reads SEQ:HASH.
func ParseHead(text string) (Head, error) {
	seq, sum, ok := strings.Cut(text, ":")
	n, err := strconv.ParseInt(seq, 10, 64)
	if raw, errHex := hex.DecodeString(sum); !ok || err != nil || errHex != nil || n < 0 || len(raw) != size {
		return Head{}, fmt.Errorf("head %.100q: %w", text, ErrHead)
	}
	return Head{Seq: n, Hash: strings.ToLower(sum)}, nil
}

// head of an audit without a row.
func noHead() Head { return Head{Hash: hex.EncodeToString(make([]byte, size))} }

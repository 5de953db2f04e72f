package secret

import (
	"bytes"
	"strconv"
	"testing"

	"golang.org/x/crypto/chacha20poly1305"
)

// SealFirstForm seals a global secret as migration 0003 had it. It is written out again, so that it cannot change with
// what it is to test.
func SealFirstForm(t testing.TB, key []byte, keyID, name string, version int, value string) (sealed, wrapped []byte) {
	t.Helper()
	do := func(kind string, key, text []byte) []byte {
		aead, err := chacha20poly1305.NewX(key)
		if err != nil {
			t.Fatal(err)
		}
		nonce := bytes.Repeat([]byte{9}, 24)
		with := "attune secret\x00" + kind + "\x00global\x00" + name + "\x00" + strconv.Itoa(version) + "\x00" + keyID
		return aead.Seal(nonce, nonce, text, []byte(with))
	}
	dataKey := bytes.Repeat([]byte{8}, 32)
	return do("value", dataKey, []byte(value)), do("key", key, dataKey)
}

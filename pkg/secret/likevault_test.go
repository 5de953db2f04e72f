package secret_test

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"
	"encoding/base64"
	"encoding/json"
	"fmt"
	"io"
	"log"
	"net/http"
	"strings"
	"sync"
)

var discard = log.New(io.Discard, "", 0)

// likeVault answers for one Transit key as the public documentation says, with real encryption. It stands in for a
// server where a test makes requests that cannot be recorded, since what is sealed is random.
type likeVault struct {
	token string

	mu   sync.Mutex // guards keys
	keys []cipher.AEAD
}

func newLikeVault(token string) *likeVault {
	v := &likeVault{token: token}
	v.rotate()
	return v
}

func (v *likeVault) rotate() {
	raw := make([]byte, 32)
	_, _ = rand.Read(raw) // it never fails
	block, err := aes.NewCipher(raw)
	if err != nil {
		panic(err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		panic(err)
	}
	v.mu.Lock()
	defer v.mu.Unlock()
	v.keys = append(v.keys, aead)
}

func (v *likeVault) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	v.mu.Lock()
	defer v.mu.Unlock()
	var in struct {
		Plaintext  []byte `json:"plaintext"`
		Ciphertext string `json:"ciphertext"`
		With       []byte `json:"associated_data"`
		Version    int    `json:"key_version"`
	}
	if r.Header.Get("X-Vault-Token") != v.token {
		refuse(w, http.StatusForbidden, "permission denied")
		return
	}
	if r.Method == http.MethodPost && json.NewDecoder(r.Body).Decode(&in) != nil {
		refuse(w, http.StatusBadRequest, "error parsing JSON")
		return
	}
	switch path := strings.Split(strings.TrimPrefix(r.URL.Path, "/v1/"), "/"); {
	case len(path) != 3 || path[2] != "k":
		refuse(w, http.StatusNotFound)
	case path[1] == "keys":
		give(w, map[string]any{"type": "aes256-gcm96", "latest_version": len(v.keys), "min_decryption_version": 1, "min_available_version": 0})
	case path[1] == "encrypt" && in.Version >= 1 && in.Version <= len(v.keys):
		nonce := make([]byte, 12)
		_, _ = rand.Read(nonce) // it never fails
		sealed := v.keys[in.Version-1].Seal(nonce, nonce, in.Plaintext, in.With)
		give(w, map[string]any{"ciphertext": fmt.Sprintf("vault:v%d:%s", in.Version, base64.StdEncoding.EncodeToString(sealed))})
	case path[1] == "decrypt":
		v.decrypt(w, in.Ciphertext, in.With)
	default:
		refuse(w, http.StatusBadRequest, "cannot do that")
	}
}

func (v *likeVault) decrypt(w http.ResponseWriter, text string, with []byte) {
	var version int
	var sealed string
	if _, err := fmt.Sscanf(text, "vault:v%d:%s", &version, &sealed); err != nil || version < 1 || version > len(v.keys) {
		refuse(w, http.StatusBadRequest, "invalid ciphertext")
		return
	}
	raw, err := base64.StdEncoding.DecodeString(sealed)
	if err != nil || len(raw) < 12 {
		refuse(w, http.StatusBadRequest, "invalid ciphertext")
		return
	}
	plain, err := v.keys[version-1].Open(nil, raw[:12], raw[12:], with)
	if err != nil {
		refuse(w, http.StatusBadRequest, "cipher: message authentication failed")
		return
	}
	give(w, map[string]any{"plaintext": plain})
}

func give(w http.ResponseWriter, data any) {
	_ = json.NewEncoder(w).Encode(map[string]any{"data": data}) // the client may be gone
}

func refuse(w http.ResponseWriter, status int, says ...string) {
	w.WriteHeader(status)
	_ = json.NewEncoder(w).Encode(map[string]any{"errors": append([]string{}, says...)}) // the client may be gone
}

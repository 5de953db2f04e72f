package local

import (
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
)

// FileName is the file in the data folder that says how to connect. It is there while Attune is ready.
const FileName = "attune.json"

// Announcement is what the file says.
type Announcement struct {
	APIURL    string `json:"api_url"`
	APICA     string `json:"api_ca,omitempty"`   // a file with the API's certificate, when it has one
	APIName   string `json:"api_name,omitempty"` // that the certificate is for
	NATSURL   string `json:"nats_url"`
	NATSCreds string `json:"nats_creds"` // a file
	Token     string `json:"token"`
	PID       int    `json:"pid"`
	Version   string `json:"version"`
}

// Announce says that Attune is ready.
func (f *Folder) Announce(a Announcement) error {
	content, err := json.MarshalIndent(a, "", "  ")
	if err != nil {
		return fmt.Errorf("write %s: %w", FileName, err)
	}
	return f.write(FileName, append(content, '\n'))
}

// Withdraw takes back what was announced.
func (f *Folder) Withdraw() error {
	if err := os.Remove(f.path(FileName)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return fmt.Errorf("withdraw %s: %w", FileName, err)
	}
	return nil
}

// Read reads what the Attune that uses dir announced.
func Read(dir string) (Announcement, error) {
	var a Announcement
	content, err := os.ReadFile(filepath.Join(dir, FileName))
	if err != nil {
		return a, fmt.Errorf("read announcement: %w", err)
	}
	if err := json.Unmarshal(content, &a); err != nil {
		return a, fmt.Errorf("read %s: %w", filepath.Join(dir, FileName), err)
	}
	return a, nil
}

// Token gives the token of the API's administrator: the configured one, or one that is made at the first
// start and then kept, so that scripts go on working after a restart.
func (f *Folder) Token(configured string) (string, error) {
	if configured != "" {
		return configured, nil
	}
	kept, err := os.ReadFile(f.path("token"))
	if err == nil && len(kept) > 0 {
		return strings.TrimSpace(string(kept)), nil
	}
	if err != nil && !errors.Is(err, fs.ErrNotExist) {
		return "", fmt.Errorf("read token: %w", err)
	}
	token := "attune_" + rand.Text()
	return token, f.write("token", []byte(token))
}

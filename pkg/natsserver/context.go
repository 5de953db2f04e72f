package natsserver

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

// SaveContext saves how to connect for the nats command line, under a name for its option --context, where
// that program looks for it. Which context it uses without the option is left as the user has it.
//
// The file with certificates of authorities may be "".
func SaveContext(name, url, creds, ca string) (file string, err error) {
	file, err = ContextFile(name)
	if err != nil {
		return "", err
	}
	content, err := json.MarshalIndent(map[string]string{"description": "Attune", "url": url, "creds": creds, "ca": ca}, "", "  ")
	if err != nil {
		return "", fmt.Errorf("nats context %s: %w", name, err)
	}
	if err := os.MkdirAll(filepath.Dir(file), 0o700); err != nil {
		return "", fmt.Errorf("nats context %s: %w", name, err)
	}
	return file, writeFile(file, content)
}

// ContextFile is where the nats command line looks for the context of that name. It follows the XDG base
// directory specification, as that program does on every system.
func ContextFile(name string) (string, error) {
	config := os.Getenv("XDG_CONFIG_HOME")
	if config == "" {
		home, err := os.UserHomeDir()
		if err != nil {
			return "", fmt.Errorf("folder of nats contexts: %w", err)
		}
		config = filepath.Join(home, ".config")
	}
	return filepath.Join(config, "nats", "context", name+".json"), nil
}

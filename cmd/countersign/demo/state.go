package demo

import (
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"slices"
	"strings"
	"time"
)

// state is what the demo remembers between its runs.
type state struct {
	ClientID     string `json:"clientId"`
	ClientSecret string `json:"clientSecret"`
	// Signers are the enrolled people by name.
	Signers map[string]enrolled `json:"signers"`
	// Seal is the portal's own; no person has a device for it.
	Seal enrolled `json:"seal"`
}

// enrolled is a person with a device and a key.
type enrolled struct {
	Signer     string    `json:"signer"`
	Credential string    `json:"credential"`
	Device     string    `json:"device"`            // file in the demo's folder
	Ends       time.Time `json:"ends"`              // of the certificate
	Passkey    string    `json:"passkey,omitempty"` // credential whose approvals are by passkey
}

func (l *layout) load() (*state, error) {
	s := &state{Signers: map[string]enrolled{}}
	b, err := os.ReadFile(l.path("demo.json"))
	if errors.Is(err, os.ErrNotExist) {
		return s, nil
	}
	if err != nil {
		return nil, err
	}
	if err := json.Unmarshal(b, s); err != nil {
		return nil, fmt.Errorf("%s: %w", l.path("demo.json"), err)
	}
	return s, nil
}

func (l *layout) save(s *state) error { return writeJSON(l.path("demo.json"), s) }

// variables are the exports with which commands and other people's clients use
// the installation.
func (l *layout) variables(s *state, e enrolled) map[string]string {
	vars := map[string]string{
		"COUNTERSIGN_DEVICE":        l.path(e.Device),
		"COUNTERSIGN_PIN_FILE":      l.path("pin"),
		"COUNTERSIGN_TRUST":         l.path("ca.pem"),
		"COUNTERSIGN_ISSUER":        l.issuer,
		"COUNTERSIGN_CSC":           l.csc(),
		"COUNTERSIGN_CLIENT_ID":     s.ClientID,
		"COUNTERSIGN_CLIENT_SECRET": s.ClientSecret,
		"COUNTERSIGN_REDIRECT":      l.redirect(),
		"COUNTERSIGN_CREDENTIAL":    e.Credential,
		"COUNTERSIGN_SIGNER":        e.Signer,
		"COUNTERSIGN_PORTAL":        l.portal(),
		"COUNTERSIGN_APPROVAL":      l.approval(),
		"COUNTERSIGN_PKI":           l.pki(),
		"COUNTERSIGN_SOCKETS":       l.path("run"),
		"COUNTERSIGN_AUDIT_KEY":     l.path("audit.key"),
	}
	if l.tls != nil {
		vars["COUNTERSIGN_TLS_CA"] = l.tls.CA
	}
	return vars
}

// writeEnv writes the exports for shells.
func (l *layout) writeEnv(s *state, e enrolled) error {
	var lines []string
	for name, value := range l.variables(s, e) {
		lines = append(lines, "export "+name+"='"+strings.ReplaceAll(value, "'", `'\''`)+"'\n")
	}
	slices.Sort(lines)
	return writeFile(l.path("env"), []byte("# For shells: . "+l.path("env")+"\n"+strings.Join(lines, "")))
}

// environ is the environment of this process with the demo's variables, and
// without anything else of ours.
func (l *layout) environ(s *state, e enrolled) []string {
	env := plainEnviron()
	for name, value := range l.variables(s, e) {
		env = append(env, name+"="+value)
	}
	return env
}

// plainEnviron is the environment without our variables: what somebody exported
// for another installation must not change this one.
func plainEnviron() []string {
	return slices.DeleteFunc(os.Environ(), func(e string) bool { return strings.HasPrefix(e, "COUNTERSIGN_") })
}

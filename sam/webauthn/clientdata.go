package webauthn

import (
	"bytes"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
)

// The ceremonies.
const (
	create = "webauthn.create"
	get    = "webauthn.get"
)

// MaxClientData is the most bytes of clientDataJSON.
const MaxClientData = 4 << 10

// CheckClientData verifies clientDataJSON by its exact prefix, in the one form in
// which browsers serialize it (WebAuthn L2 §5.8.1.1, §5.8.1.2). encoding/json
// alone would take members in any letter case and the last of duplicates; here no
// second reading of the members that matter is possible.
func CheckClientData(data []byte, ceremony string, challenge []byte, origin string) error {
	if len(data) > MaxClientData {
		return fmt.Errorf("clientDataJSON has %d bytes", len(data))
	}
	if strings.ContainsAny(origin, "\"\\") {
		return errors.New("the expected origin needs escapes")
	}
	prefix := `{"type":"` + ceremony + `","challenge":"` + base64.RawURLEncoding.EncodeToString(challenge) +
		`","origin":"` + origin + `","crossOrigin":false`
	rest, ok := bytes.CutPrefix(data, []byte(prefix))
	if !ok {
		return errors.New("clientDataJSON is for another ceremony, challenge or origin")
	}
	if bytes.Equal(rest, []byte("}")) {
		return nil
	}
	if !bytes.HasPrefix(rest, []byte(",")) {
		return errors.New("clientDataJSON goes on in another form")
	}
	return checkMembers(data)
}

// checkMembers reads all of clientDataJSON and refuses duplicate members, also in
// other letter case, and a frame's top origin.
func checkMembers(data []byte) error {
	d := json.NewDecoder(bytes.NewReader(data))
	if t, err := d.Token(); err != nil || t != json.Delim('{') {
		return errors.New("clientDataJSON is not an object")
	}
	seen := map[string]bool{}
	for d.More() {
		t, err := d.Token()
		if err != nil {
			return fmt.Errorf("clientDataJSON: %w", err)
		}
		name, ok := t.(string)
		if !ok {
			return errors.New("clientDataJSON is malformed")
		}
		name = strings.ToLower(name)
		if seen[name] || name == "toporigin" {
			return fmt.Errorf("clientDataJSON has a member %q too many", name)
		}
		seen[name] = true
		var value json.RawMessage
		if err := d.Decode(&value); err != nil {
			return fmt.Errorf("clientDataJSON: %w", err)
		}
	}
	if t, err := d.Token(); err != nil || t != json.Delim('}') {
		return errors.New("clientDataJSON does not end")
	}
	if d.InputOffset() != int64(len(data)) {
		return errors.New("clientDataJSON has bytes after its end")
	}
	return nil
}
